"""Best responses as jobs, alone and in turns with hypergradients: they go on bit for bit, refuse by name, report."""

import itertools
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hpo.certificate import best_response as certificate
from hpo.errors import CertificateFailed, Diverged, Refused
from hpo.estimators.best_response import BestResponse
from hpo.estimators.registry import response_objectives
from hpo.search.best_response.alternating import Alternating
from hpo.search.best_response.replay import points_of, replay
from hpo.study import Study
from windtunnel.types import JobSpec, OuterStep, Progress, TuneResult

TINY: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 24, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 3, "finish_seeds": 2},
    "search": [{"name": "l2", "scope": "role"}, {"name": "dropout", "scope": "layer"}],
    "regularization": {"l2": 1e-3},
    "method": {"estimator": "delta_stn"},
    "parametrization": "standard",
    "transfer": {"noise_scale": False},
    "seed": 5,
}
BOTH: dict[str, Any] = {
    "search": [{"name": "learning_rate"}, {"name": "weight_decay"}, {"name": "dropout"}, {"name": "label_smoothing"}],
    "method": {"estimator": "reverse", "best_response": "delta_stn"},
    "outer": {"steps": 4, "finish_seeds": 2, "scout": False},
}
STARTS: dict[str, Any] = {**BOTH, "outer": {"steps": 4, "finish_seeds": 2, "scout": False, "starts": 2}}
KINDS: dict[str, dict[str, Any]] = {
    "delta_stn": {},
    "stn": {"method": {"estimator": "stn"}},
    "both": BOTH,
    "both, two starts": STARTS,
}

Undisturbed = tuple[dict[str, Any], list[OuterStep], TuneResult]


def study(**fields: Any) -> Study:
    return Study(JobSpec.model_validate({**TINY, **fields}))


def without_clock(result: TuneResult) -> dict[str, Any]:
    found = result.model_dump(mode="json")
    del found["cost"]["wall_seconds"]
    return found


@pytest.fixture(scope="module", params=KINDS)
def undisturbed(request: pytest.FixtureRequest) -> Undisturbed:
    whole = study(**KINDS[request.param])
    steps = list(whole)
    return KINDS[request.param], steps, whole.finish()


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_study_resumed_after_any_outer_step_ends_bit_for_bit_like_an_undisturbed_one(
    undisturbed: Undisturbed, stop: int
) -> None:
    fields, steps, result = undisturbed
    first = study(**fields)
    before = [step for _, step in zip(range(stop), first, strict=False)]
    second = study(**fields)
    second.load_state_dict(first.state_dict())
    assert before + list(second) == steps
    assert without_clock(second.finish()) == without_clock(result)


def test_a_job_killed_inside_a_block_goes_on_from_its_last_state(undisturbed: Undisturbed) -> None:
    fields, steps, result = undisturbed
    calls = 0

    class KilledError(Exception):
        pass

    def kill(progress: Progress) -> None:
        nonlocal calls
        calls += progress.phase == "tune" and progress.outer_step == 2
        if calls == 3:
            raise KilledError

    victim = Study(JobSpec.model_validate({**TINY, **fields}), on_progress=kill)
    done = iter(victim)
    for _ in range(2):
        next(done)
        saved = victim.state_dict()
    with pytest.raises(KilledError):
        list(done)
    heir = study(**fields)
    heir.load_state_dict(saved)
    assert list(heir) == steps[2:]
    assert without_clock(heir.finish()) == without_clock(result)


def test_the_steps_of_a_run_cover_it_and_only_they_move_the_regularisers(undisturbed: Undisturbed) -> None:
    fields, steps, result = undisturbed
    costs = [step.run_equivalents for step in steps]
    assert costs == sorted(costs)
    responses = [step for step in steps if step.arm == "response"]
    assert all(step.scales and set(step.gradient) <= set(step.scales) for step in responses)
    if fields not in (BOTH, STARTS):
        assert [step.arm for step in steps] == ["response"] * 4 and not steps[0].moved and all(s.moved for s in steps[1:])
        assert steps[-1].loss is not None and steps[0].loss is not None and steps[-1].loss < steps[0].loss
        return
    assert [step.arm for step in steps] == ["scout", "gradient", "response", "gradient", "response"]
    assert all(set(step.scales or {}) == {"dropout", "label_smoothing"} for step in responses)
    for before, step in itertools.pairwise(steps):
        # A gradient step reports where it began, a response where it ended.
        if step.arm == "response":
            assert step.hyperparameters["dropout"] != before.hyperparameters["dropout"]
        else:
            assert step.hyperparameters["dropout"] == before.hyperparameters["dropout"]
            assert step.gradient["dropout"] == step.gradient["label_smoothing"] == 0.0 != step.gradient["learning_rate"]
    assert result.cost.run_equivalents > costs[-1]


def test_the_report_holds_schedule_comparison_and_quality(undisturbed: Undisturbed) -> None:
    fields, steps, result = undisturbed
    report = result.best_response
    assert report is not None and report.comparison is not None
    assert report.estimator == (fields.get("method", TINY["method"]).get("best_response") or result.spec.method.estimator)
    assert report.schedule.times[0] == 0 and report.schedule.times[-1] == 1
    last = [step for step in steps if step.arm == "response"][-1]
    for label, values in report.schedule.values.items():
        assert values[-1] == pytest.approx(last.hyperparameters[label]) == report.schedule.at(label, 1.0)
        assert report.schedule.at(label, 0.0) == values[0]
    comparison = report.comparison
    gain = comparison.held_test.mean - comparison.replayed_test.mean
    assert comparison.seeds == 2 and comparison.gain_test.mean == pytest.approx(gain)
    assert len(report.quality) == 5 and set(report.quality[0].offsets.values()) == {0.0}
    assert report.quality[0].error == 0.0 and all(point.error > 0 for point in report.quality[1:])
    certificate = result.certificate
    assert certificate is not None and all(point.passed for point in certificate.points)
    through = [point.through for point in certificate.points]
    assert through == (["run", "response", "run", "response"] if fields in (BOTH, STARTS) else ["response", "response"])
    assert "through the response" in certificate.sentence


