"""Several starts as one population: which basin they find, who leads, who is dropped, what they share."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.estimators.protocol import Estimate
from hpo.estimators.reverse import Reverse
from hpo.footprint.budget import STARTS_SPREAD, SWEEP, SWEEP_FINALISTS
from hpo.footprint.sizes import Sizes
from hpo.search.account import Account
from hpo.search.descent.descent import APART, Descent
from hpo.search.descent.starts import Start, advance_all, is_behind, leading
from hpo.search.descent.trust_region import Evaluation
from hpo.search.protocol import SearchContext
from hpo.seeding import number_of
from hpo.sizing.work import phases
from hpo.study import Study
from hpo.training.problem import Draw, TrainedMembers
from hpo.training.space import Space
from windtunnel.types import JobSpec, OuterStep, Progress

FIELDS: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 8, "depth": 1},
    "inner": {"steps": 40, "seeds": 3},
    "search": [{"name": "learning_rate"}, {"name": "weight_decay"}],
    "method": {"estimator": "reverse"},
    "seed": 2,
    "initial": {},
}
NEAR, DEEP = -6.0, -1.5
"""ln of the learning rate in the middle of each basin. A job begins at ln .003 = -5.8."""


def two_basins(points: Tensor) -> Tensor:
    """A basin of depth 0.5 where a job begins, one of depth 0 behind a ridge at -4.3."""
    rate, decay = points[:, 0], points[:, 1]
    return torch.minimum(0.5 + 0.1 * (rate - NEAR).square(), 0.1 * (rate - DEEP).square()) + 0.01 * (decay + 4).square()


@dataclass
class Landscape:
    """An inner problem whose runs end at a loss that is known, plus a number of the seed's own; and its estimator."""

    space: Space
    spec: JobSpec
    steps: int
    loss: Callable[[Tensor], Tensor]
    data: Any = field(default_factory=lambda: SimpleNamespace(validation=None, test=None))
    asked: list[tuple[Tensor, tuple[int, ...]]] = field(default_factory=list)

    def draw(self, seeds) -> Draw:
        streams = tuple(number_of(seed) for seed in seeds)
        luck = torch.tensor([[stream % 1000 / 1000] for stream in streams], dtype=torch.float64)
        keys = torch.zeros(len(seeds), dtype=torch.long)
        return Draw(luck, torch.zeros(len(seeds), 1, 1, dtype=torch.long), streams, keys)

    def train(self, points, draw, on_step) -> TrainedMembers:
        on_step(len(points) * self.steps)
        return TrainedMembers(self.loss(points) + draw.noise[:, 0], {})

    def evaluate(self, parameters, loss, split) -> tuple[Tensor, Tensor]:
        return parameters, torch.zeros_like(parameters)

    def estimate(self, problem, points, draw, on_step=lambda _: None) -> Estimate:
        self.asked.append((points, draw.streams))
        leaf = points.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(leaf).sum(), [leaf])
        return Estimate(self.loss(points) + draw.noise[:, 0], gradient, cost=4.0 * len(points) * self.steps)

    def member_steps(self, problem) -> int:
        return 2 * self.steps


def landscape(spec: JobSpec, build_problem, loss: Callable[[Tensor], Tensor]) -> Landscape:
    return Landscape(build_problem(**{name: getattr(spec, name) for name in FIELDS}).space, spec, spec.inner.steps, loss)


@pytest.fixture
def descent(build_problem):
    """(starts, loss, outer fields) -> the search of a job on that landscape."""

    def build(starts: int, loss: Callable[[Tensor], Tensor] = two_basins, **outer: Any) -> Descent:
        spec = JobSpec.model_validate({**FIELDS, "outer": {"steps": 8, "scout": False, "starts": starts, **outer}})
        problem = landscape(spec, build_problem, loss)
        account = Account(spec.outer.planned_steps, spec.inner.steps, lambda _: None)
        return Descent(
            SearchContext(spec, problem, lambda other: landscape(other, build_problem, loss), problem, 32, account)
        )

    return build


def search(found: Descent, steps: int = 8) -> list[OuterStep]:
    return [found.begin(), *(found.advance(outer_step) for outer_step in range(1, steps + 1))]


# Where they come from, and what they find


