"""The outer loop around estimators whose answers are known: descent, dropped members, rollback, giving up."""

import math

import pytest
import torch

from hpo.errors import Diverged
from hpo.estimators.protocol import Estimate
from hpo.search.account import Account
from hpo.search.descent.starts import Start, advance_all
from hpo.search.descent.trust_region import NARROWEST, DescentState, Evaluation, Move

SEEDS = [(0, 1, 1, index) for index in range(4)]


class Told:
    """An estimator that answers what it was told."""

    def __init__(self, values: list[float], gradient: list[float]) -> None:
        self.values, self.gradient = values, gradient

    def estimate(self, problem, points, draw, on_step=lambda _: None) -> Estimate:
        gradients = torch.tensor(self.gradient).expand(len(points), -1)
        return Estimate(torch.tensor(self.values), gradients.clone(), cost=1.0)


@pytest.fixture
def problem(build_problem):
    return build_problem(
        torch.float32,
        model={"width": 4, "depth": 1},
        inner={"steps": 4, "batch_size": 8, "seeds": 4},
        search=[{"name": "learning_rate"}, {"name": "weight_decay"}],
    )


def account() -> Account:
    return Account(5, 4, lambda _: None)


def descent_state(problem, *evaluations: Evaluation, **fields: object) -> DescentState:
    zero = torch.zeros(2, dtype=torch.float64)
    return DescentState(problem.space.start(), zero, zero, evaluations=evaluations, **fields)


def advance(
    problem, estimator, state: DescentState, seeds, outer_step: int, population: int, book: Account
) -> tuple[DescentState, Move]:
    """One outer step of a job with one start."""
    done = advance_all(problem, estimator, [Start(0, state)], seeds, outer_step, population, book)
    assert (done.leader, done.diverged) == (done.active[0], done.move.dropped)
    return done.leader.state, done.move


def test_diverged_members_are_counted_and_left_out_of_the_mean_and_the_gradient(problem) -> None:
    values = [1.0, math.nan, 3.0, math.inf]
    after, move = advance(problem, Told(values, [1.0, 0.0]), descent_state(problem), SEEDS, 1, 32, account())
    assert (move.loss, move.seeds, move.dropped) == (2.0, 2, 2)
    assert move.gradient.tolist() == [1.0, 0.0]
    assert after.evaluations[-1].loss == 2.0


def test_a_gradient_that_is_not_finite_drops_its_member(problem) -> None:
    class HalfBroken(Told):
        def estimate(self, *args, **kwargs) -> Estimate:
            found = super().estimate(*args, **kwargs)
            found.gradient[0, 1] = math.inf
            return found

    _, move = advance(
        problem, HalfBroken([9.0, 1.0, 1.0, 1.0], [1.0, 2.0]), descent_state(problem), SEEDS, 1, 32, account()
    )
    assert (move.dropped, move.loss) == (1, 1.0)
    assert move.gradient.isfinite().all()


def test_two_rises_beyond_two_standard_errors_lead_back_to_the_best_point(problem) -> None:
    best = Evaluation(0, torch.tensor([-5.0, -3.0], dtype=torch.float64), loss=0.5, stderr=0.01)
    start = descent_state(problem, best)
    risen = [2.0, 2.1, 1.9, 2.0]
    once, move = advance(problem, Told(risen, [0.0, 0.0]), start, SEEDS, 1, 32, account())
    assert not move.rolled_back and once.rises == 1
    twice, move = advance(problem, Told(risen, [0.0, 0.0]), once, SEEDS, 2, 32, account())
    assert move.rolled_back and torch.equal(twice.point, best.point)
    assert twice.width < once.width and (twice.velocity == 0).all()


def test_a_rise_within_the_noise_is_no_rise(problem) -> None:
    best = Evaluation(0, torch.tensor([-5.0, -3.0], dtype=torch.float64), loss=0.5, stderr=0.5)
    after, _ = advance(
        problem, Told([0.9, 1.1, 0.7, 1.3], [0.0, 0.0]), descent_state(problem, best), SEEDS, 1, 32, account()
    )
    assert after.rises == 0


def test_a_step_without_a_finite_run_goes_back_and_the_third_in_a_row_gives_up(problem) -> None:
    best = Evaluation(0, torch.tensor([-5.0, -3.0], dtype=torch.float64), loss=0.5, stderr=0.1)
    lost = Told([math.nan] * 4, [1.0, 1.0])
    state = descent_state(problem, best)
    for outer_step in (1, 2):
        state, move = advance(problem, lost, state, SEEDS, outer_step, 32, account())
        assert move.rolled_back and move.seeds == 0 and torch.equal(state.point, best.point)
    with pytest.raises(Diverged, match="3 outer steps in a row") as error:
        advance(problem, lost, state, SEEDS, 3, 32, account())
    assert error.value.hint


def test_gradients_that_overflow_where_runs_do_not_are_told_apart(problem) -> None:
    best = Evaluation(0, torch.tensor([-5.0, -3.0], dtype=torch.float64), loss=0.5, stderr=0.1)
    state = descent_state(problem, best, lost=2)
    with pytest.raises(Diverged, match="hypergradient overflowed") as error:
        advance(problem, Told([1.0] * 4, [math.inf, 1.0]), state, SEEDS, 3, 32, account())
    assert "adjoint 'bounded'" in str(error.value.hint)


def test_the_trust_region_shrinks_after_a_race_that_nobody_won_but_not_to_nothing(problem) -> None:
    state = descent_state(problem)
    # A loss of 0 at the present point cannot be beaten by a real run.
    for outer_step in range(1, 8):
        state, move = advance(problem, Told([0.0] * 4, [1.0, 1.0]), state, SEEDS, outer_step, 32, account())
        assert move.length == 0.0
    assert state.width == NARROWEST


def test_every_run_is_paid_for(problem) -> None:
    book = account()
    advance(problem, Told([0.0] * 4, [1.0, 0.5]), descent_state(problem), SEEDS, 1, 32, book)
    races = 6 + 2 * 3
    assert book.spent == 1.0 + races * problem.steps
