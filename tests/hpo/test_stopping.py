"""Candidates that are ended early: those that a full race would not have had among its finalists, and for less work."""

import pytest
import torch

from hpo.evaluation import judge
from hpo.race import FINALISTS
from hpo.spread import spread
from hpo.stopping import hopeless, judge_early, lowest_at_end
from hpo.study import Study
from windtunnel.types import JobSpec

SPEC = {
    "task": "digits",
    "model": {"width": 16},
    "inner": {"steps": 80, "batch_size": 32, "seeds": 2},
    "search": [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}],
    "method": {"estimator": "reverse"},
    "outer": {"steps": 2, "finish_seeds": 2, "early_stopping": True},
}


def test_a_gap_that_closes_is_not_extrapolated_beyond_its_end_and_one_that_opens_is() -> None:
    seen = [25, 50, 75]
    assert lowest_at_end([0.1, 0.2, 0.3], seen, 100) > 0
    assert lowest_at_end([0.3, 0.2, 0.1], seen, 100) < 0
    # What scatters is not told apart from 0.
    assert lowest_at_end([0.1, 0.4, 0.1], seen, 100) < 0


def test_the_best_stay_whatever_the_others_do_and_what_diverged_goes_at_once() -> None:
    curves = [[2.0, 1.5, 1.2], [2.1, 1.6, 1.3], [4.0, 4.0, 4.1], [3.0, 3.0, float("inf")]]
    assert hopeless(curves, [25, 50, 75], 100, 2) == {2, 3}
    assert hopeless([curve[:2] for curve in curves[:3]], [25, 50], 100, 2) == set()
    assert hopeless(curves[:2], [25, 50, 75], 100, 2) == set()


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_stopped_would_have_been_no_finalist_and_the_finalists_losses_are_those_of_full_runs(seed: int) -> None:
    study = Study(JobSpec.model_validate(SPEC))
    space, path = study.space, (seed, 5, 0, 0)
    points = spread(space.low, space.high, 12, seed)
    full = judge(study.problem, points, [path], 4, lambda _: None).validation[:, 0]
    done: list[int] = []
    found, spent = judge_early(study.problem, points, path, FINALISTS, 4, done.append)
    best = full.argsort(stable=True)[:FINALISTS]
    torch.testing.assert_close(found[best], full[best], rtol=1e-5, atol=1e-6)
    kept = found.isfinite()
    torch.testing.assert_close(found[kept], full[kept], rtol=1e-5, atol=1e-6)
    assert sum(done) == spent < 0.9 * 12 * 80


def test_a_job_may_ask_for_it_and_pays_less() -> None:
    costs = []
    for early in (False, True):
        study = Study(JobSpec.model_validate(SPEC | {"outer": {**SPEC["outer"], "early_stopping": early}}))
        costs.append([step.run_equivalents for step in study][-1])
    assert costs[1] <= costs[0]


def test_it_is_refused_where_nothing_races() -> None:
    with pytest.raises(ValueError, match="runs no race"):
        JobSpec.model_validate({"task": "digits", "outer": {"early_stopping": True}})
