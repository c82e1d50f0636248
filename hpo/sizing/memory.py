"""Peak memory of a job's populations in bytes, above what the process itself takes.

The formulas count what is alive at the worst moment of each phase. Their factors were measured on a CPU as growth of the
resident size; tests hold them to 30 % of it.
"""

import math
from dataclasses import dataclass
from typing import Literal

from hpo.search.budget import CERTIFIED_STEPS, CERTIFYING_RUNS, GRADIENT_SEEDS
from hpo.sizing.best_response import best_response_of
from hpo.sizing.sizes import Sizes
from windtunnel.types.estimators import BestResponseName, EstimatorName
from windtunnel.types.spec import JobSpec

Storage = Literal["none", "sqrt"] | int
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
TANGENT = 3.2
"""The same of one tangent of forward mode."""
DOUBLE = 2
"""Bytes and seconds in float64 over float32."""
RESPONSE_UPDATE = 24
"""Copies of the response that an update of it touches: Adam's states before and after, gradient, temporaries."""
ANSWERED: dict[BestResponseName, float] = {"stn": 4.0, "delta_stn": 5.0}
"""Floats alive in a step of a best response, over those of a plain training step."""
GRAPH_STATE, GRAPH_SAVED = 4.5, 2.5
"""Copies of state and kept floats that every step of a full graph holds."""


def states_kept(steps: int, storage: Storage) -> int:
    """States alive at once in the reverse pass: all of them, or a segment and its checkpoints."""
    if storage == "none":
        return steps + 1
    segment = math.isqrt(max(steps - 1, 0)) + 1 if storage == "sqrt" else min(storage, steps)
    return segment + math.ceil(steps / segment) + 1


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

    def forward(self, tangents: int) -> int:
        """A run with so many tangents."""
        each = UPDATE * self.parameters + TANGENT * self.gradient * self.saved
        judging = self.evaluation(self.sizes.task.validation_examples)
        return int((1 + tangents) * max(each, judging)) + self.order

    def graph(self) -> int:
        """The full unrolled graph of a run."""
        return int(self.spec.inner.steps * (GRAPH_STATE * self.state + GRAPH_SAVED * self.saved)) + self.slope

    def best_response(self, kind: BestResponseName) -> int:
        """A step that trains weights and response, or the look at the validation split after a block of them."""
        response = BYTES * self.sizes.response_parameters
        held = 2 * self.state + RESPONSE_UPDATE * response + ANSWERED[kind] * self.gradient * self.saved
        judging = self.state + 3 * response + self.evaluation(self.sizes.task.validation_examples)
        return int(max(held, judging)) + self.order

    def implicit(self) -> int:
        """A graph of the training gradient on the system's examples, and the vectors of the solve."""
        method = self.spec.method
        examples = min(1024, self.sizes.task.train_examples)
        saved = BYTES * self.sizes.footprint.saved * examples
        vectors = 3 * method.iterations if method.solver_kind == "nystrom" else 8
        return int(SECOND_ORDER / 2 * saved + (BACKWARD_UPDATE + vectors) * self.parameters) + self.slope


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


def is_auto(spec: JobSpec) -> bool:
    """Whether the job may take what serves: gradients, a sampler, or both."""
    return spec.method.estimator == "auto" and not spec.method.uses_higher


def estimator_in_force(spec: JobSpec) -> EstimatorName:
    """The estimator that differentiates: ``auto`` is reverse mode beside a sampler."""
    if spec.method.uses_higher:
        return "higher"
    return "reverse" if spec.method.estimator == "auto" else spec.method.estimator


def storage_in_force(sizes: Sizes, limit: int) -> Storage:
    """Storage of the reverse pass: as asked for; ``auto`` keeps every state where that fits in an eighth of the limit."""
    spec = sizes.spec
    if spec.method.checkpointing != "auto":
        return spec.method.checkpointing
    states = (spec.inner.steps + 1) * Memory(sizes).state * spec.inner.seeds
    return "none" if states <= limit // 8 else "sqrt"


def estimator_bytes(sizes: Sizes, limit: int) -> int:
    """Peak of the hypergradient of all seeds."""
    spec, memory = sizes.spec, Memory(sizes)
    steps, method = spec.inner.steps, spec.method
    members = min(spec.inner.seeds, GRADIENT_SEEDS) if is_auto(spec) else spec.inner.seeds
    match estimator_in_force(spec):
        case "auto" | "reverse":
            members = held_together(sizes, members)
            each = memory.reverse(states_kept(steps, storage_in_force(sizes, limit)))
        case "truncated":
            each = memory.reverse(min(method.window_steps, steps) + 1)
        case "greedy":
            each = memory.reverse(2) + sizes.coordinates * memory.parameters // 2
        case "forward":
            each = memory.forward(sizes.coordinates if method.samples is None else method.samples)
        case "implicit":
            each = memory.implicit()
        case "higher":
            # One seed after the other.
            members, each = 1, memory.graph() + members * memory.order
        case "es" | "pes" | "finite_difference":
            return plain_bytes(sizes, plain_members(sizes))
        case "stn" | "delta_stn" as kind:
            return response_bytes(sizes, kind)
    beside = 0 if spec.method.best_response is None else response_bytes(sizes, spec.method.best_response)
    return max(members * each, beside)


def response_bytes(sizes: Sizes, kind: BestResponseName) -> int:
    """Peak of a best-response run of all seeds: of one group of them, and what the others keep."""
    memory, seeds = Memory(sizes), sizes.spec.inner.seeds
    held = held_together(sizes, seeds)
    kept = 2 * memory.state + 6 * BYTES * sizes.response_parameters + memory.order
    return held * memory.best_response(kind) + (seeds - held) * kept


def certificate_bytes(sizes: Sizes) -> int:
    """Peak of the certificate: short runs in float64, and one member's reverse pass through them."""
    spec, task = sizes.spec, sizes.task
    short = sizes.with_run(steps=min(spec.inner.steps, CERTIFIED_STEPS))
    memory = Memory(short)
    data = 0 if task.kind == "language" else BYTES * task.features * (task.train_examples + task.validation_examples)
    if (kind := best_response_of(spec)) is not None:
        responding = memory.best_response(kind)
        if spec.method.estimator == kind:
            return DOUBLE * (data + responding)
    else:
        responding = 0
    runs = plain_bytes(short, min(plain_members(sizes), CERTIFYING_RUNS))
    return DOUBLE * (data + max(runs, responding, memory.reverse(CERTIFIED_STEPS + 1)))
