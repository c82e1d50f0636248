"""Peak memory of a job's populations in bytes, above what the process itself takes.

The formulas count what is alive at the worst moment of each phase. Their factors were measured on a CPU as growth of the
resident size; tests hold them to 30 % of it.
"""

from dataclasses import dataclass

from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec

BYTES = 4
MOST_PLAIN_MEMBERS = 32
MOST_PLAIN_PARAMETERS = 4_000_000
"""A plain population stops growing where arithmetic, not dispatch, already takes the time."""
MOST_PLAIN_BYTES = 2**29
"""Nor does a larger one help where activations no longer fit in a cache by far."""

UPDATE = 10
"""Copies of the parameters that a plain step touches: states before and after, gradient, coefficients, temporaries."""
RETAINED = 2
"""Those of them that the allocator keeps for later."""
BACKWARD_UPDATE = 14
"""The same of one step of the reverse pass, with cotangents."""
SECOND_ORDER = 6.0
"""Floats alive in a step that is differentiated twice, over those that its forward pass keeps."""
DOUBLE = 2
"""Bytes and seconds in float64 over float32."""


@dataclass(frozen=True)
class Memory:
    """Sizes of one job in bytes, for one member where nothing else is said."""

    sizes: Sizes

    @property
    def spec(self) -> JobSpec:
        """The job."""
        return self.sizes.spec

    @property
    def parameters(self) -> int:
        """The parameters."""
        return BYTES * self.sizes.parameters

    @property
    def state(self) -> int:
        """The optimizer's state."""
        return self.sizes.state_copies * self.parameters

    @property
    def gradient(self) -> float:
        """Floats alive in a training step, over those that its forward pass keeps."""
        return self.sizes.family.measured.gradient

    @property
    def saved(self) -> int:
        """What the forward pass of a training step keeps."""
        each = self.sizes.footprint.saved + self.sizes.shift_floats
        return BYTES * each * self.spec.inner.batch_size

    @property
    def order(self) -> int:
        """Indices of the training examples of every step, and the tables of coefficients over time."""
        inner, tensors = self.spec.inner, 20
        return inner.steps * (8 * inner.batch_size + 4 * BYTES * tensors)

    def evaluation(self, examples: int) -> int:
        """Loss on a whole split, without a graph."""
        return BYTES * self.sizes.footprint.live * examples

    @property
    def plain(self) -> int:
        """A training run, and the evaluation of its result on validation and test split."""
        task = self.sizes.task
        training = UPDATE * self.parameters + self.gradient * self.saved
        judging = self.state + self.evaluation(max(task.validation_examples, task.test_examples))
        return int(max(training, judging)) + self.order

    @property
    def slope(self) -> int:
        """The gradient of the validation loss at the end of a run."""
        saved = BYTES * self.sizes.footprint.saved
        floats = self.sizes.family.measured.slope * saved * self.sizes.task.validation_examples
        return int(4 * self.parameters + floats)

    def reverse(self, states: int) -> int:
        """A reverse pass that holds so many states at once."""
        back = BACKWARD_UPDATE * self.parameters + SECOND_ORDER * self.saved
        return int(states * self.state + max(back, self.slope)) + 2 * self.order


def plain_members(sizes: Sizes) -> int:
    """Members that plain runs (scout, race, finish, samplers) train as one computation, at most."""
    by_size = min(MOST_PLAIN_MEMBERS, MOST_PLAIN_PARAMETERS // sizes.parameters)
    return max(1, min(by_size, MOST_PLAIN_BYTES // Memory(sizes).plain))


def starts_at_once(sizes: Sizes) -> int:
    """Starts whose hypergradients are taken as one computation: as many as a plain population holds, at least one."""
    return min(sizes.spec.outer.starts, max(1, plain_members(sizes) // sizes.spec.inner.seeds))


def at_once(sizes: Sizes) -> Sizes:
    """Sizes of the same job with one seed for each run that it differentiates at once: its memory is reckoned from them.

    The seeds of several starts are one population.
    """
    return sizes.with_run(seeds=sizes.spec.inner.seeds * starts_at_once(sizes))


def held_together(sizes: Sizes, members: int) -> int:
    """Members of a population whose activations are alive at once: all of them, or those of one group."""
    together = sizes.members_together
    return members if together is None else min(members, together)


def plain_bytes(sizes: Sizes, members: int) -> int:
    """Peak of plain runs of so many members: of one group; of the others what they begin with, and end with."""
    memory, held = Memory(sizes), held_together(sizes, members)
    return held * memory.plain + (members - held) * (2 * memory.state + memory.order)
