"""Judges points by runs with common seeds, and compares challengers with the incumbent over several seeds.

A challenger is dropped at the first seed after which its mean is no better (racing on common random numbers; Hutter et al.
2009, FocusedILS; Maron & Moore 1994), so most challengers cost one run. A comparison begins with the newest seeds, because
the incumbent was chosen for its losses on the old ones: on those a lucky point would stay the incumbent for good.

With early stopping a run is ended as soon as its extrapolated loss cannot win.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hpo.footprint.budget import RUNS_PER_SEED
from hpo.search.account import Account
from hpo.search.observations import Observations
from hpo.search.readings import NOTHING_STOPPED
from hpo.search.stopping import Raced, Rule, all_but_best, behind_row, behind_run, extrapolated_loss, judge_early
from hpo.training.evaluation import SeedPath, judge
from hpo.training.problem import InnerProblem

MARGIN = 0.5
"""Gain that a challenger needs over the incumbent, in standard errors of the paired difference."""


class Intensifier:
    """Judges points of one inner problem and keeps the best of them as the incumbent.

    Args:
        problem: the inner problem.
        seed_path: seed index -> seed path; the same for every point.
        most_seeds: number of seeds over which a challenger must win late in a long search.
        population: members trained as one computation, at most.
        account: books every run.
        early_stopping: whether runs that cannot win are ended early.
    """

    def __init__(
        self,
        problem: InnerProblem,
        seed_path: Callable[[int], SeedPath],
        most_seeds: int,
        population: int,
        account: Account,
        *,
        early_stopping: bool = False,
    ) -> None:
        self.problem, self.seed_path, self.most_seeds = problem, seed_path, most_seeds
        self.population, self.account, self.early_stopping = population, account, early_stopping
        self.seen = Observations.none(len(problem.space))
        self.incumbent = 0
        """Row of the best point so far."""
        self.dropped = 0
        """Number of diverged runs; the search resets it to 0 after each outer step."""
        self.early = NOTHING_STOPPED
        """Counts of early stopping; the search resets them after each outer step."""

    @property
    def best(self) -> Tensor:
        """The incumbent, [k]."""
        return self.seen.points[self.incumbent]

    @property
    def seeds_that_count(self) -> int:
        """Number of seeds over which a challenger must win at the present cost of the job."""
        return min(self.most_seeds, 2 + int(self.account.run_equivalents / RUNS_PER_SEED))

    def run(self, rows: Sequence[int], seed: int) -> None:
        """Trains each point with one seed, unless it was run with that seed before."""
        self._train(self._new(rows, seed), seed, None)

    def race(self, rows: Sequence[int], seed: int, keep: int) -> None:
        """Trains each point with one seed like ``run``; early stopping may end all but the best ``keep``."""
        self._train(self._new(rows, seed), seed, all_but_best(keep))

    def race_incumbent(self, rows: Sequence[int], seed: int) -> None:
        """Trains points and the incumbent with a new seed; early stopping may end points that cannot beat the incumbent."""
        rows = self._new([*rows, self.incumbent], seed)
        self._train(rows, seed, behind_row(rows.index(self.incumbent)))

    def _new(self, rows: Sequence[int], seed: int) -> list[int]:
        return [row for row in dict.fromkeys(rows) if not self.seen.is_run(row, seed)]

    def _train(self, rows: Sequence[int], seed: int, rule: Rule | None) -> None:
        if not rows:
            return
        points, path = self.seen.points[list(rows)], [self.seed_path(seed)]
        if self.early_stopping:
            raced = judge_early(self.problem, points, path, self.population, self.account.step, rule)
            self.account.spend(raced.member_steps)
            self._record(rows, seed, raced)
            if rule is not None:
                self.early += raced.early
            return
        losses = judge(self.problem, points, path, self.population, self.account.step).validation[:, 0]
        self.account.spend(len(rows) * self.problem.steps)
        for row, loss in zip(rows, losses.tolist(), strict=True):
            self.seen.record(row, seed, loss)
        self.dropped += int((~losses.isfinite()).sum())

    def _record(self, rows: Sequence[int], seed: int, raced: Raced) -> None:
        losses, curves = raced.losses[:, 0].tolist(), raced.curves[:, 0].tolist()
        for place, row in enumerate(rows):
            if place not in raced.ended:
                self.seen.record(row, seed, losses[place])
                self.dropped += not math.isfinite(losses[place])
                if math.isfinite(losses[place]):
                    self.seen.curves[row, seed] = tuple(curves[place])
        # The losses of ended runs are extrapolated against the best full run with that seed.
        column = self.seen.losses[:, seed]
        whole = [row for row, met in self.seen.curves if met == seed]
        rival = min(whole, key=lambda row: float(column[row]), default=None)
        for place in raced.ended:
            own = [loss for loss in curves[place] if not math.isnan(loss)]
            if rival is None:
                likely = own[-1]
            else:
                likely = extrapolated_loss(own, self.seen.curves[rival, seed], float(column[rival]), self.problem.steps)
            self.seen.record_extrapolated(rows[place], seed, likely)

    def challenge(self, rows: Sequence[int], first: int = 0) -> float:
        """Compares points with the incumbent one by one, in the order of their losses with the seed ``first``.

        That seed counts in each comparison. A point whose run with it was ended early has lost and is skipped.

        Returns:
            Fall of the incumbent's mean loss over the common seeds, nats; 0 if the incumbent stays.
        """
        there = [row for row in dict.fromkeys(rows) if self.seen.is_run(row, first)]
        return sum(self._compare(row, first) for row in sorted(there, key=lambda row: float(self.seen.losses[row, first])))

    def _seed_order(self, first: int) -> list[int]:
        """Seeds of a comparison in order: ``first``, then the others from newest to oldest, then new ones."""
        known = [seed for seed in reversed(range(self.seen.seeds)) if seed != first]
        new = itertools.count(self.seen.seeds)
        return [first, *itertools.islice(itertools.chain(known, new), self.seeds_that_count - 1)]

    def _compare(self, row: int, first: int) -> float:
        """Makes the point of ``row`` the incumbent if it wins; returns its gain, nats, or 0 if it loses."""
        old = self.incumbent
        if row == old:
            return 0.0
        met: list[int] = []
        gains = torch.zeros(1)
        for seed in self._seed_order(first):
            met.append(seed)
            self._run_both(row, old, seed, float(gains.sum()))
            if not self.seen.is_run(row, seed):
                return 0.0
            gains = self.seen.losses[old, met] - self.seen.losses[row, met]
            # Both diverged: NaN, no win. The incumbent diverged: infinity, a win.
            if not float(gains.mean()) > 0:
                return 0.0
        noise = float(gains.std()) / len(gains) ** 0.5 if len(gains) > 1 and gains.isfinite().all() else 0.0
        if not float(gains.mean()) > MARGIN * noise:
            return 0.0
        self.incumbent = row
        return float(gains[gains.isfinite()].mean()) if gains.isfinite().any() else 0.0

    def _run_both(self, row: int, old: int, seed: int, lead: float) -> None:
        """Trains a challenger and the incumbent ``old`` with a seed, unless that was done before.

        With early stopping the incumbent is run first, and the challenger is ended once it will surely lose its lead.
        """
        if not self.early_stopping:
            return self.run([row, old], seed)
        self.run([old], seed)
        curve = self.seen.curves.get((old, seed))
        rule = None if curve is None else behind_run(curve, float(self.seen.losses[old, seed]), lead)
        return self._train(self._new([row], seed), seed, rule)