def test_several_starts_go_on_with_the_regularisers_of_the_leaders_run_and_rates_of_their_own() -> None:
    job = study(**STARTS)
    steps = iter(job)
    for _ in range(3):
        next(steps)
    search = job._search
    assert isinstance(search, Alternating)
    points = torch.stack([start.state.point for start in search.descent.active])
    assert len(points) == 2 and torch.equal(points[0, search.rows], points[1, search.rows])
    assert not torch.isclose(points[0, :2], points[1, :2]).any()


def test_delta_stn_replayed_is_the_run_itself(undisturbed: Undisturbed) -> None:
    """The weights of Delta-STN are trained as if there were no response: their own seeds and schedule give them again."""
    fields, _, result = undisturbed
    if fields:
        return
    report = result.best_response
    assert report is not None
    own = report.quality[0]
    assert own.retrained == pytest.approx(own.predicted, rel=0.01)


def test_a_replay_of_a_constant_schedule_is_a_plain_run() -> None:
    job = study()
    list(job)
    problem, result = job.problem, job.finish()
    assert result.best_response is not None
    schedule = result.best_response.schedule
    flat = schedule.model_copy(update={"values": {label: [values[3]] * 41 for label, values in schedule.values.items()}})
    knots = points_of(problem.space, flat, problem.space.start())
    draw = problem.draw([(0, 0), (0, 1)])
    followed = replay(problem, knots.expand(2, -1, -1), draw)
    plain = problem.train(knots[0].expand(2, -1), draw)
    torch.testing.assert_close(followed.parameters, plain.parameters, rtol=1e-5, atol=1e-7)


def test_all_regularisers_stay_inside_their_ranges() -> None:
    narrow = [{"name": "dropout", "low": 0.05, "high": 0.2}]
    job = study(search=narrow, method={"estimator": "stn", "hyper_rate": 1.0, "training_steps": 1})
    values = [step.hyperparameters["dropout"] for step in job]
    assert all(0.05 <= value <= 0.2 + 1e-9 for value in values) and {0.05, 0.2} & {round(value, 9) for value in values}


def test_a_run_that_diverges_says_so() -> None:
    hopeless = study(
        optimizer={"name": "sgd", "learning_rate": 90.0, "clip_norm": None},
        model={"width": 16, "depth": 2},
        inner={"steps": 60, "batch_size": 32, "seeds": 2},
        regularization={"l2": 1.0},
    )
    with pytest.raises(Diverged, match="best-response runs diverged"):
        list(hopeless)


def test_a_wrong_gradient_ends_the_job(monkeypatch) -> None:
    right = certificate._validation

    def wrong(*arguments):
        value, gradient, loss = right(*arguments)
        return value, 1.0001 * gradient, loss

    monkeypatch.setattr(certificate, "_validation", wrong)
    with pytest.raises(CertificateFailed, match="gradient through the response"):
        list(study())


@pytest.mark.parametrize(
    "name", ["learning_rate", "weight_decay", "momentum", "clip_norm", "init_scale", "output_multiplier"]
)
@pytest.mark.parametrize("kind", ["stn", "delta_stn"])
def test_what_the_optimizer_does_is_refused_by_name_with_reverse_on_offer(kind: str, name: str) -> None:
    fields = {**TINY, "search": [{"name": name}], "optimizer": {"name": "sgd"}, "method": {"estimator": kind}}
    with pytest.raises(ValidationError, match=f"estimator '{kind}' cannot differentiate {name}.*reverse"):
        JobSpec.model_validate(fields)
    problem = study(**{**fields, "method": {"estimator": "reverse"}}).problem
    with pytest.raises(Refused, match=f"cannot differentiate {name}") as error:
        BestResponse(response_objectives(kind)).estimate(problem, problem.space.start()[None], problem.draw([(0, 0)]))
    assert "reverse" in str(error.value.hint)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"outer": {"budget": 50}}, "/outer/budget"),
        ({"outer": {"starts": 2}}, "from one point; allowed: 1, or method.estimator 'reverse' with method.best_response"),
        ({"method": {"estimator": "stn", "training_steps": 23}}, "allowed: at most 22"),
        ({"method": {"estimator": "delta_stn", "window": 3}}, "window is no setting of 'delta_stn'"),
        ({"method": {"estimator": "stn", "control_variate": True}}, "control_variate is no setting of 'stn'"),
        ({"method": {"estimator": "reverse", "entropy": 0.1}}, "entropy is no setting of 'reverse'"),
        ({"method": {"estimator": "reverse", "best_response": "stn"}}, "nothing is left for 'reverse'"),
        ({**BOTH, "search": [{"name": "learning_rate"}]}, "has no regulariser to tune"),
        ({**BOTH, "method": {"estimator": "auto", "best_response": "stn"}}, "samples and races points of all"),
        ({**BOTH, "method": {"estimator": "stn", "best_response": "stn"}}, "it is a best response itself"),
        ({**BOTH, "outer": {"steps": 1}}, "the best response the even ones"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        JobSpec.model_validate({**TINY, **fields})
    (found,) = error.value.errors()
    assert words in found["msg"] or words in str(found)
