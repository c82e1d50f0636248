"""The search of a job whose estimator is a best response: one training run, an outer step is a block of its updates."""

from math import exp

import torch
from torch import Tensor

from hpo.best_response.answer import Answer
from hpo.best_response.counting import block_cost
from hpo.best_response.objectives import Kind
from hpo.best_response.run import BestResponseRun, Standing
from hpo.best_response.storing import standing_of, state_of
from hpo.evaluation import diverged_to_infinity, mean_and_stderr
from hpo.readings import Readings
from hpo.search import State
from hpo.setting import MOVE, Setting
from windtunnel.types import OuterStep


class BestResponseSearch:
    """Trains all seeds of the job once, with common regularisers that move while it trains.

    Outer step 0 is the warm-up; the other updates are spread evenly over the outer steps. The loss of a step is that of the
    networks as far as they are trained, so it falls for two reasons, and is no judgement of the hyperparameters: that is made
    on fresh seeds at the end.
    """

    def __init__(self, setting: Setting, kind: Kind) -> None:
        self.setting = setting
        self.readings = Readings()
        seeds = setting.seeds(MOVE, 0, setting.spec.inner.seeds)
        draw = setting.problem.draw(seeds)
        self.run = BestResponseRun(setting.problem, kind, setting.spec.method.best_response_settings, draw)
        self._standing: Standing | None = None

    @property
    def standing(self) -> Standing:
        """Where the run is."""
        assert self._standing is not None
        return self._standing

    @property
    def start(self) -> Tensor:
        """See the protocol."""
        return self.standing.trajectory[0].point

    def begin(self) -> OuterStep:
        """See the protocol.

        Raises:
            Diverged: no seed has finite weights after the warm-up.
        """
        self._standing = self.run.begin(self.setting.space.start())
        return self._block(0)

    def advance(self, outer_step: int) -> OuterStep:
        """See the protocol."""
        return self._block(outer_step)

    def _end(self, outer_step: int) -> int:
        """Updates of the weights by the end of an outer step."""
        steps, warmup = self.setting.spec.inner.steps, self.run.warmup
        return warmup + (steps - warmup) * outer_step // self.setting.spec.outer.steps

    def _block(self, outer_step: int) -> OuterStep:
        setting, space, before = self.setting, self.setting.space, self.standing
        account, end = setting.account, self._end(outer_step)
        account.enter("tune", outer_step, self.run.members * max(1, end - before.step))
        self._standing = after = self.run.advance(before, end, account.step)
        account.spend(self.run.members * block_cost(setting.spec, before.step, after.step))
        losses = diverged_to_infinity(self.run.losses(after, setting.problem.data.validation))
        mean, stderr, survivors = mean_and_stderr(losses)
        diverged = self.run.members - survivors
        # A member that is lost stays lost: it is counted once.
        self.readings = self.readings.dropping(max(0, diverged - self.readings.dropped))
        labels = [space.labels[row] for row in self.run.rows]
        slope = (after.slope / max(after.slopes, 1)).tolist() if after.slopes else []
        gradient = dict(zip(labels, slope, strict=True)) if slope else {}
        move = float((after.point - before.point).abs().max())
        return OuterStep(
            outer_step=outer_step,
            outer_steps=setting.spec.outer.planned_steps,
            arm="response",
            loss=mean if survivors else None,
            stderr=stderr,
            seeds=survivors,
            dropped_members=diverged,
            hyperparameters=space.as_dict(after.point),
            gradient=gradient,
            gradient_norm=float(torch.tensor(slope).norm()) if slope else None,
            bounded_share=None,
            mean_scale=None,
            step_length=move,
            moved=move > 0,
            rolled_back=False,
            scales={label: exp(scale) for label, scale in zip(labels, after.log_scales.tolist(), strict=True)},
            run_equivalents=account.run_equivalents,
        )

    def candidates(self) -> Tensor:
        """See the protocol: the start, and the last values held fixed."""
        ends = torch.stack([self.start, self.standing.point])
        return ends[:1] if torch.equal(ends[0], ends[1]) else ends

    def answer(self) -> Answer:
        """See the protocol."""
        return Answer(self.run, self.standing)

    def state(self) -> State:
        """See the protocol."""
        return state_of(self.standing)

    def load(self, state: State) -> None:
        """See the protocol."""
        self._standing = standing_of(state)
