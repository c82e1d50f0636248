"""Where points are judged: runs with common seeds, and duels with the incumbent that no single seed decides.

A challenger is dropped by the first seed over which its mean is no better (racing on common random numbers; Hutter et al.
2009, FocusedILS; Maron & Moore 1994): most challengers cost one run. A duel begins with new seeds, because the incumbent
was chosen for its losses on the old ones: fought over again on those, a lucky point would reign for good.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hpo.account import Account
from hpo.evaluation import SeedPath, judge
from hpo.inner import InnerProblem
from hpo.observations import Observations

RUNS_PER_SEED = 20
"""Run-equivalents after which a challenger must win over one seed more: cheap decisions early, sure ones later."""
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
    """

    def __init__(
        self,
        problem: InnerProblem,
        seed_path: Callable[[int], SeedPath],
        most_seeds: int,
        population: int,
        account: Account,
    ) -> None:
        self.problem, self.seed_path, self.most_seeds = problem, seed_path, most_seeds
        self.population, self.account = population, account
        self.seen = Observations.none(len(problem.space))
        self.incumbent = 0
        """Row of the best point so far."""
        self.dropped = 0
        """Runs that diverged since this was last set to 0."""

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
        rows = [row for row in dict.fromkeys(rows) if not self.seen.is_run(row, seed)]
        if not rows:
            return
        points, path = self.seen.points[rows], self.seed_path(seed)
        losses = judge(self.problem, points, [path], self.population, self.account.step).validation[:, 0]
        self.account.spend(len(rows) * self.problem.steps)
        for row, loss in zip(rows, losses.tolist(), strict=True):
            self.seen.record(row, seed, loss)
        self.dropped += int((~losses.isfinite()).sum())

    def challenge(self, rows: Sequence[int], first: int = 0) -> float:
        """Points that were run with the seed ``first`` (one of those that count) challenge the incumbent, the best first.

        Returns:
            By how much the mean loss over the common seeds fell, nats; 0 where the incumbent stays.
        """
        order = sorted(dict.fromkeys(rows), key=lambda row: float(self.seen.losses[row, first]))
        return sum(self._duel(row, first) for row in order)

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
            self.run([row, old], seed)
            gains = self.seen.losses[old, met] - self.seen.losses[row, met]
            # Both diverged: NaN, no win. The incumbent diverged: infinity, a win.
            if not float(gains.mean()) > 0:
                return 0.0
        noise = float(gains.std()) / len(gains) ** 0.5 if len(gains) > 1 and gains.isfinite().all() else 0.0
        if not float(gains.mean()) > MARGIN * noise:
            return 0.0
        self.incumbent = row
        return float(gains[gains.isfinite()].mean()) if gains.isfinite().any() else 0.0
