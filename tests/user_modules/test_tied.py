"""A tied embedding: one tensor, one role, and the logits scaled by the module itself."""

import pytest
import torch
from torch import Tensor, nn

import windtunnel
import windtunnel.torch

BASE = 8


class Tied(nn.Module):
    """Reads the next token off the table that the tokens were looked up in."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.table = nn.Embedding(5, width)
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.head = nn.Linear(width, 5, bias=False)
        self.head.weight = self.table.weight
        self.scale = BASE / width

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.table(tokens)
        for layer in self.layers:
            hidden = hidden + torch.tanh(layer(hidden))
        return self.scale * self.head(hidden)


def text() -> list[tuple[Tensor, Tensor]]:
    """Tokens that count up from where they begin, modulo 5."""
    begin = torch.randint(0, 5, (96, 1), generator=torch.Generator().manual_seed(0))
    tokens = (begin + torch.arange(5)) % 5
    return [(part[:, :-1], part[:, 1:]) for part in tokens.split(32)]


SMALL = {
    "kind": "language",
    "model": {"width": BASE, "depth": 1},
    "inner": {"steps": 8, "batch_size": 8, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
    "parametrization": "standard",
}


def test_a_tied_language_model_is_tuned_as_one_tensor():
    result = windtunnel.tune(Tied, text(), **SMALL)
    assert [tensor.name for tensor in result.proxy.tensors] == ["table.weight", "layers.0.weight"]
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)
    plan = result.plan(width=32, depth=3, force=True)
    model = Tied(32, 3)
    assert windtunnel.torch.optimizer(model, plan).param_groups
    assert model.head.weight is model.table.weight
    assert {row.name for row in plan.tensors} == {name for name, _ in model.named_parameters()}


def test_a_multiplier_that_would_act_twice_is_refused():
    search = [{"name": "learning_rate"}, {"name": "embedding_multiplier"}]
    with pytest.raises(ValueError, match="embedding_multiplier would act on the readout, too"):
        windtunnel.tune(Tied, text(), search=search, **SMALL)
