"""Where points are judged: runs with common seeds, and duels with the incumbent that no single seed decides.

A challenger is dropped by the first seed over which its mean is no better (racing on common random numbers; Hutter et al.
2009, FocusedILS; Maron & Moore 1994): most challengers cost one run. A duel begins with new seeds, because the incumbent
was chosen for its losses on the old ones: fought over again on those, a lucky point would reign for good.

With early stopping a run is ended as soon as its extrapolated loss cannot win what it runs for.
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
from hpo.search.stopping import Raced, Rule, all_but_best, behind_row, behind_run, foreseen, judge_early
from hpo.training.evaluation import SeedPath, judge
from hpo.training.problem import InnerProblem

MARGIN = 0.5
"""By how many standard errors of the paired difference a challenger must be better."""


class Arena:
    """Judges points of one inner problem.

    Args:
        problem: the inner problem.
        seed_path: of the seed with an index; the same for every point.
        most_seeds: over so many a challenger must win at the end of a long search.
        population: members trained as one computation, at most.
        account: pays for every run.
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
        """Runs that diverged since this was last set to 0."""
        self.early = NOTHING_STOPPED
        """What early stopping did since this was last emptied."""

    @property
    def best(self) -> Tensor:
        """The incumbent, [k]."""
        return self.seen.points[self.incumbent]

    @property
    def seeds_that_count(self) -> int:
        """Seeds over which a challenger must win by now."""
        return min(self.most_seeds, 2 + int(self.account.run_equivalents / RUNS_PER_SEED))

    def run(self, rows: Sequence[int], seed: int) -> None:
        """Train each point with one seed, unless that was done before."""
        self._train(self._new(rows, seed), seed, None)

    def race(self, rows: Sequence[int], seed: int, keep: int) -> None:
        """``run``, where only the best ``keep`` are of interest."""
        self._train(self._new(rows, seed), seed, all_but_best(keep))

    def race_incumbent(self, rows: Sequence[int], seed: int) -> None:
        """``run`` of points and the incumbent with a seed that is new to all, where only who beats it is of interest."""
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
        # The best run with that seed is the yardstick of those that were ended.
        column = self.seen.losses[:, seed]
        whole = [row for row, met in self.seen.curves if met == seed]
        rival = min(whole, key=lambda row: float(column[row]), default=None)
        for place in raced.ended:
            own = [loss for loss in curves[place] if not math.isnan(loss)]
            if rival is None:
                likely = own[-1]
            else:
                likely = foreseen(own, self.seen.curves[rival, seed], float(column[rival]), self.problem.steps)
            self.seen.foresee(rows[place], seed, likely)

    def challenge(self, rows: Sequence[int], first: int = 0) -> float:
        """Points challenge the incumbent, the best with the seed ``first`` (one of those that count) first.

        Who was ended early with that seed lost there.

        Returns:
            By how much the mean loss over the common seeds fell, nats; 0 where the incumbent stays.
        """
        there = [row for row in dict.fromkeys(rows) if self.seen.is_run(row, first)]
        return sum(self._duel(row, first) for row in sorted(there, key=lambda row: float(self.seen.losses[row, first])))

    def _turns(self, first: int) -> list[int]:
        """Seeds of a duel: that one, then the newest ones first, then ones that no point has met."""
        known = [seed for seed in reversed(range(self.seen.seeds)) if seed != first]
        new = itertools.count(self.seen.seeds)
        return [first, *itertools.islice(itertools.chain(known, new), self.seeds_that_count - 1)]

    def _duel(self, row: int, first: int) -> float:
        old = self.incumbent
        if row == old:
            return 0.0
        met: list[int] = []
        gains = torch.zeros(1)
        for seed in self._turns(first):
            met.append(seed)
            self._meet(row, old, seed, float(gains.sum()))
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

    def _meet(self, row: int, old: int, seed: int, lead: float) -> None:
        """Run both with a seed; with early stopping one after the other, and the challenger while it may keep its lead."""
        if not self.early_stopping:
            return self.run([row, old], seed)
        self.run([old], seed)
        curve = self.seen.curves.get((old, seed))
        rule = None if curve is None else behind_run(curve, float(self.seen.losses[old, seed]), lead)
        return self._train(self._new([row], seed), seed, rule)
