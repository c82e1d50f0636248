"""Multipliers on layers that store [fan_in, fan_out], and raw matrices from tune to training."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
import windtunnel.torch
from hpo.errors import InvalidData
from windtunnel.torch import PlanMismatch
from windtunnel.torch._multipliers import can_be_scaled, scale

FACTOR = 0.125


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def conv1d(fan_in: int, fan_out: int) -> nn.Module:
    return pytest.importorskip("transformers.pytorch_utils").Conv1D(fan_out, fan_in)


@pytest.mark.parametrize(
    ("layer", "inputs", "arguments"),
    [
        (lambda: conv1d(4, 3), randn(2, 4), {}),
        (lambda: nn.ConvTranspose1d(4, 3, 3, stride=2), randn(2, 4, 5), {"output_size": [12]}),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), randn(2, 4, 5, 5), {}),
        (lambda: nn.ConvTranspose3d(4, 4, 2, groups=4), randn(2, 4, 3, 3, 3), {}),
    ],
    ids=["Conv1D", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"],
)
def test_the_multiplier_is_that_of_the_weight_and_not_of_the_bias(layer, inputs, arguments):
    plain, scaled = layer(), layer()
    scaled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        plain.weight.mul_(FACTOR)
    assert can_be_scaled(scaled)
    scale(scaled, FACTOR)
    expected, found = plain(inputs, **arguments), scaled(inputs, **arguments)
    torch.testing.assert_close(found, expected)
    slopes = [
        torch.autograd.grad(out.sin().sum(), (each.weight, each.bias)) for out, each in ((expected, plain), (found, scaled))
    ]
    torch.testing.assert_close(slopes[1], (FACTOR * slopes[0][0], slopes[0][1]))


class Raw(nn.Module):
    """Matrices stored as [fan_in, fan_out], and a readout that is a parameter of the module itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(5, width))
        self.second = nn.Parameter(torch.randn(width, 2 * width))
        self.head = nn.Parameter(torch.randn(2 * width, 2))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(torch.relu(inputs @ self.first) @ self.second) @ self.head


def data() -> list[tuple[Tensor, Tensor]]:
    """Points and the side of a plane that they lie on."""
    points = randn(192, 5)
    return list(zip(points.split(64), (points.sum(1) > 0).long().split(64), strict=True))


SMALL: dict[str, Any] = {
    "inner": {"steps": 12, "batch_size": 16, "seeds": 2},
    "search": [{"name": "learning_rate"}],
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}


def test_raw_matrices_are_tuned_planned_and_trained_but_a_multiplier_of_one_is_refused_with_what_to_do():
    result = windtunnel.tune(model=Raw, base_width=8, data=data(), parametrization="spectral", **SMALL)
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)
    plan = result.plan(width=32, force=True)
    rows = {row.name: row for row in plan.tensors}
    assert [row.role for row in plan.tensors] == ["input", "hidden", "output"]
    assert rows["second"].init_std == pytest.approx(32**-0.5) and rows["first"].init_std == pytest.approx(5**-0.5)
    assert rows["second"].learning_rate == pytest.approx(rows["first"].learning_rate * 8 / 32)
    model = Raw(32)
    optimizer = windtunnel.torch.optimizer(model, plan)
    (points, labels), *_ = data()
    losses = []
    for _ in range(plan.steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(points), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]

    rows["head"] = rows["head"].model_copy(update={"multiplier": 0.25})
    with pytest.raises(PlanMismatch, match=r"head has forward multiplier 0\.25.* parametrization 'spectral'"):
        windtunnel.torch.optimizer(Raw(32), plan.model_copy(update={"tensors": list(rows.values())}))


def test_a_raw_readout_is_warned_of_before_anything_is_spent():
    table = windtunnel.roles(Raw, base=8, delta=16, inputs=randn(2, 5))
    assert table.roles == {"first": "input", "second": "hidden", "head": "output"}
    assert any("Readouts outside of a layer (head)" in warning for warning in table.warnings)
    with pytest.raises(InvalidData, match=r"parameter 'head' is a readout outside of a layer.*spectral"):
        windtunnel.tune(model=Raw, base_width=8, data=data(), **SMALL)
