"""Counts against the modules themselves and against the formulas of the paper."""

import pytest
import torch
from torch import Tensor, nn

from hpo.families.registry import build
from hpo.laws.counting import count
from hpo.laws.modules import count_module
from windtunnel.tasks import TASKS
from windtunnel.types import ModelSpec

FAMILIES = [
    (ModelSpec(family="mlp", width=64, depth=3), "digits"),
    (ModelSpec(family="resnet", width=16, depth=2), "mnist5k"),
    (ModelSpec(family="transformer", width=48, depth=2, activation="gelu"), "python-text"),
]


@pytest.mark.parametrize(("model", "task"), FAMILIES, ids=lambda value: getattr(value, "family", ""))
def test_parameters_are_those_of_the_module(model: ModelSpec, task: str) -> None:
    module, found = build(model, TASKS[task]), count(model, TASKS[task])
    sizes = {name: value.numel() for name, value in module.named_parameters()}
    assert found.parameters == sum(sizes.values()) == sum(found.roles.values())
    left = {name for name in sizes if found.tokens_per_example > 1 and ("embedding" in name or name.startswith("readout"))}
    assert found.non_embedding == sum(size for name, size in sizes.items() if name not in left)
    assert found.optimizer_bytes == 3 * 4 * found.parameters


def test_a_transformer_has_twelve_layers_width_squared_and_names_what_six_n_leaves_out() -> None:
    """Kaplan et al., equation 2.1 and table 1."""
    found = count(FAMILIES[2][0], TASKS["python-text"])
    assert found.non_embedding == 12 * 2 * 48**2
    assert found.flops_per_token == 6 * found.non_embedding
    assert found.context_flops_per_token == 6 * 2 * 64 * 48
    assert found.compute(1024, 100) == 6 * found.non_embedding * 102_400
    assert found.left_out == "attention over the context, 11 % on top; the readout, 8 % on top"
    # The family computes the masked half of attention, too.
    whole = found.flops_per_token + 2 * found.context_flops_per_token + found.readout_flops_per_token
    assert found.exact_flops_per_token == whole


class Attention(nn.Module):
    """One attention layer over embedded tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table, self.qkv = nn.Embedding(97, width), nn.Linear(width, 3 * width, bias=False)
        self.out, self.head = nn.Linear(width, width, bias=False), nn.Linear(width, 97)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        q, k, v = self.qkv(self.table(tokens)).chunk(3, -1)
        return self.head(self.out((q @ k.transpose(1, 2)).softmax(-1) @ v))


def test_any_module_is_counted_by_role_and_an_example_adds_the_context() -> None:
    bare = count_module(Attention, 32)
    assert (bare.embedding, bare.readout, bare.non_embedding) == (97 * 32, 97 * 32 + 97, 4 * 32**2)
    assert bare.roles == {"input": 97 * 32, "hidden": 4 * 32**2, "output": 97 * 32, "scalar": 97}
    assert "give an example to count it" in bare.left_out
    found = count_module(Attention, 32, example=torch.zeros(1, 10, dtype=torch.long))
    assert found.tokens_per_example == 10
    assert found.context_flops_per_token == 3 * 2 * 2 * 10 * 32
    assert found.activation_bytes > 10 * 4 * 32 * 4
    assert "attention over the context" in found.left_out


def test_a_vision_module_has_no_embedding_and_says_that_weights_act_at_many_positions() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.Flatten(), nn.Linear(width * 16, 10)
        )

    found = count_module(make, 16, example=torch.zeros(1, 3, 8, 8))
    assert found.embedding == found.readout == 0
    assert found.non_embedding == sum(p.numel() for p in make(16).parameters())
    assert "act at many positions" in found.left_out
