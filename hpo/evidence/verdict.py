"""Judges a coordinate check: each exponent with its interval, the losses, and the whole. Imports no torch.

An exponent is flat if |exponent| <= ``PASSES``, and depends on the width if |exponent| > ``FAILS``; between the two nothing
is claimed. An estimate counts only if its interval excludes the opposite: a pass needs an interval inside the failing
limits, a failure an interval outside the passing range.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite
from statistics import fmean
from typing import Literal

from hpo.evidence.slopes import CONFIDENCE, LARGEST, Interval, interval, slope_over_seeds
from windtunnel.types.results import CoordinateQuantity, CoordinateSlope

Verdict = Literal["pass", "inconclusive", "fail"]
Sizes = Sequence[Sequence[float]]
"""Sizes of a quantity, [widths][seeds]."""

PASSES = 0.1
"""Largest |exponent| of a size that does not depend on the width."""
FAILS = 0.3
"""|exponent| above which a size depends on the width."""
DECIDES: frozenset[CoordinateQuantity] = frozenset({"activation", "change", "update_norm"})
"""Quantities that decide the verdict, after the last step. The others are only shown: a weight's own norm reaches its
exponent only if the width is large against the fixed number of features; tangent kernel and linearisation error tell the
regime, not whether it is the same at every width."""
LEAST_STEPS = 3
"""Steps after which a gradient that is still exactly 0 is taken for one that stays there."""
SMALLEST_RISE = 0.02
"""Least share of the training's gain by which a wider model must be worse to count as worse."""
WORDS: dict[CoordinateQuantity, str] = {
    "activation": "outputs",
    "change": "change of outputs",
    "weight_norm": "spectral norm",
    "update_norm": "spectral norm of the update",
    "kernel_change": "change of the tangent kernel",
    "linearisation_error": "linearisation error",
}


def judge(exponent: Interval) -> Verdict:
    """Verdict on one exponent."""
    if abs(exponent.value) <= PASSES and exponent.low >= -FAILS and exponent.high <= FAILS:
        return "pass"
    clear = exponent.low > PASSES or exponent.high < -PASSES
    return "fail" if abs(exponent.value) > FAILS and clear else "inconclusive"


def measured_slope(
    module: str, quantity: CoordinateQuantity, step: int, widths: Sequence[int], sizes: Sizes, *, last: bool
) -> CoordinateSlope:
    """Exponent of one quantity over the widths, with its verdict.

    A quantity that is exactly 0 at every width has no exponent: it gets 0 and is exempt, as are activations that are 0 at
    any width (the logits of a zero readout before its first update). A change of 0 at only some widths means that the
    module does not learn there: a tiny size replaces it, and the exponent fails. In fewer than half of the seeds it is an
    accident of the start, as of a few units behind a ReLU that are all below 0: the other seeds are judged.

    Args:
        module: name of the module or tensor.
        quantity: measured quantity.
        step: optimizer updates before the measurement.
        widths: rising widths.
        sizes: sizes at each width and seed.
        last: whether this is the step that is judged.
    """
    decides = last and quantity in DECIDES
    if quantity != "activation":
        sizes = _that_move(sizes)
    values = [size for seeds in sizes for size in seeds]
    exponent = slope_over_seeds(widths, sizes)
    if exponent is None and (quantity == "activation" or not any(values)):
        return CoordinateSlope(module=module, quantity=quantity, step=step, slope=0.0, verdict="exempt", decides=decides)
    verdict: Verdict | None = None if all(isfinite(value) for value in values) else "fail"
    if exponent is None:
        verdict = "fail"
        exponent = slope_over_seeds(widths, [[max(size, 1 / LARGEST) for size in seeds] for seeds in sizes])
        assert exponent is not None
    low, high = (None, None) if exponent.high == inf else (exponent.low, exponent.high)
    return CoordinateSlope(
        module=module,
        quantity=quantity,
        step=step,
        slope=exponent.value,
        low=low,
        high=high,
        verdict=verdict or judge(exponent),
        decides=decides,
    )


def _that_move(sizes: Sizes) -> Sizes:
    """The sizes of the seeds that have no 0 at any width, if they are more than half of all; else all sizes."""
    moving = [seed for seed, column in enumerate(zip(*sizes, strict=True)) if 0 not in column]
    return [[row[seed] for seed in moving] for row in sizes] if 2 * len(moving) > len(sizes[0]) else sizes


def initial_logits_dominate(activation: Sequence[Sizes], change: Sequence[Sizes]) -> bool:
    """True if the initial logits are still larger than their change by training, at any width.

    The logits of a readout that is not 0 start as a sum of random terms, which shrinks with the width under muP; that
    says nothing about training.

    Args:
        activation: sizes of the logits, [steps + 1][widths][seeds].
        change: sizes of their changes, [steps][widths][seeds].
    """
    return any(fmean(moved) < fmean(first) for first, moved in zip(activation[0], change[-1], strict=True))


