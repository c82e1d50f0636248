"""Schedules: equal to torch's own, continuous and differentiable in their parameters."""

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from hpo.schedules import multipliers
from windtunnel.types import ConstantSchedule, CosineSchedule, ScheduleSpec, WarmupSchedule

ONE = torch.zeros(1, 1, dtype=torch.float64)
STEPS = 40


def curve(schedule: ScheduleSpec, **shape: float) -> torch.Tensor:
    given = {name: torch.tensor([value], dtype=torch.float64) for name, value in shape.items()}
    return multipliers(schedule, STEPS, given, ONE)[:, 0]


def torch_curve(make: object) -> torch.Tensor:
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


def test_constant_is_one() -> None:
    assert (curve(ConstantSchedule()) == 1).all()


def test_cosine_equals_cosine_annealing_of_torch_one_step_later() -> None:
    expected = torch_curve(lambda optimizer: CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=0.2))
    torch.testing.assert_close(curve(CosineSchedule(warmup_fraction=0.0, floor=0.2)), expected[1:], rtol=0, atol=1e-12)


def test_warmup_equals_linear_lr_of_torch() -> None:
    expected = torch_curve(lambda optimizer: LinearLR(optimizer, start_factor=1 / 10, total_iters=9))
    torch.testing.assert_close(curve(WarmupSchedule(warmup_fraction=0.25)), expected[:-1], rtol=0, atol=1e-12)


def test_cosine_after_warmup_falls_from_one_to_the_floor() -> None:
    found = curve(CosineSchedule(warmup_fraction=0.25, floor=0.1))
    assert found.argmax() == 9 and found[9] == 1
    assert found[-1] == pytest.approx(0.1)
    assert (found[10:] < found[9:-1]).all() and (found[1:10] > found[:9]).all()


@pytest.mark.parametrize(("name", "value"), [("warmup_fraction", 0.33), ("floor", 0.2)])
def test_the_derivative_in_a_shape_parameter_is_that_of_finite_differences(name: str, value: float) -> None:
    schedule = CosineSchedule()
    weights = torch.linspace(-1, 1, STEPS, dtype=torch.float64)

    def total(parameter: torch.Tensor) -> torch.Tensor:
        return (multipliers(schedule, STEPS, {name: parameter}, ONE)[:, 0] * weights).sum()

    assert torch.autograd.gradcheck(total, torch.tensor([value], dtype=torch.float64, requires_grad=True))


def test_members_have_schedules_of_their_own() -> None:
    two = torch.zeros(2, 1, dtype=torch.float64)
    found = multipliers(CosineSchedule(), STEPS, {"floor": torch.tensor([0.1, 0.5], dtype=torch.float64)}, two)
    assert found[-1].tolist() == pytest.approx([0.1, 0.5])
