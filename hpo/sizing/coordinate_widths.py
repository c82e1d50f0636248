"""Widths, batch and seeds of a coordinate check: wide enough for the law, cheap enough for one core. Imports no torch."""

from math import prod

from hpo.families.facts.registry import proxy_tensors
from hpo.families.facts.resnet import stem_size
from windtunnel.types.model import Family
from windtunnel.types.spec import JobSpec

BATCHES: dict[Family, int] = {"mlp": 128, "resnet": 8, "transformer": 4, "module": 16}
"""Examples of the one batch: fewer of those that use every weight at each of their positions."""
SEEDS: dict[Family, int] = {"mlp": 4, "resnet": 6, "transformer": 5, "module": 5}
"""Initialisations at each width: with these, intervals of the exponents are mostly shorter than the range that passes."""
CONTEXT = 8
"""Tokens of an example. Tokens at other places are all but uncorrelated inputs, and the law of large widths sets in where
the width is large against their number."""
KERNEL_EXAMPLES, KERNEL_SEEDS = 4, 3
"""Of the batch and of the seeds, that tangent kernel and linearisation are measured on: each example holds a gradient of
its own."""
MOST_AT_ONCE = 4_000_000
"""Parameters of the seeds that train as one computation: some twenty times as many numbers are in memory."""
MOST_WORK = 2_000_000_000
"""Multiply-adds of one forward pass of one batch, over all widths; bounds the check to seconds on one core."""
MOST_PARAMETERS = 8_000_000
"""Over all widths of a ladder; bounds the memory to some hundred megabytes."""
SMALLEST: dict[Family, int] = {"mlp": 64, "resnet": 32, "transformer": 48, "module": 64}
"""Below, a model's own fluctuations hide the law. A convolution sums over nine inputs a channel."""
DOUBLINGS, FEWEST_WIDTHS = 4, 4


def ladder(spec: JobSpec) -> list[int]:
    """Widths of the check: doublings of the proxy's width, at least four widths.

    They begin at ``SMALLEST`` or above, and go over four doublings as far as ``MOST_WORK`` and ``MOST_PARAMETERS`` allow.
    A large proxy is checked at and below its width. Where heads cannot be halved any more, the widths are those of one to
    four heads.
    """
    match spec.model.family:
        case "transformer":
            head = spec.model.head
        case "module":
            # Which widths a module of one's own can have is not known: multiples of the proxy's are the safest guess.
            head = spec.model.width
        case _:
            head = 1

    def half(width: int) -> int:
        return max(width // head // 2, 1) * head

    lowest = spec.model.width
    while lowest < SMALLEST[spec.model.family]:
        lowest *= 2
    while cost(spec, lowest) > 1 / 2 and half(lowest) < lowest:
        lowest = half(lowest)
    widths = [lowest]
    while len(widths) <= DOUBLINGS and sum(cost(spec, width) for width in [*widths, 2 * widths[-1]]) <= 1:
        widths.append(2 * widths[-1])
    while len(widths) < FEWEST_WIDTHS:
        if half(widths[0]) == widths[0]:
            return [widths[0] * count for count in range(1, FEWEST_WIDTHS + 1)]
        widths.insert(0, half(widths[0]))
    return widths


def cost(spec: JobSpec, width: int) -> float:
    """Share of ``MOST_WORK`` or of ``MOST_PARAMETERS``, whichever is larger, that one width takes."""
    task, model = spec.info, spec.model
    tensors = proxy_tensors(model.model_copy(update={"width": width}), task)
    parameters = sum(prod(fact.shape) for fact in tensors)
    match model.family:
        case "mlp":
            positions = 1
        case "resnet":
            positions = task.features // stem_size(task.image)[1] ** 2 // task.image[0] if task.image else 1
        case "transformer":
            positions = min(CONTEXT, task.features)
        case "module":
            assert task.module is not None
            work = task.module.multiply_adds_at(width, model.depth) * BATCHES["module"]
            return max(parameters / MOST_PARAMETERS, work / MOST_WORK)
    return max(parameters / MOST_PARAMETERS, parameters * positions * BATCHES[model.family] / MOST_WORK)
