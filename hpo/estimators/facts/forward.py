"""Facts of forward mode. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import UPDATE, Memory
from hpo.footprint.sizes import Sizes

TANGENT = 3.2
"""Floats alive in one tangent of forward mode, over those alive in a training step."""


@dataclass(frozen=True)
class ForwardFacts(EstimatorFacts):
    """A run with tangents: each is a product with the Hessian a step."""

    seconds_factor: float = 1.5

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        return sizes.spec.inner.steps * (1 + 2 * tangents(sizes))

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes."""
        memory = Memory(sizes)
        each = UPDATE * memory.parameters + TANGENT * memory.gradient * memory.saved
        judging = memory.evaluation(sizes.task.validation_examples)
        return sizes.spec.inner.seeds * (int((1 + tangents(sizes)) * max(each, judging)) + memory.order)

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        samples = sizes.spec.method.samples
        if samples is None:
            return "one tangent for each hyperparameter is exact; time grows with their number, memory not with the steps"
        random = f"{samples} random tangent" + ("" if samples == 1 else "s")
        return f"{random} a seed: unbiased, noisier the more hyperparameters there are; memory does not grow with the steps"


def tangents(sizes: Sizes) -> int:
    """Tangents that travel with a run."""
    samples = sizes.spec.method.samples
    return sizes.coordinates if samples is None else samples


FACTS = ForwardFacts()
