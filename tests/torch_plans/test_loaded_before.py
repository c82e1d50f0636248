"""Weights that a module had before any plan was applied to it: kept if they show that it was trained, else drawn over."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel.torch
from tests.torch_plans.conftest import Net
from windtunnel.torch import PlanMismatch
from windtunnel.torch._signs import rewritten, sign_of_training

INPUTS = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def trained() -> Net:
    model = Net()
    update = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(30):
        update.zero_grad()
        functional.cross_entropy(model(INPUTS), torch.arange(16) % 3).backward()
        update.step()
    return model


@pytest.mark.parametrize("apply", [windtunnel.torch.apply, windtunnel.torch.optimizer])
def test_a_module_that_loaded_trained_weights_keeps_its_outputs_and_is_told(make_plan, apply) -> None:
    model, fresh = trained(), Net()
    fresh.load_state_dict(model.state_dict())
    with pytest.warns(UserWarning, match=r"not those of a fresh one \(.*\.bias reaches .* so they are kept as they are"):
        apply(fresh, make_plan())
    torch.testing.assert_close(fresh(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)


def test_a_module_that_loaded_weights_without_a_sign_is_not_drawn_over_until_it_is_told(make_plan) -> None:
    """Weights of a fresh module, loaded into another: no value of theirs shows that they are dear to anybody."""
    model, fresh = Net(), Net()
    fresh.load_state_dict(model.state_dict())
    assert sign_of_training(fresh) is None
    with pytest.raises(PlanMismatch, match=r"layers\.0\.bias .* written again .*weights='keep'.*weights='draw'"):
        windtunnel.torch.optimizer(fresh, make_plan())
    assert torch.equal(fresh(INPUTS), model(INPUTS))
    windtunnel.torch.apply(fresh, make_plan(), weights="keep")
    torch.testing.assert_close(fresh(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
    windtunnel.torch.apply(Net(), make_plan())  # one that nothing was loaded into asks nothing


def test_what_is_told_is_done_without_a_warning(make_plan) -> None:
    model, drawn, start = trained(), trained(), Net()
    before = model(INPUTS)
    windtunnel.torch.apply(model, make_plan(), weights="keep")
    torch.testing.assert_close(model(INPUTS), before, rtol=1e-5, atol=1e-6)
    windtunnel.torch.apply(drawn, make_plan(), weights="draw")
    windtunnel.torch.apply(start, make_plan())
    assert torch.equal(drawn(INPUTS), start(INPUTS))


def test_a_run_that_goes_on_from_the_weights_of_a_bare_module_is_the_plans(make_plan) -> None:
    """The oracle has the plan from the start and loads the same weights."""
    plan, model = make_plan((2.0, 0.25, 0.125)), trained()
    told = Net()
    first = windtunnel.torch.optimizer(told, plan)
    told.load_state_dict(model.state_dict())
    second = windtunnel.torch.optimizer(model, plan, weights="keep")
    for _ in range(3):
        for each, update in ((told, first), (model, second)):
            update.zero_grad()
            functional.cross_entropy(each(INPUTS), torch.arange(16) % 3).backward()
            update.step()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(told.parameters(), model.parameters(), strict=True))


class Normalised(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8, bias=False), norm)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.body(inputs)
        return outputs


class ForeignRMSNorm(nn.Module):
    """As transformers' Llama has it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight * functional.rms_norm(inputs, (8,))


NORMS: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: nn.LayerNorm(8),
    "batch norm": lambda: nn.BatchNorm1d(8),
    "group norm": lambda: nn.GroupNorm(2, 8),
    "rms norm": lambda: nn.RMSNorm(8),
    "another library's": ForeignRMSNorm,
}


@pytest.mark.parametrize("kind", NORMS)
def test_gains_that_differ_are_a_sign_of_training(kind: str) -> None:
    model = Normalised(NORMS[kind]())
    assert sign_of_training(model) is None
    update = torch.optim.SGD(model.parameters(), 0.1)
    model(INPUTS).square().sum().backward()
    update.step()
    fresh = Normalised(NORMS[kind]())
    fresh.load_state_dict(model.state_dict())
    assert "body.1.weight lies between" in str(sign_of_training(fresh))


def normal(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)):
        nn.init.normal_(module.weight, std=3.0)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def orthogonal(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.orthogonal_(module.weight)


def zero_gain(module: nn.Module) -> None:
    if isinstance(module, nn.BatchNorm2d):
        nn.init.zeros_(module.weight)


def own_bias(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.bias, -4.6)


class NormalisedLinear(nn.Linear):
    """No norm, in spite of its name."""


class Many(nn.Module):
    """Layers of torch whose initial values come from its own ``reset_parameters``."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, groups=4), nn.ConvTranspose2d(8, 4, 2, groups=2)
        )
        self.words = nn.Embedding(9, 8, padding_idx=0)
        self.attention = nn.TransformerEncoderLayer(8, 2, 16)
        self.recurrent = nn.LSTM(8, 8)
        self.head = nn.Linear(8, 1)
        self.cosine = NormalisedLinear(8, 8)
        self.wide = nn.Linear(8, 500)


@pytest.mark.parametrize("own", [None, normal, orthogonal, zero_gain, own_bias, "bfloat16", "empty"])
def test_a_fresh_module_shows_no_sign_whatever_draws_its_weights(own) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.device("meta" if own == "empty" else "cpu"):
            model = Many()
        if own == "bfloat16":
            model.bfloat16()
        elif own == "empty":
            model.to_empty(device="cpu")
            for value in model.parameters():
                value.data = torch.full(value.shape, float(seed)).normal_()  # what the memory happens to hold
        elif own is not None:
            model.apply(own)
        assert sign_of_training(model) is None and rewritten(model) is None


def test_a_copy_shows_no_sign_so_that_its_weights_are_drawn_over(make_plan) -> None:
    """What cannot be seen, as the docs say: no write into a copied tensor is known. Telling keeps it."""
    model = copy.deepcopy(trained())
    before = model(INPUTS)
    windtunnel.torch.apply(twin := copy.deepcopy(model), make_plan(), weights="keep")
    torch.testing.assert_close(twin(INPUTS), before, rtol=1e-5, atol=1e-6)
    windtunnel.torch.apply(model, make_plan())
    assert not torch.allclose(model(INPUTS), before)
