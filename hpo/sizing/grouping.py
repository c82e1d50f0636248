"""How much to compute, and to keep, at once on a CPU. Imports no torch."""

from hpo.families.facts.transformer import EXPANSION
from hpo.sizing.counts import footprint
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo

LARGE = 2**17
"""Floats of a layer's output for one batch, above which arithmetic and memory take the time of a kernel, and not its call:
some 20 microseconds against 5."""


TAPE = 6
"""Bytes that a tape by hand holds for every float that a forward pass keeps."""
MOST_TAPE_BYTES = 2**29
"""Of all the tapes that are kept at once: about what the gradient of the validation loss takes before any of them."""


def tapes_kept(model: ModelSpec, task: TaskInfo, batch: int) -> int:
    """Steps of a segment whose tapes stay, from its replay to its backward steps: their gradients are computed once."""
    if model.family != "transformer":
        return 0
    return MOST_TAPE_BYTES // (TAPE * footprint(model, task).saved * batch)


def members_together(model: ModelSpec, task: TaskInfo, batch: int) -> int | None:
    """Members that train faster as one computation than one after the other, whatever is left in caches considered.

    Where the layers of one member already are large, more of them at once only leave the caches; and one after the other
    they need the activations of one. None: any number; the products of an MLP or a resnet gain from every member.
    """
    if model.family != "transformer":
        return None
    widest = max(EXPANSION * model.width, model.width // model.head * task.features)
    return max(1, LARGE // (batch * task.features * widest))


def groups(members: int, together: int | None) -> list[slice]:
    """Rows of a population, so many at a time."""
    size = members if together is None else together
    return [slice(start, min(start + size, members)) for start in range(0, members, size)]
