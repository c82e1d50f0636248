"""The cost account: what is left of a budget, and a progress that counts by it and never goes back."""

import math

import pytest

from hpo.search.account import Account
from windtunnel.types import Progress


def test_what_is_left_is_the_budget_less_the_runs_paid_for() -> None:
    account = Account(3, 10, lambda _: None, budget=5.0)
    account.spend(25)
    assert (account.run_equivalents, account.left) == (2.5, 2.5)
    assert Account(3, 10, lambda _: None).left == math.inf


def test_progress_counts_by_the_budget_and_never_goes_back() -> None:
    seen: list[Progress] = []
    account = Account(1000, 10, seen.append, budget=10.0)
    account.enter("scout", 0, 20)
    account.step(20)
    account.spend(20)
    account.enter("tune", 1, 40)
    assert seen[-1].fraction == pytest.approx(0.9 * 0.2)
    account.step(20)
    assert seen[-1].fraction == pytest.approx(0.9 * 0.4)
    # The step turned out cheaper than it looked.
    account.spend(10)
    account.enter("tune", 2, 10)
    assert seen[-1].fraction == pytest.approx(0.9 * 0.4)
    account.spend(100)
    account.enter("tune", 3, 10)
    assert seen[-1].fraction == pytest.approx(0.9)
    account.enter("finish", 3, 10)
    account.step(10)
    assert seen[-1].fraction == pytest.approx(0.95)
    account.enter("check", 3, 10)
    account.step(5)
    assert seen[-1].fraction == pytest.approx(0.975)
    account.enter("done", 3, 1)
    assert seen[-1].fraction == 1.0


def test_without_a_budget_every_outer_step_counts_alike() -> None:
    seen: list[Progress] = []
    account = Account(2, 10, seen.append)
    for phase, outer_step, fraction in (
        ("scout", 0, 0.0),
        ("tune", 1, 0.2),
        ("tune", 2, 0.4),
        ("finish", 2, 0.6),
        ("check", 2, 0.8),
    ):
        account.enter(phase, outer_step, 10)
        assert seen[-1].fraction == pytest.approx(fraction)
        account.step(5)
        assert seen[-1].fraction == pytest.approx(fraction + 0.1)
