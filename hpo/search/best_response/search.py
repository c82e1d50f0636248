"""The search of a job whose estimator is a best response: one training run; each outer step is a block of its updates."""

import torch
from torch import Tensor

from hpo.best_response.objectives import Objectives
from hpo.best_response.run import Answer, BestResponseRun, Standing
from hpo.search.best_response.reporting import advanced, report
from hpo.search.best_response.storing import standing_of, state_of
from hpo.search.protocol import SearchContext, SearchState
from hpo.search.readings import Readings
from hpo.seeding import Purpose
from windtunnel.types import OuterStep


class BestResponseSearch:
    """Trains all seeds of the job once, with common regularisers that move while it trains.

    Outer step 0 is the warm-up; the other updates are spread evenly over the outer steps. The loss of a step is that of
    partly trained networks, so it also falls because they train on. At the end fresh seeds judge the hyperparameters.
    """

    def __init__(self, context: SearchContext, objectives: type[Objectives]) -> None:
        self.context = context
        self.readings = Readings()
        seeds = context.seeds(Purpose.MOVE, 0, context.spec.inner.seeds)
        draw = context.problem.draw(seeds)
        self.run = BestResponseRun(context.problem, objectives, context.spec.method.best_response_settings, draw)
        self._standing: Standing | None = None

    @property
    def standing(self) -> Standing:
        """State of the run after the last outer step; known after ``begin``."""
        assert self._standing is not None
        return self._standing

    @property
    def start(self) -> Tensor:
        """First point of the run, [k]; known after ``begin``."""
        return self.standing.trajectory[0].point

    def begin(self) -> OuterStep:
        """Outer step 0: begins the run at the start of the search space and trains the warm-up.

        Raises:
            Diverged: no seed has finite weights after the warm-up.
        """
        self._standing = self.run.begin(self.context.space.start())
        return self._block(0)

    def advance(self, outer_step: int) -> OuterStep:
        """Trains the updates of one outer step and reports them."""
        return self._block(outer_step)

    def _end(self, outer_step: int) -> int:
        """Number of weight updates done at the end of an outer step."""
        steps, warmup = self.context.spec.inner.steps, self.run.warmup
        return warmup + (steps - warmup) * outer_step // self.context.spec.outer.steps

    def _block(self, outer_step: int) -> OuterStep:
        """Trains up to the end of an outer step and reports it."""
        block = advanced(self.context, self.run, self.standing, self._end(outer_step), outer_step)
        self._standing = block.after
        step = report(self.context, self.run, block)
        # A member that is lost stays lost: it is counted once.
        self.readings = self.readings.dropping(max(0, step.dropped_members - self.readings.dropped))
        return step

    def candidates(self) -> Tensor:
        """Points to judge at the end, [n, k]: the start, and the last values of the run if they differ from it."""
        ends = torch.stack([self.start, self.standing.point])
        return ends[:1] if torch.equal(ends[0], ends[1]) else ends

    def answer(self) -> Answer:
        """The run and its present state."""
        return Answer(self.run, self.standing)

    def state(self) -> SearchState:
        """The present state of the run as (tensors, JSON values)."""
        return state_of(self.standing)

    def load(self, state: SearchState) -> None:
        """Continues the run from a saved state."""
        self._standing = standing_of(state)
