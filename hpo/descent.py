"""The search of every job that names its estimator: hypergradient, race, move, with momentum and rollback."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.evaluation import judge, mean_and_stderr
from hpo.outer import Move, Trail, Visit, advance
from hpo.race import FINALISTS, LENGTHS
from hpo.readings import Readings
from hpo.scout import FINALISTS as SCOUT_FINALISTS
from hpo.scout import RATES, scout, short_steps
from hpo.search import State
from hpo.setting import MOVE, SCOUT, Setting
from windtunnel.types import OuterStep

LATEST = 3
CHEAPEST = 3
"""The last points and those of lowest loss are judged again at the end, beside the start."""


class Descent:
    """Follows one estimator's hypergradients from one start."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.readings = Readings()
        self._trail: Trail | None = None
        self._start: Visit | None = None

    @property
    def start(self) -> Tensor:
        """See the protocol."""
        assert self._start is not None
        return self._start.point

    @property
    def trail(self) -> Trail:
        """Where the search stands."""
        assert self._trail is not None
        return self._trail

    def begin(self) -> OuterStep:
        """See the protocol.

        Raises:
            Diverged: no training run at the start, or at any learning rate of the scout, stayed finite.
        """
        setting, spec = self.setting, self.setting.spec
        account, count, steps = setting.account, spec.inner.seeds, spec.inner.steps
        seeds = setting.seeds(SCOUT, 0, count)
        sweep: dict[str, list[float]] | None = None
        if spec.outer.scout and spec.searches("learning_rate"):
            brief = short_steps(steps)
            account.enter("scout", 0, RATES * brief + SCOUT_FINALISTS * count * steps)
            found = scout(setting.problem, setting.shorter(brief), RATES, seeds, setting.population, account.step)
            account.spend(found.member_steps)
            point, losses = found.point, found.losses
            sweep = {"learning_rate": found.rates, "loss": found.sweep}
        else:
            account.enter("scout", 0, count * steps)
            point = setting.space.start()
            losses = judge(setting.problem, point[None], seeds, setting.population, account.step).validation[0]
            account.spend(count * steps)
        mean, stderr, survivors = mean_and_stderr(losses)
        if survivors == 0:
            raise Diverged(
                f"all {count} training runs at the start diverged",
                "start from a lower optimizer.learning_rate, or let the scout choose one (outer.scout: true)",
            )
        self._start = Visit(0, point, mean, stderr)
        self._trail = Trail(point, torch.zeros_like(point), torch.zeros_like(point), visits=(self._start,))
        self.readings = self.readings.dropping(count - survivors)
        return self._report(0, point, point, Move(mean, stderr, survivors, count - survivors, torch.empty(0), None), sweep)

    def advance(self, outer_step: int) -> OuterStep:
        """See the protocol."""
        setting, before = self.setting, self.trail
        count, steps = setting.spec.inner.seeds, setting.spec.inner.steps
        racing = len(LENGTHS) * 2 + FINALISTS * (count - 1)
        estimating = count * setting.estimator.member_steps(setting.problem)
        setting.account.enter("tune", outer_step, estimating + racing * steps)
        seeds = setting.seeds(MOVE, outer_step, count)
        after, move = advance(
            setting.problem, setting.estimator, before, seeds, outer_step, setting.population, setting.account
        )
        self._trail = after
        self.readings = self.readings.dropping(move.dropped).adding(move.chaos)
        return self._report(outer_step, before.point, after.point, move, None)

    def _report(
        self, outer_step: int, before: Tensor, after: Tensor, move: Move, sweep: dict[str, list[float]] | None
    ) -> OuterStep:
        space, chaos = self.setting.space, move.chaos
        gradient = dict(zip(space.labels, move.gradient.tolist(), strict=True)) if len(move.gradient) else {}
        return OuterStep(
            outer_step=outer_step,
            outer_steps=self.setting.spec.outer.planned_steps,
            arm="gradient" if gradient else "scout",
            loss=move.loss if move.seeds else None,
            stderr=move.stderr,
            seeds=move.seeds,
            dropped_members=move.dropped,
            hyperparameters=space.as_dict(before),
            gradient=gradient,
            gradient_norm=float(move.gradient.norm()) if gradient else None,
            bounded_share=None if chaos is None else chaos.bounded_share,
            mean_scale=None if chaos is None else chaos.mean_scale,
            step_length=move.length,
            moved=not torch.equal(before, after),
            rolled_back=move.rolled_back,
            sweep=sweep,
            run_equivalents=self.setting.account.run_equivalents,
        )

    def candidates(self) -> Tensor:
        """See the protocol: the start, the present, the cheapest, the latest."""
        trail = self.trail
        cheapest = sorted(trail.visits, key=lambda visit: visit.loss)[:CHEAPEST]
        found: list[Tensor] = []
        for point in (self.start, trail.point, *(visit.point for visit in (*cheapest, *trail.visits[-LATEST:]))):
            if not any(torch.equal(point, other) for other in found):
                found.append(point)
        return torch.stack(found)

    def state(self) -> State:
        """See the protocol."""
        assert self._start is not None
        trail = self.trail
        tensors = {
            "point": trail.point,
            "velocity": trail.velocity,
            "conviction": trail.conviction,
            "visits": torch.stack([visit.point for visit in trail.visits]),
            "start": self._start.point,
        }
        numbers = {
            "trail": {"width": trail.width, "rises": trail.rises, "lost": trail.lost},
            "visits": [_numbers_of(visit) for visit in trail.visits],
            "start": _numbers_of(self._start),
        }
        return tensors, numbers

    def load(self, state: State) -> None:
        """See the protocol."""
        tensors, numbers = state
        visits = _visits(numbers["visits"], tensors["visits"])
        moving = (tensors["point"], tensors["velocity"], tensors["conviction"])
        self._trail = Trail(*moving, visits=visits, **numbers["trail"])
        (self._start,) = _visits([numbers["start"]], tensors["start"][None])


def _numbers_of(visit: Visit) -> dict[str, float]:
    return {"outer_step": visit.outer_step, "loss": visit.loss, "stderr": visit.stderr}


def _visits(numbers: Sequence[dict[str, Any]], points: Tensor) -> tuple[Visit, ...]:
    return tuple(
        Visit(int(entry["outer_step"]), point, entry["loss"], entry["stderr"])
        for entry, point in zip(numbers, points, strict=True)
    )