def exempted(slope: CoordinateSlope) -> CoordinateSlope:
    """The exponent, marked as not deciding the verdict."""
    return slope.model_copy(update={"verdict": "exempt", "decides": False})


def rises(widths: Sequence[int], losses: Sizes, gained: float) -> list[str]:
    """Sentences on each width whose loss is higher than the next smaller one's (Tensor Programs V, section 8).

    A rise counts if the t-interval of the seeds' differences, with a confidence corrected for the number of pairs, lies
    above 0, and the rise is more than ``SMALLEST_RISE`` of the training's gain.

    Args:
        widths: rising widths.
        losses: training loss of each width and seed after the last step.
        gained: mean loss before the first step less that after the last, at the narrowest width.
    """
    found: list[str] = []
    confidence = 1 - (1 - CONFIDENCE) / (len(widths) - 1)
    for (narrow, lower), (wide, upper) in pairwise(zip(widths, losses, strict=True)):
        if not all(isfinite(loss) for loss in (*lower, *upper)):
            continue
        rise = interval([after - before for before, after in zip(lower, upper, strict=True)], confidence)
        if rise.low > 0 and rise.value > SMALLEST_RISE * max(gained, 0.0):
            found.append(
                f"Wider is not better: the training loss rises by {rise.value:.3g} nats from width {narrow} to {wide} "
                f"({confidence:.0%} interval {rise.low:.3g} to {rise.high:.3g})."
            )
    return found


def unreached(widths: Sequence[int], sizes: Mapping[str, Sizes], steps: int) -> dict[str, str]:
    """Tensor -> sentence, for those that no gradient reaches in any seed of a width, after the first step.

    With fewer than ``LEAST_STEPS`` steps nothing is said: behind several factors that start at 0 a gradient takes its time.

    Args:
        widths: rising widths.
        sizes: tensor -> largest |entry| of its gradient after the first step, [widths][seeds].
        steps: optimizer updates.
    """
    found: dict[str, str] = {}
    for name, at in sizes.items():
        dead = [width for width, seeds in zip(widths, at, strict=True) if not any(seeds)]
        if dead and steps >= LEAST_STEPS:
            found[name] = (
                f"{name}: its gradient is exactly 0 in every step after the first at "
                f"width{'s' if len(dead) > 1 else ''} {', '.join(map(str, dead))}: it never learns."
            )
    return found


def excused(slope: CoordinateSlope) -> CoordinateSlope:
    """The exponent, inconclusive where it failed by falling with the width; one that rises still fails."""
    falls = slope.verdict == "fail" and slope.slope < 0
    return slope.model_copy(update={"verdict": "inconclusive"}) if falls else slope


def overall(
    slopes: Iterable[CoordinateSlope], wider_is_worse: Sequence[str], never: Sequence[str] = ()
) -> tuple[Verdict, list[str]]:
    """(worst verdict among the deciding exponents, reasons against a pass).

    A loss that rises with the width makes the verdict inconclusive, not a failure: that it falls is an observation about
    well-tuned runs, not a theorem about a few steps at a large rate.

    Args:
        slopes: exponents of all quantities and steps.
        wider_is_worse: sentences of ``rises``.
        never: sentences of ``unreached``: each is a failure, as is a layer that the steps change at no width.
    """
    deciding = [slope for slope in slopes if slope.decides]
    failed = [slope for slope in deciding if slope.verdict == "fail"]
    open_ = [slope for slope in deciding if slope.verdict == "inconclusive"]
    unmoved = [slope for slope in deciding if slope.verdict == "exempt" and slope.quantity == "change"]
    reasons = [
        *never,
        *(f"{slope.module}: {slope.step} steps change nothing at any width." for slope in unmoved),
        *map(_sentence, sorted(failed, key=lambda slope: -abs(slope.slope))),
        *map(_sentence, sorted(open_, key=lambda slope: -abs(slope.slope))),
        *wider_is_worse,
    ]
    if failed or never or still(deciding):
        return "fail", reasons
    return "inconclusive" if reasons or not deciding else "pass", reasons


def still(slopes: Iterable[CoordinateSlope]) -> list[str]:
    """Layers whose outputs training changes at no width, although it took enough steps: a failure."""
    deciding = (slope for slope in slopes if slope.decides and slope.quantity == "change" and slope.verdict == "exempt")
    return [slope.module for slope in deciding if slope.step >= LEAST_STEPS]


def _sentence(slope: CoordinateSlope) -> str:
    known = slope.low is not None and slope.high is not None
    between = f" ({CONFIDENCE:.0%} interval {slope.low:+.2f} to {slope.high:+.2f})" if known else ""
    claim = f"fails beyond {FAILS:g}" if slope.verdict == "fail" else f"passes up to {PASSES:g}, fails beyond {FAILS:g}"
    return (
        f"{slope.module}: the {WORDS[slope.quantity]} after {slope.step} steps goes with the width as "
        f"width^{slope.slope:+.2f}{between}; {claim} either way."
    )
