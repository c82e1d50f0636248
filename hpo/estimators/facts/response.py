"""Facts that best responses share: what a run of weights and response takes. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import BYTES, Memory, held_together
from hpo.footprint.sizes import Sizes
from windtunnel.types.method import BestResponseSettings
from windtunnel.types.spec import JobSpec

LOOK_COST = 2
"""Gradient evaluations of one validation step on a batch of the training batch's size: forward and back through both
products of a responding layer, with W and with W_r."""
CONTROL_COST = 2
"""Gradient evaluations of the control variate at one update: the derivative of another loss along the same tangent, and its
gradient."""
EVALUATION_COST = 1 / 3
"""Gradient evaluations of a forward pass without a gradient."""
RESPONSE_UPDATE = 24
"""Copies of the response that an update of it touches: Adam's states before and after, gradient, temporaries."""


@dataclass(frozen=True)
class ResponseFacts(EstimatorFacts):
    """A run that trains weights and response, with validation steps between its updates."""

    update_cost: int = 0
    """Gradient evaluations of one update of weights and response, without a control variate."""
    answered: float = 0.0
    """Floats alive in an update of weights and response, over those of a plain training step."""

    def step_cost(self, settings: BestResponseSettings) -> int:
        """Gradient evaluations of one update of weights and response."""
        return self.update_cost + CONTROL_COST * settings.control_variate

    def block_cost(self, spec: JobSpec, begin: int, end: int) -> float:
        """Gradient evaluations of updates ``begin`` to ``end - 1`` of one member, with their validation steps and the look
        at the whole validation split after them."""
        inner, examples, settings = spec.inner, spec.info.validation_examples, spec.method.best_response_settings
        looks = settings.looks(begin, end, inner.steps)
        look = LOOK_COST * min(1.0, examples / inner.batch_size)
        return (end - begin) * self.step_cost(settings) + looks * look + EVALUATION_COST * examples / inner.batch_size

    def run_cost(self, spec: JobSpec, blocks: int) -> float:
        """Gradient evaluations of one member's whole run, in so many blocks."""
        inner = spec.inner
        whole = self.block_cost(spec, 0, inner.steps)
        return whole + (blocks - 1) * EVALUATION_COST * spec.info.validation_examples / inner.batch_size

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient: of a run whose regularisers stay."""
        return self.step_cost(sizes.spec.method.best_response_settings) * sizes.spec.inner.steps

    def member_bytes(self, sizes: Sizes) -> int:
        """One member's update of weights and response, or the look at the validation split after a block of them."""
        memory = Memory(sizes)
        response = BYTES * sizes.response_parameters
        held = 2 * memory.state + RESPONSE_UPDATE * response + self.answered * memory.gradient * memory.saved
        judging = memory.state + 3 * response + memory.evaluation(sizes.task.validation_examples)
        return int(max(held, judging)) + memory.order

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes: one group of seeds, and what the others keep."""
        memory, seeds = Memory(sizes), sizes.spec.inner.seeds
        held = held_together(sizes, seeds)
        kept = 2 * memory.state + 6 * BYTES * sizes.response_parameters + memory.order
        return held * self.member_bytes(sizes) + (seeds - held) * kept

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        settings, steps = sizes.spec.method.best_response_settings, sizes.spec.inner.steps
        looks = settings.looks(0, steps, steps)
        return (
            f"the weights learn to answer to the regularisers while they train, and {looks} validation steps move those in "
            f"one run, after a warm-up of {settings.warmup_steps(steps)} updates"
        )
