"""Facts of reverse mode by state replay. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.estimators.facts.storage import Storage, replayed, states_kept, storage_in_force, taken_over
from hpo.footprint.memory import Memory, at_once, held_together
from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec

GIBIBYTE = 2**30


@dataclass(frozen=True)
class ReverseFacts(EstimatorFacts):
    """Reverse mode: plain steps, one more of each that is replayed, and a curvature product a step."""

    seconds_factor: float = 1.3
    asked: str = "asked for"
    """Words on who chose it, and why."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:
        """Gradient evaluations of one member's hypergradient."""
        steps, storage = sizes.spec.inner.steps, storage_in_force(at_once(sizes), limit)
        return replayed(steps, storage) - taken_over(steps, storage, tapes(sizes)) + 4 * steps

    def bytes(self, sizes: Sizes, limit: int) -> int:
        """Peak of an outer step's hypergradients, bytes."""
        members = held_together(sizes, self.members(sizes))
        return members * Memory(sizes).reverse(states_kept(sizes.spec.inner.steps, storage_in_force(sizes, limit)))

    def members(self, sizes: Sizes) -> int:
        """Seeds that are differentiated in an outer step."""
        return sizes.spec.inner.seeds

    def adjoint(self, spec: JobSpec) -> str:
        """The adjoint in force."""
        return spec.method.adjoint_kind

    def storage(self, sizes: Sizes, limit: int) -> Storage | None:
        """Storage of the reverse pass in force."""
        return storage_in_force(sizes, limit)

    def why(self, sizes: Sizes, limit: int) -> str:
        """Words on the estimator in this job."""
        storage = storage_in_force(sizes, limit)
        every = {"none": "every", "sqrt": "about every sqrt(steps)-th"}.get(str(storage), f"every {storage}-th")
        chosen = sizes.spec.method.checkpointing == "auto"
        memory = f"by {limit / GIBIBYTE:.3g} GiB of memory" if chosen else "as asked for"
        return f"its cost does not grow with their number; keeps {every} optimizer state, {memory}"

    def reason(self, sizes: Sizes, limit: int) -> str:
        """Words on who chose the estimator, and why."""
        return f"{self.asked}, and {self.why(sizes, limit)}"


def tapes(sizes: Sizes) -> int:
    """Steps of a replayed segment whose tapes are kept."""
    batch = sizes.spec.inner.batch_size * (sizes.members_together or 1)
    return sizes.family.tapes_kept(sizes.spec.model, sizes.task, batch)


FACTS = ReverseFacts()