def test_one_start_ends_in_the_near_basin_and_four_find_the_deep_one(descent) -> None:
    one, four = descent(1), descent(4)
    ends = [two_basins(found.candidates()).min().item() for found in (one, four) if search(found)]
    assert ends[0] > 0.5 and ends[1] < 0.05
    rate = four.leader.state.point[0].item()
    assert four.leader.number > 0 and abs(rate - DEEP) < abs(DEEP - -4.3)


def test_a_start_that_was_given_is_among_those_that_the_scout_judges(build_problem) -> None:
    search = [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}]
    given = {"learning_rate.input": 1e-4, "learning_rate.hidden": 1e-2, "learning_rate.output": 0.5}
    spec = JobSpec.model_validate({**FIELDS, "model": {"width": 8, "depth": 2}, "search": search, "initial": given})
    space = build_problem(**{name: getattr(spec, name) for name in FIELDS}).space
    wanted = space.start()

    def around_it(points: Tensor) -> Tensor:
        return (points - wanted).square().sum(dim=1)

    problem = landscape(spec, build_problem, around_it)
    account = Account(spec.outer.planned_steps, spec.inner.steps, lambda _: None)
    shorter = partial(landscape, build_problem=build_problem, loss=around_it)
    step = Descent(SearchContext(spec, problem, shorter, problem, 32, account)).begin()
    assert {label: step.hyperparameters[label] for label in given} == pytest.approx(given)
    assert account.spent == SWEEP * 20 + SWEEP_FINALISTS * 3 * 40


def test_start_0_is_where_a_single_start_begins(descent) -> None:
    one, four = descent(1), descent(4)
    alone, together = one.begin(), four.begin()
    assert torch.equal(one.start, four.start)
    assert (alone.loss, alone.hyperparameters) == (together.loss, together.hyperparameters)
    assert (alone.starts, alone.leader, alone.reason) == (None, None, None)
    assert (together.starts, together.leader) == (4, 0)
    assert "12 of 12 points" in together.reason and "3 of them" in together.reason
    points = torch.stack([start.state.point for start in four.active])
    distances = (points[:, None] - points).abs().amax(dim=2)
    assert distances[~torch.eye(4, dtype=torch.bool)].min() >= APART
    short = 20
    assert four.context.account.spent - one.context.account.spent == STARTS_SPREAD * 3 * short


def test_fewer_starts_than_asked_for_are_said_to_be_so(descent) -> None:
    def mostly_divergent(points: Tensor) -> Tensor:
        return torch.where(points[:, 0] < -3.5, two_basins(points), math.inf)

    found = descent(9, mostly_divergent)
    step = found.begin()
    finite = int(step.reason.split(" of ")[0])
    assert 0 < finite < 32 and f"{finite} of 32 points spread over the space stayed finite" in step.reason
    narrow = descent(4, lambda points: torch.where((points[:, 0] + 5.8).abs() < 0.1, two_basins(points), math.inf))
    step = narrow.begin()
    assert (step.starts, step.leader) == (1, 0) and "0 of 12 points" in step.reason and "0 of them" in step.reason
    assert narrow.advance(1).starts == 1


def test_where_start_0_diverges_the_next_takes_its_place(descent) -> None:
    def divergent_below(points: Tensor) -> Tensor:
        return torch.where(points[:, 0] > -5.0, two_basins(points), math.inf)

    with pytest.raises(Diverged, match="all 3 training runs at the start"):
        descent(1, divergent_below).begin()
    found = descent(4, divergent_below)
    step = found.begin()
    assert (step.leader, step.starts) == (1, 3) and "start 0 dropped: all 3 training runs diverged" in step.reason
    assert torch.equal(found.start, found.leader.state.point) and step.dropped_members == 3
    with pytest.raises(Diverged, match="all 3 training runs at the start"):
        descent(4, lambda points: torch.full_like(points[:, 0], math.nan)).begin()


def test_the_end_is_judged_where_every_living_start_stands(descent) -> None:
    found = descent(4)
    search(found, 1)
    points = found.candidates()
    assert torch.equal(points[0], found.start)
    for start in found.active:
        assert (points == start.state.point).all(dim=1).any()
    assert len(points.unique(dim=0)) == len(points)


# Who leads, who is dropped


