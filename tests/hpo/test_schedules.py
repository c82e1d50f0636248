"""Schedules: equal to torch's own at the same updates or one step later, and what they are at the edges."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    StepLR,
)

from hpo.schedules import multipliers
from windtunnel import schedules as plain
from windtunnel.types import SCHEDULES

ONE = torch.zeros(1, 1, dtype=torch.float64)
STEPS = 40


def curve(name: str, steps: int = STEPS, tokens_per_step: float = 1.0, **settings: Any) -> torch.Tensor:
    schedule = SCHEDULES[name](**settings)
    return multipliers(schedule, steps, {}, ONE, tokens_per_step)[:, 0]


def torch_curve(make: Callable[[Optimizer], LRScheduler]) -> torch.Tensor:
    """torch's multipliers at the updates 0 ... STEPS."""
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS + 1):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_constant_is_one() -> None:
    assert (curve("constant") == 1).all()


def test_warmup_equals_linear_lr_of_torch() -> None:
    expected = torch_curve(lambda optimizer: LinearLR(optimizer, start_factor=1 / 10, total_iters=9))
    assert_equal(curve("warmup", warmup_fraction=0.25), expected[:-1])


@pytest.mark.parametrize("size", [1, 7, 10, 40])
def test_step_equals_step_lr_of_torch(size: int) -> None:
    expected = torch_curve(lambda optimizer: StepLR(optimizer, step_size=size, gamma=0.3))
    assert_equal(curve("step", warmup_fraction=0, step_size=size / STEPS, decay_gamma=0.3), expected[:-1])


def test_multistep_equals_multi_step_lr_of_torch() -> None:
    expected = torch_curve(lambda optimizer: MultiStepLR(optimizer, milestones=[7, 20, 33], gamma=0.2))
    shares = [7 / STEPS, 20 / STEPS, 33 / STEPS]
    assert_equal(curve("multistep", warmup_fraction=0, milestones=shares, decay_gamma=0.2), expected[:-1])


def test_exponential_equals_exponential_lr_of_torch_one_step_later() -> None:
    expected = torch_curve(lambda optimizer: ExponentialLR(optimizer, gamma=0.9))
    assert_equal(curve("exponential", warmup_fraction=0, decay_gamma=0.9**STEPS), expected[1:])


def test_cosine_equals_cosine_annealing_of_torch_one_step_later() -> None:
    expected = torch_curve(lambda optimizer: CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=0.2))
    assert_equal(curve("cosine", warmup_fraction=0, floor=0.2), expected[1:])


@pytest.mark.parametrize(("length", "multiplier", "restarts"), [(10, 1, [10, 20, 30, 40]), (5, 2, [5, 15, 35])])
def test_cosine_restarts_equal_warm_restarts_of_torch_one_step_later(
    length: int, multiplier: int, restarts: list[int]
) -> None:
    expected = torch_curve(lambda optimizer: CosineAnnealingWarmRestarts(optimizer, length, multiplier, eta_min=0.1))
    # The update before a restart is the last of its cycle here; torch is at the next peak one step later.
    assert (expected[restarts] == 1).all()
    expected[restarts] = 0.1
    settings = {"cycle_length": length / STEPS, "cycle_multiplier": multiplier, "floor": 0.1}
    assert_equal(curve("cosine-restarts", warmup_fraction=0, **settings), expected[1:])


@pytest.mark.parametrize(("mode", "gamma"), [("triangular", 1.0), ("triangular2", 0.5)])
def test_cyclic_equals_cyclic_lr_of_torch_one_step_later(mode: Any, gamma: float) -> None:
    def make(optimizer: Optimizer) -> LRScheduler:
        return CyclicLR(optimizer, base_lr=0.05, max_lr=1.0, step_size_up=5, mode=mode, cycle_momentum=False)

    found = curve("cyclic", cycle_length=10 / STEPS, floor=0.05, decay_gamma=gamma)
    assert_equal(found, torch_curve(make)[1:])


def test_a_warmup_in_front_is_a_factor() -> None:
    """As torch's chained schedulers."""
    rise = curve("warmup", warmup_fraction=0.3)
    for name in ("step", "multistep"):
        assert_equal(curve(name, warmup_fraction=0.3), rise * curve(name, warmup_fraction=0))


def test_after_a_warmup_the_rest_of_the_run_is_a_run_of_its_own() -> None:
    for name in ("exponential", "cosine", "cosine-restarts", "knots"):
        assert_equal(curve(name, warmup_fraction=0.25)[10:], curve(name, steps=30, warmup_fraction=0))


def test_inverse_sqrt_peaks_at_the_end_of_the_warmup_and_halves_at_four_times_it() -> None:
    found = curve("inverse-sqrt", warmup_fraction=0.25)
    assert found[9] == 1 == found.max()
    assert found[39] == pytest.approx(0.5)


@pytest.mark.parametrize(("shape", "middle"), [("linear", 0.5), ("1-sqrt", 1 - math.sqrt(0.5))])
def test_stable_until_the_decay_then_down_to_the_floor(shape: str, middle: float) -> None:
    found = curve("warmup-stable-decay", warmup_fraction=0.1, decay_fraction=0.5, floor=0.2, decay_shape=shape)
    assert (found[3:20] == 1).all()
    assert found[29] == pytest.approx(0.2 + 0.8 * middle)
    assert found[-1] == pytest.approx(0.2)


