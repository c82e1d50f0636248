"""Schedules are differentiable in every shape parameter that can be searched; kinks have one derivative on each side."""

import pytest
import torch
from torch import Tensor

from hpo.schedules import multipliers
from windtunnel.types import SCHEDULES, CosineSchedule
from windtunnel.types.schedules import FIELDS, AnySchedule, Schedule, ShapeName

ONE = torch.zeros(1, 1, dtype=torch.float64)
STEPS = 40
WEIGHTS = torch.linspace(-1, 1.3, STEPS, dtype=torch.float64).sin()

GENERIC: dict[ShapeName, float | list[float]] = {
    "warmup_fraction": 0.162,
    "floor": 0.15,
    "decay_gamma": 0.43,
    "cycle_length": 0.3127,
    "decay_fraction": 0.4311,
    "knot": [0.3, 1.2, 0.5, 0.08],
}
"""Away from the kinks: no warmup, cycle or decay of a whole number of steps."""
CASES = [(name, parameter) for name, kind in SCHEDULES.items() for parameter in kind.shape]
ROOT: AnySchedule = SCHEDULES["warmup-stable-decay"](decay_shape="1-sqrt")  # type: ignore[assignment]
RESTARTS: AnySchedule = SCHEDULES["cosine-restarts"](cycle_multiplier=1.5)  # type: ignore[assignment]


def schedule_of(name: str) -> Schedule:
    kind = SCHEDULES[name]
    return kind().with_shape({parameter: GENERIC[parameter] for parameter in kind.shape})


def total(schedule: Schedule, parameter: ShapeName, value: Tensor) -> Tensor:
    found = multipliers(schedule, STEPS, {parameter: value[None]}, ONE, 1)  # type: ignore[arg-type]
    return (found[:, 0] * WEIGHTS).sum()


def check(schedule: Schedule, parameter: ShapeName) -> None:
    value = torch.tensor(GENERIC[parameter], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(schedule, parameter, value), value)
    step = 1e-6
    expected = torch.zeros_like(value)
    for index in range(value.numel()):
        offset = torch.zeros(value.numel(), dtype=torch.float64)
        offset[index] = step
        offset = offset.view(value.shape)
        ends = [total(schedule, parameter, value.detach() + sign * offset) for sign in (1, -1)]
        expected.view(-1)[index] = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(slope, expected, rtol=1e-7, atol=1e-8)
    assert (slope != 0).all()


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_the_derivative_is_that_of_central_finite_differences(name: str, parameter: ShapeName) -> None:
    check(schedule_of(name), parameter)


@pytest.mark.parametrize("parameter", ["warmup_fraction", "floor", "decay_fraction"])
def test_the_derivative_of_the_root_shaped_decay_is_finite_and_right(parameter: ShapeName) -> None:
    check(ROOT, parameter)


@pytest.mark.parametrize("parameter", ["warmup_fraction", "floor", "decay_gamma", "cycle_length"])
def test_the_derivative_with_growing_cycles_is_right(parameter: ShapeName) -> None:
    check(RESTARTS.with_shape({"decay_gamma": 0.7}), parameter)


def test_what_is_searchable_is_a_field_of_its_schedule_and_the_other_way_round() -> None:
    for kind in SCHEDULES.values():
        assert set(kind.shape) == {name for name, field in FIELDS.items() if field in kind.model_fields}


def slope_at(warmup_fraction: float) -> float:
    value = torch.tensor(warmup_fraction, dtype=torch.float64, requires_grad=True)
    return float(torch.autograd.grad(total(CosineSchedule(), "warmup_fraction", value), value)[0])


def test_a_warmup_of_a_whole_number_of_steps_is_a_kink_with_two_slopes() -> None:
    """The curve is continuous there; the derivative that is taken is that of the longer or the shorter warmup."""
    before, at, after = (slope_at(0.25 + offset) for offset in (-1e-9, 0.0, 1e-9))
    assert abs(before - after) > 0.1
    assert min(abs(at - before), abs(at - after)) < 1e-5


def test_no_jump_in_where_the_pieces_of_a_continuous_schedule_meet() -> None:
    for name, parameter in CASES:
        if parameter in ("knot", "decay_gamma", "floor") or (name, parameter) == ("cosine-restarts", "cycle_length"):
            continue
        schedule = SCHEDULES[name]()
        if name == "cosine-restarts":  # a restart is a jump, and the warmup moves it
            schedule = schedule.with_shape({"cycle_length": 2.0})
        grid = torch.linspace(0.05, 0.9, 20_001, dtype=torch.float64)
        like = torch.zeros(len(grid), 1, dtype=torch.float64)
        curves = multipliers(schedule, STEPS, {parameter: grid}, like, 1)  # type: ignore[arg-type]
        # The steepest slope in a share of the run is that of one step's time: STEPS times the curve's own.
        assert curves.diff(dim=1).abs().max() < 0.005, (name, parameter)


def test_members_have_schedules_of_their_own() -> None:
    two = torch.zeros(2, 1, dtype=torch.float64)
    floors = torch.tensor([0.1, 0.5], dtype=torch.float64)
    found = multipliers(CosineSchedule(), STEPS, {"floor": floors}, two, 1)
    assert found[-1].tolist() == pytest.approx([0.1, 0.5])
    knots = torch.tensor([[1.0, 0.5, 0.2], [1.0, 2.0, 0.4]], dtype=torch.float64)
    found = multipliers(SCHEDULES["knots"](), STEPS, {"knot": knots}, two, 1)  # type: ignore[arg-type]
    assert found[-1].tolist() == pytest.approx([0.2, 0.4])
