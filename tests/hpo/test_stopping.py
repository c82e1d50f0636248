"""Candidates that are ended early: those that could not have won, in every race of a job, and for less work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import hpo.search.descent.scout
import hpo.search.descent.trust_region
import hpo.search.portfolio.intensifier
from hpo.footprint.budget import RACE_FINALISTS
from hpo.search.account import Account
from hpo.search.portfolio.intensifier import Intensifier
from hpo.search.spread import spread
from hpo.search.stopping import (
    Raced,
    all_but_best,
    behind_row,
    behind_run,
    extrapolated_loss,
    judge_early,
    looks,
    lowest_gaps,
)
from hpo.study import Study
from hpo.training.evaluation import SeedPath, judge
from hpo.training.problem import InnerProblem
from windtunnel.types import JobSpec, OuterStep, TuneResult

SPEC: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 16},
    "inner": {"steps": 80, "batch_size": 32, "seeds": 2},
    "search": [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}],
    "seed": 6,
    # What is measured for a transfer is not raced.
    "parametrization": "standard",
    "transfer": {"noise_scale": False},
}
AUTO: dict[str, Any] = {"outer": {"steps": 4, "finish_seeds": 2, "early_stopping": True}}
NAMED: dict[str, Any] = {
    "method": {"estimator": "reverse"},
    "outer": {"steps": 3, "finish_seeds": 2, "early_stopping": True},
}
SEEN = [10, 20, 30, 40]


def test_a_gap_that_closes_is_not_extrapolated_beyond_its_end_and_one_that_opens_is() -> None:
    def low(*factors: float) -> float:
        return lowest_gaps({0: factors}, [1.0] * 4, SEEN, 100)[0]

    assert low(1.1, 1.2, 1.3, 1.4) > 0
    assert low(1.4, 1.3, 1.2, 1.1) < 0
    # What scatters is not told apart from 0.
    assert low(1.1, 1.6, 1.0, 1.4) < 0


def test_the_line_is_over_the_logarithm_of_the_steps_so_that_a_power_law_is_met_exactly() -> None:
    own, rival = [[factor * step**-power for step in SEEN] for factor, power in ((3.0, 0.4), (2.0, 0.5))]
    (gap,) = lowest_gaps({7: own}, rival, SEEN, 100).values()
    assert gap == pytest.approx(math.log(1.5 * 100**0.1), abs=1e-6)
    at_end = 2.0 * 80**-0.5
    own, rival = [[factor * step**-power for step in looks(80)] for factor, power in ((3.0, 0.4), (2.0, 0.5))]
    assert extrapolated_loss(own[:4], rival, at_end, 80) == pytest.approx(3.0 * 80**-0.4)
    assert extrapolated_loss(rival[:4], own, 3.0 * 80**-0.4, 80) == 3.0 * 80**-0.4


def test_a_curve_on_a_line_by_luck_is_no_surer_than_its_neighbours() -> None:
    lucky, noisy = [1.01, 1.02, 1.03, 1.04], [1.3, 1.0, 1.4, 1.1]
    assert lowest_gaps({0: lucky}, [1.0] * 4, SEEN, 100)[0] > 0
    assert lowest_gaps({0: lucky, 1: noisy}, [1.0] * 4, SEEN, 100)[0] < 0


def test_too_few_looks_and_losses_without_a_logarithm_tell_of_nothing() -> None:
    assert lowest_gaps({0: [2.0] * 3}, [1.0] * 3, SEEN[:3], 100) == {}
    assert lowest_gaps({0: [2.0] * 4, 1: [0.0, 1.0, 1.0, 1.0]}, [1.0] * 4, SEEN, 100).keys() == {0}
    assert lowest_gaps({0: [2.0] * 4}, [1.0, 1.0, 0.0, 1.0], SEEN, 100) == {}


def test_the_best_are_kept_whatever_they_do_and_so_is_who_leads_by_earlier_seeds() -> None:
    curves = torch.tensor([[2.0, 1.5, 1.2, 1.0], [2.1, 1.6, 1.3, 1.1], [4.0, 4.0, 4.1, 4.1]], dtype=torch.float64)
    assert list(all_but_best(2)(curves, SEEN, 100)) == [2]
    assert list(all_but_best(3)(curves, SEEN, 100)) == []
    ahead, level = torch.tensor([1.0, 1.0, 0.9]), torch.tensor([1.0, 1.0, 1.0])
    assert list(all_but_best(2, ahead)(curves, SEEN, 100)) == []
    assert list(all_but_best(2, level)(curves, SEEN, 100)) == [2]
    assert list(behind_row(1)(curves, SEEN, 100)) == [2]
    assert list(behind_row(2)(curves, SEEN, 100)) == []


def test_a_comparison_goes_on_as_long_as_the_lead_may_last() -> None:
    challenger = torch.tensor([[2.0] * 4], dtype=torch.float64)
    # It will end at twice the loss of .5.
    assert list(behind_run([1.0] * 4, 0.5, 0.49)(challenger, SEEN, 100)) == [0]
    assert list(behind_run([1.0] * 4, 0.5, 0.51)(challenger, SEEN, 100)) == []
    assert list(behind_run([1.0] * 4, 0.5, math.inf)(challenger, SEEN, 100)) == []


def test_runs_that_go_on_are_those_of_a_full_race_and_what_diverged_ends_at_once() -> None:
    study = Study(JobSpec.model_validate(SPEC | NAMED))
    space, paths = study.space, [(1, 5, 0, index) for index in range(2)]
    points = spread(space.low, space.high, 10, 1)
    # A rate beyond all numbers.
    points = torch.cat([points, torch.full_like(points[:1], 90.0)])
    full = judge(study.problem, points, paths, 8, lambda _: None).validation
    done: list[int] = []
    found = judge_early(study.problem, points, paths, 8, done.append, all_but_best(RACE_FINALISTS))
    kept = [row for row in range(10) if row not in found.ended]
    torch.testing.assert_close(found.losses[kept], full[kept], rtol=1e-5, atol=1e-6)
    best = full.mean(dim=1).argsort(stable=True)[:RACE_FINALISTS].tolist()
    assert found.ended and not set(best) & set(found.ended)
    assert found.losses[10].isinf().all() and full[10].isinf().all() and found.early.diverged == 1
    assert sum(done) == found.member_steps == 11 * 2 * 80 - found.early.steps < 0.9 * 11 * 2 * 80
    whole = judge_early(study.problem, points, paths, 8, lambda _: None)
    torch.testing.assert_close(whole.losses, full, rtol=1e-5, atol=1e-6)


@dataclass(frozen=True)
class Watched:
    """A job that was run to its end, and every race that it held."""

    study: Study
    races: list[tuple[Tensor, Sequence[SeedPath], Raced]]
    steps: list[OuterStep]
    result: TuneResult


@pytest.fixture(scope="module", params=[AUTO, NAMED], ids=["auto", "reverse"])
def watched(request: pytest.FixtureRequest) -> Watched:
    races = []

    def noted(problem: InnerProblem, points: Tensor, seeds: Sequence[SeedPath], *rest: Any) -> Raced:
        raced = judge_early(problem, points, seeds, *rest)
        races.append((points, seeds, raced))
        return raced

    with pytest.MonkeyPatch.context() as patch:
        for module in (hpo.search.portfolio.intensifier, hpo.search.descent.trust_region, hpo.search.descent.scout):
            patch.setattr(module, "judge_early", noted)
        study = Study(JobSpec.model_validate(SPEC | request.param))
        return Watched(study, races, list(study), study.finish())


def test_in_every_race_of_a_job_whoever_was_ended_would_not_have_won(watched: Watched) -> None:
    ended = 0
    for points, seeds, raced in watched.races:
        if raced.ended and len(points) > 1:
            ended += len(raced.ended)
            full = judge(watched.study.problem, points, seeds, 32, lambda _: None).validation.mean(dim=1)
            assert int(full.argmin()) not in raced.ended
    assert ended >= 5


def test_the_result_adds_up_what_the_steps_say(watched: Watched) -> None:
    told = watched.result.early_stopping
    assert told is not None and told.candidates > told.stopped >= 5
    assert told.stopped + told.diverged == sum(step.ended_early for step in watched.steps)
    assert told.saved_steps == sum(step.saved_steps for step in watched.steps) > 0
    assert told.saved_run_equivalents == told.saved_steps / 80
    assert f"{told.stopped} of {told.candidates} candidates" in told.sentence


def test_a_job_that_is_cut_off_and_resumed_ends_bit_for_bit_as_one_that_was_not(watched: Watched) -> None:
    half = Study(watched.study.spec)
    first = [step for _, step in zip(range(2), half, strict=False)]
    rest = Study(watched.study.spec)
    rest.load_state_dict(half.state_dict())
    assert [*first, *rest] == watched.steps
    clock = {"cost": {"wall_seconds"}}
    assert rest.finish().model_dump(exclude=clock) == watched.result.model_dump(exclude=clock)


@pytest.mark.parametrize("watched", [NAMED], ids=["reverse"], indirect=True)
def test_the_cost_falls_by_just_the_steps_that_were_saved(watched: Watched) -> None:
    plain = Study(JobSpec.model_validate(SPEC | NAMED | {"outer": {"steps": 1, "finish_seeds": 2}}))
    costs = [step.run_equivalents for step in plain]
    saved = sum(step.saved_steps for step in watched.steps[:2]) / 80
    assert saved > 1 and costs[1] - watched.steps[1].run_equivalents == pytest.approx(saved)


def test_an_extrapolated_loss_ranks_a_point_but_is_no_run(build_problem) -> None:
    problem = build_problem(torch.float32, model={"width": 4, "depth": 1}, inner={"steps": 10, "batch_size": 8})
    intensifier = Intensifier(
        problem, lambda index: (0, 3, 0, index), 4, 32, Account(5, 10, lambda _: None), early_stopping=True
    )
    start = problem.space.start()
    (low, high) = intensifier.seen.add(torch.stack([start, start - 6.0]), "scout")
    intensifier.race([low, high], 0, 1)
    assert intensifier.early.stopped == 1 and intensifier.account.spent == 20 - intensifier.early.steps
    assert intensifier.seen.extrapolated == {(high, 0)} and not intensifier.seen.is_run(high, 0)
    assert len(intensifier.seen.known(high)) == 0 and float(intensifier.seen.losses[high, 0]) > float(
        intensifier.seen.losses[low, 0]
    )
    assert intensifier.challenge([high]) == 0.0 and intensifier.incumbent == low
    # Whoever needs the loss itself has it run to the end.
    intensifier.run([high], 0)
    assert intensifier.seen.is_run(high, 0) and not intensifier.seen.extrapolated


def test_it_is_refused_where_nothing_races() -> None:
    with pytest.raises(ValueError, match="runs no race"):
        JobSpec.model_validate(
            {
                "task": "digits",
                "search": [{"name": "dropout"}],
                "regularization": {"dropout": 0.1},
                "method": {"estimator": "delta_stn"},
                "outer": {"early_stopping": True},
            }
        )
