"""Every schedule through a whole study: a tiny job that searches its shape ends with that shape tuned and carried over."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hpo.estimators.reverse import Reverse
from hpo.plans.transfer import make_plan
from hpo.study import Study
from hpo.training.space import Space
from windtunnel import schedules as plain
from windtunnel.types import SCHEDULES, JobSpec, Target, TuneResult
from windtunnel.types.hyperparameters import HARD_RANGES


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(schedule: dict[str, Any], **fields: Any) -> JobSpec:
    shape = SCHEDULES[schedule["name"]].shape
    return JobSpec.model_validate(
        {
            "task": "digits",
            "model": {"width": 8},
            "inner": {"steps": 8, "batch_size": 16, "seeds": 1},
            "optimizer": {"learning_rate": 0.02},
            "outer": {"steps": 1, "scout": False, "finish_seeds": 2},
            "method": {"estimator": "reverse"},
            "schedule": schedule,
            "search": [{"name": name} for name in (shape or ("learning_rate",))],
            **fields,
        }
    )


def tuned(spec: JobSpec) -> tuple[TuneResult, dict[str, float]]:
    """The result, and the gradient of the one step."""
    study = Study(spec)
    *_, last = study
    return study.finish(), last.gradient


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_study_tunes_the_shape_and_the_plan_carries_it(name: str) -> None:
    # Over eight updates the default warmup ends before the first one.
    warmup = {"warmup_fraction": 0.3} if "warmup_fraction" in SCHEDULES[name].shape else {}
    spec = spec_of({"name": name, **warmup})
    result, gradient = tuned(spec)
    labels = [item for item in spec.schedule.shape if item != "knot"] + [f"knot.{key}" for key in spec.knot_keys]
    assert set(gradient) == set(labels or ["learning_rate"]) == set(result.best.hyperparameters)
    assert all(math.isfinite(value) and value != 0 for value in gradient.values())
    plan = make_plan(result, Target(width=8), plan_id="p", job_id="j", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    for item in spec.schedule.shape:
        found = [value for label, value in result.best.hyperparameters.items() if label.partition(".")[0] == item]
        value = plan.schedule.value(item)
        assert list(value if isinstance(value, tuple) else [value]) == found
    run = [plain.multiplier(plan.schedule, step, plan.steps, plan.tokens_per_step) for step in range(plan.steps)]
    assert run == pytest.approx(result.schedule.best, abs=1e-12)
    assert {item.quantity for item in plan.assumptions} >= set(spec.schedule.shape)


SHAPED: dict[str, dict[str, Any]] = {
    "warmup": {"warmup_fraction": 0.31},
    "step": {"warmup_fraction": 0.31},
    "multistep": {"warmup_fraction": 0.31},
    "exponential": {"warmup_fraction": 0.31},
    "cosine": {"warmup_fraction": 0.31},
    "cosine-restarts": {"warmup_fraction": 0.31, "cycle_length": 0.37, "cycle_multiplier": 1.5, "decay_gamma": 0.6},
    "cyclic": {"cycle_length": 0.37},
    "inverse-sqrt": {"warmup_fraction": 0.31},
    "warmup-stable-decay": {"warmup_fraction": 0.31, "decay_fraction": 0.45, "floor": 0.1, "decay_shape": "1-sqrt"},
    "gpt3": {},
    "knots": {"warmup_fraction": 0.31},
}
"""Away from kinks for runs of twelve steps."""


@pytest.mark.parametrize("name", SHAPED)
def test_the_hypergradient_of_the_shape_is_that_of_finite_differences_over_whole_runs(build_problem, name: str) -> None:
    problem = build_problem(
        model={"width": 6, "depth": 2, "activation": "tanh"},
        optimizer={"learning_rate": 0.02, "eps": 1e-4},
        schedule={"name": name, **SHAPED[name]},
        inner={"steps": 12, "batch_size": 16, "seeds": 1},
        search=[{"name": item} for item in SCHEDULES[name].shape],
    )
    draw = problem.draw([(0, 0)])
    point = problem.space.start()[None]
    found = Reverse("none", "exact").estimate(problem, point, draw)

    def loss(at: torch.Tensor) -> torch.Tensor:
        trained = problem.train(at, draw)
        return problem.evaluate(trained.parameters, trained.loss, problem.data.validation)[0]

    width = 1e-4
    steps = torch.eye(point.shape[1], dtype=point.dtype) * width
    numeric = torch.stack([(loss(point + step) - loss(point - step)) / (2 * width) for step in steps], dim=1)
    assert (numeric.abs() > 1e-7).all(), "a parameter without effect would prove nothing"
    torch.testing.assert_close(found.gradient, numeric, rtol=1e-5, atol=1e-9)


def test_knots_have_starts_of_their_own_within_one_range() -> None:
    spec = spec_of({"name": "knots", "knots": [2.0, 0.5, 0.02]}, search=[{"name": "knot", "low": 0.01, "high": 2.5}])
    space = Space.from_spec(spec, [])
    assert space.labels == ["knot.0", "knot.1", "knot.2"]
    assert list(space.as_dict(space.start()).values()) == pytest.approx([2.0, 0.5, 0.02])
    assert {(item.low, item.high, item.bijection) for item in space.hyperparameters} == {(0.01, 2.5, "log")}


def test_a_knot_outside_of_its_range_is_refused_by_field() -> None:
    with pytest.raises(ValidationError, match=r"the start 9 of knot is outside its search range 0\.001 to 3"):
        spec_of({"name": "knots", "knots": [1.0, 9.0]})


def test_knots_are_all_or_none_and_global() -> None:
    with pytest.raises(ValidationError, match="knot is global"):
        spec_of({"name": "knots"}, search=[{"name": "knot", "scope": "role"}])
    with pytest.raises(ValidationError, match=r"knot\.0"):
        spec_of({"name": "knots"}, search=[{"name": "knot.0"}])


def test_values_at_the_ends_of_the_widest_ranges_are_valid_settings() -> None:
    """A tuned value may end on a bound, through a bijection and back."""
    for name, kind in SCHEDULES.items():
        for item in kind.shape:
            low, high = HARD_RANGES[item]
            spec = spec_of({"name": name}, search=[{"name": item, "low": low, "high": high}])
            space = Space.from_spec(spec, [])
            for corner in (space.low, space.high):
                value = space.values(corner)
                spec.schedule.with_shape({item: value.tolist() if item == "knot" else float(value[0])})
