"""Comparisons with the incumbent: most challengers cost one run, no single seed decides, and every run is paid for."""

import math

import pytest
import torch

from hpo.footprint.budget import RUNS_PER_SEED
from hpo.search.account import Account
from hpo.search.portfolio.intensifier import Intensifier


@pytest.fixture
def intensifier(build_problem) -> Intensifier:
    problem = build_problem(
        torch.float32,
        model={"width": 4, "depth": 1},
        inner={"steps": 4, "batch_size": 8},
        search=[{"name": "learning_rate"}, {"name": "weight_decay"}],
    )
    found = Intensifier(problem, lambda index: (0, 3, 0, index), 4, 32, Account(5, 4, lambda _: None))
    start = problem.space.start()
    found.seen.add(torch.stack([start, start + 0.1, start + 0.2]), "scout")
    return found


def told(intensifier: Intensifier, losses: list[list[float]]) -> None:
    """Losses that stand for runs already made."""
    intensifier.seen.losses = torch.tensor(losses, dtype=torch.float64)


def test_the_challenger_with_the_lower_mean_over_the_seeds_that_count_takes_over(intensifier: Intensifier) -> None:
    told(intensifier, [[1.0, 1.2], [0.9, 1.0], [2.0, 0.0]])
    assert intensifier.seeds_that_count == 2
    assert intensifier.challenge([1, 2]) == pytest.approx(0.15)
    assert intensifier.incumbent == 1 and intensifier.account.spent == 0


def test_a_comparison_begins_with_the_seed_it_was_called_for_and_goes_on_with_the_newest(intensifier: Intensifier) -> None:
    told(intensifier, [[1.0, 1.0, 1.0], [9.0, 0.9, 0.9], [0.0, 9.0, 0.9]])
    # Seed 0, on which the incumbent was chosen, is the last to be asked.
    assert intensifier.challenge([2], first=2) == 0.0
    assert intensifier.challenge([1], first=2) == pytest.approx(0.1) and intensifier.incumbent == 1
    assert intensifier.account.spent == 0


def test_later_a_win_takes_more_seeds(intensifier: Intensifier) -> None:
    told(intensifier, [[1.0, 1.2, 1.0, 1.0], [0.9, 1.0, 1.0, 9.0], [2.0, 0.0, 0.0, 0.0]])
    intensifier.account.spend(RUNS_PER_SEED * intensifier.problem.steps)
    assert intensifier.seeds_that_count == 3
    assert intensifier.challenge([1]) == 0.0 and intensifier.incumbent == 0
    intensifier.account.spend(1000 * intensifier.problem.steps)
    assert intensifier.seeds_that_count == 4


def test_where_the_known_seeds_are_too_few_new_ones_are_run(intensifier: Intensifier) -> None:
    told(intensifier, [[1e3], [-1e3], [0.0]])
    assert intensifier.challenge([1]) > 0 and intensifier.incumbent == 1
    assert intensifier.seen.seeds == 2 and intensifier.account.spent == 2 * intensifier.problem.steps
    assert intensifier.seen.is_run(0, 1) and intensifier.seen.is_run(1, 1) and not intensifier.seen.is_run(2, 1)


def test_a_luck_of_one_seed_is_found_out_by_the_next(intensifier: Intensifier) -> None:
    nan = math.nan
    told(intensifier, [[1.0, 1.0], [0.9, 1.2], [0.8, nan]])
    intensifier.challenge([1])
    assert intensifier.incumbent == 0 and intensifier.account.spent == 0


def test_a_gain_within_the_noise_is_no_win(intensifier: Intensifier) -> None:
    told(intensifier, [[1.0, 1.0], [0.5, 1.4], [0.9, 0.92]])
    # Mean gains .05 +- .45 and .09 +- .01.
    assert intensifier.challenge([1]) == 0.0 and intensifier.incumbent == 0
    assert intensifier.challenge([2]) == pytest.approx(0.09) and intensifier.incumbent == 2


def test_a_diverged_challenger_loses_and_a_diverged_incumbent_too(intensifier: Intensifier) -> None:
    inf = math.inf
    told(intensifier, [[1.0, inf], [inf, inf], [0.9, 5.0]])
    assert intensifier.challenge([1]) == 0.0 and intensifier.incumbent == 0
    assert intensifier.challenge([2]) == pytest.approx(0.1) and intensifier.incumbent == 2


def test_a_run_is_made_once_and_paid_for_once(intensifier: Intensifier) -> None:
    assert intensifier.seen.seeds == 0
    intensifier.run([0, 1, 0], 3)
    assert intensifier.account.spent == 2 * intensifier.problem.steps
    first = intensifier.seen.losses[:2, 3].clone()
    intensifier.run([0, 1, 2], 3)
    assert intensifier.account.spent == 3 * intensifier.problem.steps
    assert torch.equal(intensifier.seen.losses[:2, 3], first) and intensifier.seen.losses[2, 3].isfinite()