def started(space: Space, *rates: float) -> list[Start]:
    return [Start.at(number, torch.tensor([rate, -4.0], dtype=torch.float64)) for number, rate in enumerate(rates)]


SEEDS = [(0, 1, 1, index) for index in range(3)]


def rounds(problem: Landscape, starts: list[Start], count: int, population: int = 32):
    account, found = Account(count, 40, lambda _: None), []
    for outer_step in range(1, count + 1):
        found.append(advance_all(problem, problem, starts, SEEDS, outer_step, population, account))
        starts = found[-1].active
    return found


@pytest.fixture
def basins(build_problem) -> Landscape:
    return landscape(JobSpec.model_validate(FIELDS), build_problem, two_basins)


def test_a_start_behind_twice_in_a_row_is_dropped_and_the_last_never(basins) -> None:
    first, second, third = rounds(basins, started(basins.space, -11.0, -1.6, -6.0), 3)
    assert [start.number for start in first.active] == [0, 1, 2] and first.dropped == ()
    assert [start.behind for start in first.active] == [1, 0, 1]
    assert [start.number for start in second.active] == [1] == [start.number for start in third.active]
    assert second.leader.number == 1
    for words, number in zip(second.dropped, (0, 2), strict=True):
        assert words.startswith(f"start {number} dropped: behind start 1 by ")


def test_a_start_that_catches_up_begins_to_count_anew(basins) -> None:
    ahead, catching = started(basins.space, -1.5, -1.5)
    done = rounds(basins, [ahead, Start(1, catching.state, behind=1)], 1)[0]
    assert [start.behind for start in done.active] == [0, 0]


def test_a_dropped_start_costs_nothing_more(basins) -> None:
    account = Account(2, 40, lambda _: None)
    starts = [start if start.number else Start(0, start.state, behind=1) for start in started(basins.space, -11.0, -1.6)]
    advance_all(basins, basins, starts, SEEDS, 1, 32, account)
    races = 6 + 2 * 2
    assert account.spent == (2 * 3 * 4 + races) * basins.steps


def test_a_start_without_a_finite_run_is_dropped_and_the_last_one_fails_the_job(basins) -> None:
    basins.loss = lambda points: torch.where(points[:, 0] < -5, two_basins(points), math.nan)
    lost, sound = started(basins.space, -1.5, -6.5)
    done = rounds(basins, [lost, sound], 1)[0]
    assert [start.number for start in done.active] == [1] == [done.leader.number]
    assert done.dropped == ("start 0 dropped: all 3 training runs of an outer step diverged, at the first look",)
    assert done.diverged == 3
    back = Evaluation(0, torch.tensor([-1.0, -4.0], dtype=torch.float64), 1.0, 0.1)
    patient = [Start.at(0, lost.state.point, (back,)), Start.at(1, lost.state.point)]
    # Start 0 has a point to go back to, twice; it is the last one when it is lost for the third time.
    first = rounds(basins, patient, 2)[-1]
    assert [start.number for start in first.active] == [0] and first.move.rolled_back and first.move.seeds == 0
    with pytest.raises(Diverged, match="3 outer steps in a row"):
        rounds(basins, list(first.active), 1)


def test_behind_is_told_by_the_paired_difference_not_by_the_spread_of_losses() -> None:
    luck = torch.tensor([0.0, 5.0, 10.0, 20.0], dtype=torch.float64)
    steady = torch.tensor([0.10, 0.11, 0.09, 0.10], dtype=torch.float64)
    assert is_behind(luck + steady, luck)
    assert not is_behind(luck, luck + steady) and not is_behind(luck, luck)
    # Mean 0.1, standard error 0.06: within two of them.
    assert not is_behind(luck + torch.tensor([0.3, 0.0, 0.0, 0.1], dtype=torch.float64), luck)


def test_two_common_seeds_are_needed_where_there_are_two() -> None:
    one, other = torch.tensor([1.0, 2.0, math.inf]), torch.tensor([0.0, math.inf, 3.0])
    assert not is_behind(one, other)
    assert is_behind(torch.tensor([1.0]), torch.tensor([0.5])) and not is_behind(torch.tensor([0.5]), torch.tensor([0.5]))
    assert not is_behind(torch.tensor([math.inf]), torch.tensor([0.5]))


