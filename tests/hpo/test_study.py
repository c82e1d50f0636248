"""The study as a whole: it improves, resumes bit for bit, refuses foreign states, never sees the test split."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from hpo.errors import Diverged, InvalidData
from hpo.study import Study
from hpo.tasks import load
from windtunnel.types import JobSpec, OuterStep, Progress, TuneResult

TINY: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 24, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 3, "finish_seeds": 2},
    "seed": 5,
}


def study(**fields: Any) -> Study:
    return Study(JobSpec.model_validate({**TINY, **fields}), threads=1)


def without_clock(result: TuneResult) -> dict[str, Any]:
    found = result.model_dump(mode="json")
    del found["cost"]["wall_seconds"]
    return found


PORTFOLIO: dict[str, Any] = {"outer": {"steps": 6, "finish_seeds": 2}}
DESCENT: dict[str, Any] = {"method": {"estimator": "reverse"}}
SEVERAL: dict[str, Any] = {**DESCENT, "outer": {**TINY["outer"], "starts": 3}}

Undisturbed = tuple[dict[str, Any], list[OuterStep], TuneResult]


@pytest.fixture(scope="module", params=[PORTFOLIO, DESCENT, SEVERAL], ids=["portfolio", "descent", "several starts"])
def undisturbed(request: pytest.FixtureRequest) -> Undisturbed:
    whole = study(**request.param)
    steps = list(whole)
    return request.param, steps, whole.finish()


def test_outer_steps_are_numbered_from_the_start_to_the_last(undisturbed: Undisturbed) -> None:
    _, steps, _ = undisturbed
    assert [step.outer_step for step in steps] == list(range(steps[0].outer_steps + 1))
    assert steps[0].sweep is not None and steps[0].gradient == {} and steps[0].gradient_norm is None
    assert steps[0].arm == "scout"
    gradients = [step for step in steps if step.arm == "gradient"]
    assert gradients and all(set(step.gradient) == set(step.hyperparameters) for step in gradients)
    costs = [step.run_equivalents for step in steps]
    assert costs == sorted(costs) and costs[0] > 0


def test_the_portfolio_plays_both_arms_and_never_loses_its_best_point(undisturbed: Undisturbed) -> None:
    fields, steps, result = undisturbed
    if fields is not PORTFOLIO:
        assert all(step.arm == "gradient" for step in steps[1:])
        return
    assert {step.arm for step in steps} == {"scout", "sampler", "gradient"}
    assert all(step.gain is not None and step.gain >= 0 and step.reason for step in steps)
    assert all(step.moved == (step.step_length > 0) == (step.gain > 0) for step in steps[1:])
    assert steps[-1].spent is not None
    assert sum(steps[-1].spent.values()) == pytest.approx(steps[-1].run_equivalents - steps[0].run_equivalents)
    assert result.best.validation.mean <= result.start.validation.mean


def test_every_point_of_a_full_run_is_reported_once_with_a_loss(undisturbed: Undisturbed) -> None:
    fields, steps, _ = undisturbed
    if fields is not PORTFOLIO:
        assert all(step.tried is None for step in steps)
        return
    tried = [step.tried for step in steps if step.tried is not None]
    assert len(tried) == len(steps)
    for step, points in zip(steps, tried, strict=True):
        assert set(points.hyperparameters) == set(step.hyperparameters)
        assert {len(column) for column in points.hyperparameters.values()} == {len(points.losses)}
    rows = [row for points in tried for row in zip(*points.hyperparameters.values(), strict=True)]
    assert len(rows) == len(set(rows)) > len(steps)
    # Every incumbent is one of them, tried in its own step or before.
    for index, step in enumerate(steps):
        so_far = {row for points in tried[: index + 1] for row in zip(*points.hyperparameters.values(), strict=True)}
        assert tuple(step.hyperparameters.values()) in so_far


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 4])
def test_a_study_resumed_after_any_outer_step_ends_bit_for_bit_like_an_undisturbed_one(
    undisturbed: Undisturbed, stop: int
) -> None:
    fields, steps, result = undisturbed
    first = study(**fields)
    before = [step for _, step in zip(range(stop), first, strict=False)]
    second = study(**fields)
    second.load_state_dict(first.state_dict())
    after = list(second)
    assert before + after == steps
    assert without_clock(second.finish()) == without_clock(result)


def test_a_study_stopped_in_the_middle_of_a_step_goes_on_from_its_last_state(undisturbed: Undisturbed) -> None:
    fields, steps, result = undisturbed
    calls = 0

    class KilledError(Exception):
        pass

    def kill(progress: Progress) -> None:
        nonlocal calls
        calls += progress.phase == "tune" and progress.outer_step == 2
        if calls == 20:
            raise KilledError

    victim = Study(JobSpec.model_validate({**TINY, **fields}), threads=1, on_progress=kill)
    steps_done = iter(victim)
    for _ in range(2):
        next(steps_done)
        saved = victim.state_dict()
    with pytest.raises(KilledError):
        list(steps_done)
    heir = study(**fields)
    heir.load_state_dict(saved)
    assert list(heir) == steps[2:]
    assert without_clock(heir.finish()) == without_clock(result)


def test_the_test_split_is_seen_by_no_outer_step_and_no_choice() -> None:
    data = load("digits")
    poisoned = replace(data, test=replace(data.test, inputs=torch.full_like(data.test.inputs, torch.nan)))
    clean, blind = study(), Study(JobSpec.model_validate(TINY), threads=1, data=poisoned)
    assert list(clean) == list(blind)
    assert clean.finish().best.hyperparameters == blind.finish().best.hyperparameters


def test_progress_runs_from_nought_to_one_and_never_back() -> None:
    seen: list[Progress] = []
    watched = Study(JobSpec.model_validate(TINY), threads=1, on_progress=seen.append)
    list(watched)
    watched.finish()
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0 and fractions[-1] == 1.0
    assert list(dict.fromkeys(progress.phase for progress in seen)) == ["scout", "tune", "finish", "check", "done"]
    assert max(later - earlier for earlier, later in itertools.pairwise(fractions)) < 0.2


@pytest.mark.slow
def test_tuning_improves_a_poor_start_by_more_than_its_error() -> None:
    fields: dict[str, Any] = {
        "optimizer": {"name": "adamw", "learning_rate": 5e-4},
        "inner": {"steps": 40, "batch_size": 32, "seeds": 4},
        "outer": {"steps": 6, "scout": False},
    }
    tuned = study(**fields)
    list(tuned)
    result = tuned.finish()
    before, after = result.start.validation, result.best.validation
    assert after.mean < 0.5 * before.mean
    assert before.mean - after.mean > 5 * (before.stderr + after.stderr)
    assert result.best.test.mean < 0.5 * result.start.test.mean


def test_the_higher_engine_runs_a_whole_job() -> None:
    whole = study(
        method={"estimator": "higher"},
        inner={"steps": 6, "batch_size": 16, "seeds": 2},
        outer={"steps": 1, "scout": False, "finish_seeds": 2},
    )
    steps = list(whole)
    result = whole.finish()
    assert steps[1].bounded_share is None and result.chaos is None
    assert (result.estimator.engine, result.estimator.adjoint) == ("higher", "exact")


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": {"name": "sgd"}, "parametrization": "standard"},
        {"optimizer": {"name": "adam"}, "schedule": {"name": "constant"}, "search": [{"name": "beta2"}]},
        {"task": "breast-cancer", "model": {"width": 8, "depth": 1}, "schedule": {"name": "warmup"}},
        {"task": "synthetic", "method": {"adjoint": "exact", "checkpointing": "sqrt"}, "optimizer": {"clip_norm": None}},
        {
            "optimizer": {"decay": "independent"},
            "search": [{"name": "weight_decay", "scope": "tensor"}],
            "inner": {"seeds": 1},
        },
    ],
    ids=["sgd", "adam", "one layer", "exact adjoint", "one seed"],
)
def test_every_kind_of_job_ends_with_a_finite_result(fields: dict[str, Any]) -> None:
    inner = {"steps": 8, "batch_size": 16, "seeds": 2, **fields.pop("inner", {})}
    whole = study(**fields, inner=inner, outer={"steps": 1, "finish_seeds": 2})
    list(whole)
    result = whole.finish()
    assert result.best.validation.mean <= result.start.validation.mean
    assert (result.coordinate_check is None) == (fields.get("parametrization") == "standard")


def test_a_job_whose_every_run_diverges_says_so_and_what_to_do() -> None:
    hopeless = study(
        optimizer={"name": "sgd", "clip_norm": None, "learning_rate": 80.0},
        search=[{"name": "learning_rate", "low": 50, "high": 100}],
    )
    with pytest.raises(Diverged, match="diverged at each of 8 learning rates") as error:
        list(hopeless)
    assert "lower the low end" in str(error.value.hint)


def test_a_state_of_another_spec_a_damaged_state_and_a_missing_file_are_refused() -> None:
    files = study().state_dict()
    with pytest.raises(InvalidData, match="another spec"):
        study(seed=6).load_state_dict(files)
    with pytest.raises(InvalidData, match=r"lacks state\.json"):
        study().load_state_dict({"state.safetensors": files["state.safetensors"]})
    with pytest.raises(InvalidData, match="damaged"):
        study().load_state_dict({**files, "state.safetensors": files["state.safetensors"][:5]})


def test_finishing_early_is_an_error_of_the_caller() -> None:
    with pytest.raises(RuntimeError, match="still to do"):
        study().finish()


@pytest.mark.parametrize("estimator", ["auto", "reverse"])
def test_a_budget_ends_the_search_with_the_step_that_spends_it(estimator: str) -> None:
    inner = {"steps": 20, "batch_size": 16, "seeds": 2}
    seen: list[Progress] = []
    fields = {"inner": inner, "method": {"estimator": estimator}, "outer": {"budget": 45, "finish_seeds": 2}}
    spec = JobSpec.model_validate({**TINY, **fields})
    assert spec.outer.steps == 1000 and JobSpec.model_validate(spec.model_dump(mode="json")) == spec
    whole = Study(spec, on_progress=seen.append)
    costs = [step.run_equivalents for step in whole]
    assert costs[-1] > 44 and all(cost <= 44 for cost in costs[:-1])
    assert costs[-1] < 45 + 20
    whole.finish()
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_the_last_step_of_a_budget_proposes_no_more_points_than_it_pays_for() -> None:
    inner = {"steps": 20, "batch_size": 16, "seeds": 1}
    steps = list(study(inner=inner, outer={"budget": 25, "finish_seeds": 2}))
    for before, step in itertools.pairwise(steps):
        assert step.candidates is not None and step.candidates <= max(1, 25 - before.run_equivalents)


def test_steps_that_are_given_limit_a_budget() -> None:
    limited = study(inner={"steps": 8, "batch_size": 16, "seeds": 1}, outer={"budget": 1000, "steps": 1})
    assert [step.outer_step for step in limited] == [0, 1] and limited.is_over


def test_auto_without_a_learning_rate_in_the_search_still_looks_around() -> None:
    steps = list(study(search=[{"name": "weight_decay"}, {"name": "clip_norm"}], outer={"steps": 1}))
    assert steps[0].sweep is None and steps[0].candidates is not None and steps[0].candidates >= 3
