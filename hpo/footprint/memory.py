"""Peak memory of a job's populations in bytes, in addition to the memory of an idle process.

The formulas count what is alive at the worst moment of each phase. Their factors were measured on a CPU as growth of the
resident size; tests hold them to 30 % of it.
"""

from dataclasses import dataclass

from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec

BYTES = 4
MOST_PLAIN_MEMBERS = 32
MOST_PLAIN_PARAMETERS = 4_000_000
"""Most parameters of a plain population: above, arithmetic takes the time of a step, not dispatch, so more members gain
nothing."""
MOST_PLAIN_BYTES = 2**29
"""Most bytes of a plain population: above, its activations are far too large for a cache, so more members gain nothing."""

UPDATE = 10
"""Copies of the parameters that a plain step touches: states before and after, gradient, coefficients, temporaries."""
RETAINED = 2
"""Copies of the parameters that the allocator keeps after a plain step."""
STACKED, STACKED_BACK = 10, 20
"""Copies of the matrices that are orthogonalised together: in an update, and in one step of the reverse pass."""
BACKWARD_UPDATE = 14
"""Copies of the parameters that one step of the reverse pass touches, with cotangents."""
SECOND_ORDER = 6.0
"""Live floats of a twice-differentiated step, per float that its forward pass keeps."""
DOUBLE = 2
"""Bytes, and seconds, of float64 over those of float32."""


@dataclass(frozen=True)
class Memory:
    """Memory of one job's parts in bytes; for one member unless stated otherwise."""

    sizes: Sizes

    @property
    def spec(self) -> JobSpec:
        """Spec of the job."""
        return self.sizes.spec

    @property
    def parameters(self) -> int:
        """Bytes of the parameters."""
        return BYTES * self.sizes.parameters

    @property
    def state(self) -> int:
        """Bytes of the optimizer's state."""
        return self.sizes.state_copies * self.parameters

    @property
    def gradient(self) -> float:
        """Live floats of a training step, per float that its forward pass keeps."""
        return self.sizes.family.measured.gradient

    @property
    def saved(self) -> int:
        """Bytes that the forward pass of a training step keeps."""
        each = self.sizes.footprint.saved + self.sizes.shift_floats
        inner = self.spec.inner
        # Inputs of the whole batch lie there while its parts are gone through.
        waiting = self.sizes.task.features * (inner.batch_size - inner.at_once)
        return BYTES * (each * inner.at_once + waiting)

    @property
    def order(self) -> int:
        """Bytes of the indices of every step's training examples, and of the tables of coefficients over time."""
        inner, tensors = self.spec.inner, len(self.sizes.tensors)
        return inner.steps * (8 * inner.batch_size + 4 * BYTES * tensors)

    def evaluation(self, examples: int) -> int:
        """Bytes of a loss on that number of examples, without a graph."""
        return BYTES * self.sizes.footprint.live * self._examples_at_once(examples)

    def _examples_at_once(self, examples: int) -> int:
        """Examples of that number which are evaluated at once: all, unless batches are gone through in parts."""
        inner = self.spec.inner
        return examples if inner.micro_batches == 1 else min(examples, inner.at_once)

    @property
    def plain(self) -> int:
        """Peak of a training run, including the evaluation of its result on the validation and test split."""
        task = self.sizes.task
        training = UPDATE * self.parameters + STACKED * BYTES * self.sizes.stacked + self.gradient * self.saved
        judging = self.state + self.evaluation(max(task.validation_examples, task.test_examples))
        return int(max(training, judging)) + self.order

    @property
    def slope(self) -> int:
        """Bytes of the gradient of the validation loss at the end of a run."""
        saved = BYTES * self.sizes.footprint.saved
        floats = self.sizes.family.measured.slope * saved * self._examples_at_once(self.sizes.task.validation_examples)
        return int(4 * self.parameters + floats)

    def reverse(self, states: int) -> int:
        """Peak of a reverse pass that holds that number of states at the same time."""
        update = BACKWARD_UPDATE * self.parameters + STACKED_BACK * BYTES * self.sizes.stacked
        back = update + SECOND_ORDER * self.saved
        return int(states * self.state + max(back, self.slope)) + 2 * self.order


def plain_members(sizes: Sizes) -> int:
    """Most members that plain runs (scout, race, finish, samplers) train as one computation."""
    by_size = min(MOST_PLAIN_MEMBERS, MOST_PLAIN_PARAMETERS // sizes.parameters)
    return max(1, min(by_size, MOST_PLAIN_BYTES // Memory(sizes).plain))


def starts_at_once(sizes: Sizes) -> int:
    """Number of starts whose hypergradients are one computation: as many as fit in a plain population, at least one."""
    return min(sizes.spec.outer.starts, max(1, plain_members(sizes) // sizes.spec.inner.seeds))


def at_once(sizes: Sizes) -> Sizes:
    """Sizes of the job with one seed for each run that is differentiated at the same time; its memory is counted from them.

    The seeds of several starts are one population.
    """
    return sizes.with_run(seeds=sizes.spec.inner.seeds * starts_at_once(sizes))


def held_together(sizes: Sizes, members: int) -> int:
    """Members of a population whose activations are alive at once: all of them, or one group."""
    together = sizes.members_together
    return members if together is None else min(members, together)


def plain_bytes(sizes: Sizes, members: int) -> int:
    """Peak of a plain population of ``members``: activations of one group, first and last states of all other members."""
    memory, held = Memory(sizes), held_together(sizes, members)
    return held * memory.plain + (members - held) * (2 * memory.state + memory.order)