def test_one_lucky_seed_is_no_lead() -> None:
    lucky, sound, worse = torch.tensor([[0.1, math.inf, math.inf], [1.0, 1.0, math.inf], [2.0, 2.0, 2.0]])
    assert leading([lucky, sound, worse]) == 1
    assert leading([lucky]) == 0
    assert leading([torch.full((3,), math.inf)] * 2) is None


# What they share


def test_all_starts_meet_the_same_seeds_in_one_computation(basins) -> None:
    rounds(basins, started(basins.space, -1.0, -2.0, -3.0), 1)
    ((points, streams),) = basins.asked
    own = tuple(number_of(seed) for seed in SEEDS)
    assert streams == own * 3
    assert points[:, 0].tolist() == [-1.0] * 3 + [-2.0] * 3 + [-3.0] * 3


def test_more_starts_than_a_population_holds_are_taken_in_turns(basins) -> None:
    starts = started(basins.space, -1.0, -2.0, -3.0, -4.0, -5.0)
    whole = rounds(basins, starts, 1)[0]
    for population, sizes in ((6, [6, 6, 3]), (1, [3] * 5)):
        basins.asked.clear()
        parts = rounds(basins, starts, 1, population)[0]
        assert [len(points) for points, _ in basins.asked] == sizes
        for one, other in zip(whole.active, parts.active, strict=True):
            assert (
                torch.equal(one.state.point, other.state.point)
                and one.state.evaluations[-1].loss == other.state.evaluations[-1].loss
            )


def test_real_runs_do_not_depend_on_who_trains_beside_them(build_problem) -> None:
    problem = build_problem(**{**FIELDS, "inner": {"steps": 12, "batch_size": 16, "seeds": 2}})
    spread = torch.tensor([[-5.0, -4.0], [-3.0, -2.0], [-7.0, -6.0]], dtype=torch.float64)
    starts = [Start.at(number, point) for number, point in enumerate(spread)]
    seeds, account = SEEDS[:2], Account(1, 12, lambda _: None)
    together = advance_all(problem, Reverse(), starts, seeds, 1, 32, account)
    for start, found in zip(starts, together.active, strict=True):
        alone = advance_all(problem, Reverse(), [start], seeds, 1, 32, account).leader
        torch.testing.assert_close(found.state.point, alone.state.point, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.state.velocity, alone.state.velocity, rtol=1e-7, atol=1e-9)


def test_an_estimate_of_some_members_has_their_part_of_everything() -> None:
    one = torch.arange(6.0)
    each, steps = one[:, None].expand(-1, 2), one.expand(4, -1)
    whole = Estimate(one, each, 60.0, one, one, each, one, steps, steps, one)
    part, wanted = whole.of(slice(2, 5)), [2.0, 3.0, 4.0]
    assert part.cost == 30.0 and part.value.tolist() == wanted and part.gradient[:, 1].tolist() == wanted
    for tensor in (part.bounded_share, part.mean_scale, part.diverged, part.residual):
        assert tensor is not None and tensor.tolist() == wanted
    for tensor in (part.growth, part.scales):
        assert tensor is not None and tensor.shape == (4, 3) and tensor[3].tolist() == wanted
    assert part.stderr is not None and part.stderr[:, 0].tolist() == wanted


# What they cost


@pytest.mark.parametrize("scout", [True, False])
def test_the_estimate_is_what_is_counted_while_all_starts_live(scout: bool) -> None:
    inner = {"steps": 24, "batch_size": 16, "seeds": 2}
    fields = {**FIELDS, "inner": inner, "outer": {"steps": 1, "starts": 3, "scout": scout, "finish_seeds": 2}}
    spec = JobSpec.model_validate(fields)
    seen: list[Progress] = []
    study = Study(spec, on_progress=seen.append)
    start, step = list(study)
    counted = phases(Sizes.of(spec, spec.info), 2**32)
    found = {phase.name: phase.gradient_evaluations / spec.inner.steps for phase in counted}
    assert (start.starts, step.starts) == (3, 3)
    assert start.run_equivalents == pytest.approx(found["scout"])
    assert step.run_equivalents == pytest.approx(found["scout"] + found["tune"])
    study.finish()
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert max(later - earlier for earlier, later in itertools.pairwise(fractions)) < 0.2
