"""``windtunnel.torch.fold``: plain weights, the outputs of before, to rounding."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import windtunnel.torch
from tests.torch_plans.conftest import Net
from windtunnel.torch import PlanMismatch
from windtunnel.torch._multipliers import scale


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


LAYERS: dict[str, tuple[Any, Tensor]] = {
    "linear": (lambda: nn.Linear(5, 4), drawn(3, 5)),
    "without bias": (lambda: nn.Linear(5, 4, bias=False), drawn(3, 5)),
    "embedding": (lambda: nn.Embedding(7, 4, padding_idx=2), torch.tensor([[0, 2, 6]])),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, groups=2, padding=1), drawn(2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1, padding_mode="reflect"), drawn(2, 2, 6, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, dilation=2), drawn(1, 2, 4, 4, 4)),
}


@pytest.mark.parametrize("factor", [0.11, -3.0, 0.125])
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_stay_and_a_layer_without_the_plan_has_them(kind: str, factor: float) -> None:
    build, inputs = LAYERS[kind]
    model = nn.Sequential(build())
    scale(model[0], factor)
    before = model(inputs)
    assert windtunnel.torch.fold(model) is model
    fresh = nn.Sequential(build())
    fresh.load_state_dict(model.state_dict())
    for found in (model(inputs), fresh(inputs)):
        torch.testing.assert_close(found, before, rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model[0]._forward_hooks and not model[0]._forward_pre_hooks
    windtunnel.torch.fold(model)
    torch.testing.assert_close(model(inputs), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_outputs_stay_to_the_rounding_of_the_parameters_type(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 8)).to(dtype)
    for layer in model:
        scale(layer, 0.3)
    inputs = drawn(16, 64).to(dtype)
    before = model(inputs)
    after = windtunnel.torch.fold(model)(inputs)
    # A product is rounded once more, and 64 of them are added up twice.
    assert (after - before).norm() <= 4 * torch.finfo(dtype).eps * before.norm()


def test_a_folded_model_is_saved_plain_and_trained_no_more(make_plan) -> None:
    plan, model, inputs = make_plan(), Net(), drawn(4, 6)
    update = windtunnel.torch.optimizer(model, plan)
    model(inputs).square().sum().backward()
    update.step()
    before, saved = model(inputs), copy.deepcopy(model.state_dict())
    windtunnel.torch.fold(model)
    fresh = Net()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(fresh(inputs), before, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        PlanMismatch, match=r"layers\.0\.weight has forward multiplier 1 in the model now, and 1\.7 in the plan"
    ):
        update.step()
    for weights in (None, "keep"):
        with pytest.raises(PlanMismatch, match=r"folded into them|layers\.0\.weight was folded, which froze"):
            windtunnel.torch.optimizer(model, plan, weights=weights)
    again = Net()
    windtunnel.torch.optimizer(again, plan, weights="draw")
    again.load_state_dict(saved)
    torch.testing.assert_close(again(inputs), before, rtol=1e-5, atol=1e-6)


def test_a_model_without_multipliers_is_left_as_it_is(make_plan) -> None:
    plan, model, inputs = make_plan((1.0, 1.0, 1.0)), Net(), drawn(4, 6)
    update = windtunnel.torch.optimizer(model, plan)
    before = model(inputs)
    assert torch.equal(windtunnel.torch.fold(model)(inputs), before)
    model(inputs).sum().backward()
    update.step()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight


class Adapted(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)
        self.low = nn.Parameter(torch.ones(4, 4))


def views() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight.data = model[0].weight.data
    return model


class Standardised(nn.Linear):
    """Its output does not change when its weight is multiplied."""

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.weight / self.weight.std(), self.bias)


REFUSED: dict[str, tuple[Any, str, str]] = {
    "tied": (Tied, "head", r"head\.weight has forward multiplier 0\.5 and cannot be folded: another layer shares"),
    "one storage": (views, "1", r"1\.weight .*another layer shares"),
    "max_norm": (lambda: nn.Sequential(nn.Embedding(7, 4, max_norm=1.0)), "0", r"0\.weight .*max_norm"),
    "other parameters": (lambda: nn.Sequential(Adapted()), "0", r"0\.weight .*acts on low of the layer"),
    "a forward of its own": (lambda: nn.Sequential(Standardised(4, 4)), "0", r"0\.weight .*Standardised has a forward"),
    "parametrised": (lambda: nn.Sequential(weight_norm(nn.Linear(4, 4))), "0", r"0\.weight .*parametri[sz]ation"),
    "float16": (lambda: nn.Sequential(nn.Linear(4, 4).half()), "0", r"0\.weight .*float16 cannot hold"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_folded_is_named_and_left_alone(kind: str) -> None:
    build, layer, told = REFUSED[kind]
    model = build()
    scale(model.get_submodule(layer), 1e-7 if kind == "float16" else 0.5)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PlanMismatch, match=told):
        windtunnel.torch.fold(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.get_submodule(layer)._forward_pre_hooks or model.get_submodule(layer)._forward_hooks


def test_a_layer_by_two_names_is_folded_once() -> None:
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    scale(layer, 0.5)
    before = model(drawn(2, 4))
    torch.testing.assert_close(windtunnel.torch.fold(model)(drawn(2, 4)), before)
