"""Facts of forward mode. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import UPDATE, Memory
from hpo.footprint.sizes import Sizes

TANGENT = 3.2
"""Floats alive in one tangent of forward mode, over the floats alive in a training step."""


@dataclass(frozen=True)
class ForwardFacts(EstimatorFacts):
    """A run with tangents, each of which costs one Hessian-vector product a step."""

    seconds_factor: float = 1.5

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member: one a step, and two more for each tangent."""
        return sizes.spec.inner.steps * (1 + 2 * tangents(sizes))

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak memory in bytes: for every seed the run and its tangents, in a training step or on the validation split."""
        memory = Memory(sizes)
        each = UPDATE * memory.parameters + TANGENT * memory.gradient * memory.saved
        judging = memory.evaluation(sizes.task.validation_examples)
        return sizes.spec.inner.seeds * (int((1 + tangents(sizes)) * max(each, judging)) + memory.order)

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Description for a result: number of tangents, whether they are exact or random, and how cost grows."""
        samples = sizes.spec.method.samples
        if samples is None:
            return "one tangent for each hyperparameter is exact; time grows with their number, memory not with the steps"
        random = f"{samples} random tangent" + ("" if samples == 1 else "s")
        return f"{random} a seed: unbiased, noisier the more hyperparameters there are; memory does not grow with the steps"


def tangents(sizes: Sizes) -> int:
    """Number of tangents that a run carries: k, or ``method.samples`` random ones."""
    samples = sizes.spec.method.samples
    return sizes.coordinates if samples is None else samples


FACTS = ForwardFacts()
