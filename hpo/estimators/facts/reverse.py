"""Facts of reverse mode by state replay. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.estimators.facts.storage import (
    BRANCHES,
    Storage,
    replayed,
    states_filed,
    states_held,
    storage_in_force,
    taken_over,
)
from hpo.footprint.memory import Memory, at_once, held_together
from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec

GIBIBYTE = 2**30
KEPT = {
    "none": "every optimizer state",
    "sqrt": "about every sqrt(steps)-th optimizer state",
    "log": f"the optimizer states of a tree with {BRANCHES} branches",
}
PLACES = {"device": "", "host": " in the host's memory", "file": " in a file"}


@dataclass(frozen=True)
class ReverseFacts(EstimatorFacts):
    """Reverse mode: plain steps, each replayed step once more, and one curvature product a step."""

    seconds_factor: float = 1.3
    asked: str = "asked for"
    """Reason that a result gives for the choice of reverse mode."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:
        """Gradient evaluations of one member: four a step (run, gradient, curvature product), and replayed steps.

        A step whose batch is gone through in parts takes one more: each part is computed again for its product.
        """
        steps, states = sizes.spec.inner.steps, storage_in_force(at_once(sizes), limit).states
        each = 4 if sizes.spec.inner.micro_batches == 1 else 5
        return replayed(steps, states) - taken_over(steps, states, tapes(sizes)) + each * steps

    def bytes(self, sizes: Sizes, limit: int) -> int:
        """Peak memory in bytes of the members that are computed together: kept states, and one backward step."""
        members = held_together(sizes, self.members(sizes))
        return members * Memory(sizes).reverse(states_held(sizes.spec.inner.steps, storage_in_force(sizes, limit)))

    def file_bytes(self, sizes: Sizes, limit: int) -> int:
        """Size of the file of the members that are computed together, bytes; 0 where the states lie in memory."""
        storage = self.storage(sizes, limit)
        if storage is None:
            return 0
        members = held_together(sizes, self.members(sizes))
        return members * states_filed(sizes.spec.inner.steps, storage) * Memory(sizes).state

    def members(self, sizes: Sizes) -> int:
        """Seeds that one outer step differentiates."""
        return sizes.spec.inner.seeds

    def adjoint(self, spec: JobSpec) -> str:
        """Adjoint that the job's method sets."""
        return spec.method.adjoint_kind

    def storage(self, sizes: Sizes, limit: int) -> Storage | None:
        """Optimizer states that are kept, as the job asks or, for ``auto``, as memory allows."""
        return storage_in_force(sizes, limit)

    def why(self, sizes: Sizes, limit: int) -> str:
        """Description for a result: share of the optimizer states that is kept, and the reason."""
        storage = storage_in_force(sizes, limit)
        every = KEPT.get(str(storage.states), f"every {storage.states}-th optimizer state")
        chosen = sizes.spec.method.checkpointing == "auto"
        memory = f"by {limit / GIBIBYTE:.3g} GiB of memory" if chosen else "as asked for"
        return f"its cost does not grow with their number; keeps {every}{PLACES[storage.place]}, {memory}"

    def reason(self, sizes: Sizes, limit: int) -> str:
        """Reason for reverse mode, followed by its description ``why``."""
        return f"{self.asked}, and {self.why(sizes, limit)}"


def tapes(sizes: Sizes) -> int:
    """Number of steps of a replayed segment whose tapes are kept; none of batches in parts, none in bf16.

    No pass by hand computes in bf16.
    """
    if sizes.spec.inner.precision != "float32" or sizes.spec.inner.micro_batches > 1:
        return 0
    batch = sizes.spec.inner.batch_size * (sizes.members_together or 1)
    return sizes.family.tapes_kept(sizes.spec.model, sizes.task, batch)


FACTS = ReverseFacts()
