"""How much memory a job's population takes, before anything is spent. Arithmetic only."""

import math

from windtunnel.types.spec import JobSpec
from windtunnel.types.tasks import TASKS

BYTES = 4
MOST_PLAIN_MEMBERS = 32
MOST_PLAIN_PARAMETERS = 4_000_000
"""A plain population stops growing where arithmetic, not dispatch, already takes the time."""


def mlp_parameters(features: int, classes: int, width: int, depth: int) -> int:
    """Number of parameters of an MLP with ``depth`` hidden layers, biases included."""
    return (features + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * classes


def state_tensors(optimizer: str) -> int:
    """Copies of the parameters that the optimizer's state holds, the parameters themselves included."""
    return {"sgd": 2, "adam": 3, "adamw": 3}[optimizer]


def states_kept(steps: int, checkpointing: str) -> int:
    """States alive at once in the reverse pass: all of them, or a segment and its checkpoints."""
    if checkpointing == "none":
        return steps + 1
    segment = math.isqrt(max(steps - 1, 0)) + 1
    return segment + math.ceil(steps / segment) + 1


def plain_members(spec: JobSpec) -> int:
    """Members that plain runs (scout, race, finish) train as one computation, at most."""
    task = TASKS[spec.task]
    parameters = mlp_parameters(task.features, task.classes, spec.model.width, spec.model.depth)
    return max(1, min(MOST_PLAIN_MEMBERS, MOST_PLAIN_PARAMETERS // parameters))


def member_bytes(spec: JobSpec) -> tuple[int, int]:
    """(parameters, activations of one step) of one member, in bytes."""
    task = TASKS[spec.task]
    parameters = mlp_parameters(task.features, task.classes, spec.model.width, spec.model.depth)
    units = task.features + spec.model.depth * spec.model.width + task.classes
    return BYTES * parameters, BYTES * units * spec.inner.batch_size


def checkpointing_kind(spec: JobSpec, limit: int) -> str:
    """Storage of the reverse pass: as asked for; ``auto`` keeps every state where that fits in an eighth of the limit."""
    if spec.method.checkpointing != "auto":
        return spec.method.checkpointing
    parameters, _ = member_bytes(spec)
    states = (spec.inner.steps + 1) * state_tensors(spec.optimizer.name) * parameters * spec.inner.seeds
    return "none" if states <= limit // 8 else "sqrt"


def population_bytes(spec: JobSpec, limit: int) -> int:
    """Peak memory of the job's populations in bytes: states kept, one step's activations, gradients, data.

    Evaluation on the whole validation split counts as one step's activations of that size.
    """
    task, steps, seeds = TASKS[spec.task], spec.inner.steps, spec.inner.seeds
    parameters, activations = member_bytes(spec)
    state = state_tensors(spec.optimizer.name) * parameters
    batches = 8 * steps * spec.inner.batch_size
    evaluation = 3 * activations // spec.inner.batch_size * max(task.validation_examples, task.test_examples)
    plain = plain_members(spec) * (2 * state + 4 * parameters + 3 * activations + evaluation + batches)
    if spec.method.engine == "higher":
        graph = steps * (8 * state + 6 * activations) + 2 * evaluation
        return max(graph + seeds * batches, plain)
    kept = states_kept(steps, checkpointing_kind(spec, limit))
    reverse = seeds * (kept * state + 12 * parameters + 6 * activations + 2 * evaluation + batches)
    return max(reverse, plain)