def test_gpt3_counts_tokens_and_does_not_stretch() -> None:
    settings = {"warmup_tokens": 500, "decay_tokens": 3000, "floor": 0.1}
    found, longer = (curve("gpt3", steps=steps, tokens_per_step=100, **settings) for steps in (40, 80))
    assert_equal(longer[:40], found)
    assert found[0] == pytest.approx(0.2) and found[4] == 1
    assert found[16] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 1200 / 2500)) / 2)
    assert (longer[29:] - 0.1).abs().max() < 1e-15
    # Half as many tokens a step: every time is twice as late.
    assert_equal(curve("gpt3", steps=80, tokens_per_step=50, **settings)[1::2], found)


def test_gpt3_without_counts_has_the_shares_of_its_own_run() -> None:
    found = curve("gpt3", steps=3000)
    assert found[2] == pytest.approx(3 / 3.75)
    assert found[2599] == pytest.approx(0.1) and found[2598] > found[2599]


def test_knots_are_met_at_their_times_and_geometric_means_lie_between() -> None:
    found = curve("knots", warmup_fraction=0, knots=[1.0, 0.4, 0.9, 2.0, 0.001])
    assert found[[9, 19, 29, 39]].tolist() == pytest.approx([0.4, 0.9, 2.0, 0.001])
    assert found[14] == pytest.approx(math.sqrt(0.4 * 0.9))


def test_a_knot_moves_the_multipliers_next_to_it_only() -> None:
    base = curve("knots", warmup_fraction=0, knots=[1.0, 1.0, 1.0, 1.0, 1.0])
    moved = curve("knots", warmup_fraction=0, knots=[1.0, 1.0, 0.5, 1.0, 1.0])
    assert (base != moved).nonzero().flatten().tolist() == list(range(10, 29))


def test_equal_knots_are_a_constant_and_two_are_exponential_decay() -> None:
    assert_equal(curve("knots", warmup_fraction=0.1, knots=[3.0] * 7), 3 * curve("warmup", warmup_fraction=0.1))
    assert_equal(curve("knots", knots=[1.0, 0.02]), curve("exponential", decay_gamma=0.02))


def test_a_cycle_longer_than_the_run_does_not_end() -> None:
    falling = curve("cosine-restarts", warmup_fraction=0, cycle_length=2.0, floor=0.0)
    assert_equal(falling, curve("cosine", steps=80, warmup_fraction=0, floor=0.0)[:40])
    assert (curve("cyclic", cycle_length=2.0).diff() > 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [2, 3, 40, 1000])
def test_every_default_is_finite_and_within_bounds_at_any_length(name: str, steps: int) -> None:
    found = curve(name, steps=steps)
    assert found.shape == (steps,)
    assert ((found >= 0) & (found <= 1)).all() and found[0] > 0


EDGES: list[dict[str, Any]] = [
    *({"name": name} for name in SCHEDULES),
    {"name": "cosine", "warmup_fraction": 0.333, "floor": 0},
    {"name": "step", "warmup_fraction": 0, "step_size": 0.07},
    {"name": "step", "warmup_fraction": 0.5, "step_size": 1},
    {"name": "multistep", "milestones": [0.1, 0.2, 0.3, 0.7]},
    {"name": "cosine-restarts", "cycle_length": 0.1, "cycle_multiplier": 1.7, "decay_gamma": 0.6},
    {"name": "cosine-restarts", "cycle_length": 0.07, "cycle_multiplier": 1},
    {"name": "cosine-restarts", "cycle_length": 0.1, "cycle_multiplier": 1.1, "warmup_fraction": 0},
    {"name": "cosine-restarts", "cycle_length": 0.01, "cycle_multiplier": 1, "warmup_fraction": 0},
    {"name": "cyclic", "cycle_length": 3, "floor": 0},
    {"name": "cyclic", "cycle_length": 0.01, "decay_gamma": 1},
    {"name": "warmup-stable-decay", "decay_shape": "1-sqrt", "decay_fraction": 0.9, "warmup_fraction": 0.5},
    {"name": "gpt3", "warmup_tokens": 0, "decay_tokens": 1},
    {"name": "gpt3", "warmup_tokens": 130, "decay_tokens": 10**9},
    {"name": "knots", "knots": [0.001, 3], "warmup_fraction": 0},
]


@pytest.mark.parametrize("settings", EDGES, ids=str)
@pytest.mark.parametrize("steps", [2, 7, 40, 1000])
def test_the_large_run_evaluates_the_same_numbers_without_torch(settings: dict[str, Any], steps: int) -> None:
    schedule = SCHEDULES[settings["name"]].model_validate(settings)
    tuned = multipliers(schedule, steps, {}, ONE, 64)[:, 0]
    run = [plain.multiplier(schedule, update, steps, 64) for update in range(steps)]
    assert_equal(tuned, torch.tensor(run, dtype=torch.float64))


@pytest.mark.parametrize("settings", EDGES, ids=str)
@pytest.mark.parametrize("steps", [30, 700, 100_000])
def test_rounding_in_single_precision_moves_no_jump(settings: dict[str, Any], steps: int) -> None:
    schedule = SCHEDULES[settings["name"]].model_validate(settings)
    single, double = (multipliers(schedule, steps, {}, like, 64)[:, 0] for like in (ONE.float(), ONE))
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "gpt3"])
def test_a_longer_run_has_the_same_schedule_over_the_share_of_the_run(name: str) -> None:
    schedule = SCHEDULES[name](**({"warmup_fraction": 0.2} if "warmup_fraction" in SCHEDULES[name].model_fields else {}))
    for share in (0.1, 0.25, 0.55, 0.9, 1.0):
        short, long = (plain.multiplier(schedule, round(share * steps) - 1, steps, 1) for steps in (100, 10**9))
        assert short == pytest.approx(long, rel=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_after_the_last_step_the_multiplier_stays(name: str) -> None:
    schedule = SCHEDULES[name]()
    assert plain.multiplier(schedule, 500, 40, 1) == plain.multiplier(schedule, 39, 40, 1)
