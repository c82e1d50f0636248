"""Sizes of the measurements for a transfer: steps, factors, seeds, batches, widths of a coordinate check. No torch.

The measurements (``hpo.evidence``) run by these numbers, and the estimate of a job (``hpo.sizing``) counts with the same
ones.
"""

from math import inf

from hpo.footprint.sizes import Sizes

CHECK_STEPS = 4
"""Coordinate check: number of optimizer updates at each width."""
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Ladder and horizons: factors on the tuned learning rate (or weight decay); each is a run on every seed."""
FIT_SEEDS = 4
"""Horizons: number of seeds at each factor."""
NOISE_TIMES = (0.25, 0.5, 0.75)
"""Noise scale: shares of the run after which gradients are taken."""
NOISE_RUNS, NOISE_BATCHES = 4, 32
"""Noise scale: number of runs, and of gradients that each run takes at each time."""
KERNEL_EXAMPLES, KERNEL_SEEDS = 4, 3
"""Examples of the batch, and seeds, on which tangent kernel and linearisation are measured. Few, because each example holds
a gradient of its own."""
MOST_AT_ONCE = 4_000_000
"""Most parameters of the seeds that train as one computation. About twenty times as many numbers are in memory."""
MOST_WORK = 2_000_000_000
"""Most multiply-adds of a forward pass of one batch, summed over all widths: keeps the check to seconds on one core."""
MOST_PARAMETERS = 8_000_000
"""Most parameters, summed over all widths of a coordinate check: keeps its memory to some hundred megabytes."""
DOUBLINGS, FEWEST_WIDTHS = 4, 4


def ladder(sizes: Sizes) -> list[int]:
    """Widths of the coordinate check: doublings of the proxy's width, at least four widths.

    They begin at the family's smallest width or above, and continue for up to four doublings within ``MOST_WORK`` and
    ``MOST_PARAMETERS``. A large proxy is checked at and below its width. If heads cannot be halved any more, the widths are
    those of one to four heads.
    """
    model, family = sizes.spec.model, sizes.family
    step = family.check_step(model)

    def half(width: int) -> int:
        return max(width // step // 2, 1) * step

    lowest = model.width
    while lowest < family.check.smallest:
        lowest *= 2
    while cost(sizes, lowest) > 1 / 2 and half(lowest) < lowest:
        lowest = half(lowest)
    widths = [lowest]
    while len(widths) <= DOUBLINGS and sum(cost(sizes, width) for width in [*widths, 2 * widths[-1]]) <= 1:
        widths.append(2 * widths[-1])
    while len(widths) < FEWEST_WIDTHS:
        if half(widths[0]) == widths[0]:
            return [widths[0] * count for count in range(1, FEWEST_WIDTHS + 1)]
        widths.insert(0, half(widths[0]))
    return widths


def cost(sizes: Sizes, width: int) -> float:
    """Share of ``MOST_WORK`` or of ``MOST_PARAMETERS``, whichever is larger, that one width takes; inf: it is not there."""
    try:
        count, model = sizes.parameters_at(width), sizes.model_at(width)
    except ValueError:  # a width that a module of one's own cannot have
        return inf
    return max(count / MOST_PARAMETERS, sizes.family.check_work(model, sizes.task, count) / MOST_WORK)
