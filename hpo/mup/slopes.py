"""Verdict of a coordinate check: log-log slopes of activation sizes over width. Imports no torch."""

from collections.abc import Iterable, Sequence
from math import isfinite, log
from typing import Literal

from windtunnel.types.results import CoordinateSlope

Verdict = Literal["pass", "inconclusive", "fail"]

PASSES = 0.1
"""Up to this |slope|, widths agree."""
FAILS = 0.3
"""Beyond this |slope| the size of activations depends on the width. In between nothing is claimed."""
LARGEST = 3.4028234663852886e38
"""Stands for a size that overflowed: the largest float32, so that slopes stay numbers."""


def finite(value: float) -> float:
    """The value itself, or ``LARGEST`` where a run diverged."""
    return value if isfinite(value) else LARGEST


def log_log_slope(widths: Sequence[int], sizes: Sequence[float]) -> float | None:
    """Least-squares exponent a of size ~ width^a; None where a size is 0 and there is no power law to speak of.

    Args:
        widths: at least two different ones.
        sizes: one for each width; non-finite ones count as the largest float32.
    """
    if len(set(widths)) < 2:
        raise ValueError(f"a slope over width needs at least two widths, got {list(widths)}")
    if any(size == 0 for size in sizes):
        return None
    xs, ys = [log(width) for width in widths], [log(finite(size)) for size in sizes]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - mean_x) ** 2 for x in xs)


def judge(slope: float) -> Verdict:
    """Verdict on one slope."""
    if abs(slope) <= PASSES:
        return "pass"
    return "fail" if abs(slope) > FAILS else "inconclusive"


def measured_slope(
    module: str,
    quantity: Literal["activation", "change"],
    step: int,
    widths: Sequence[int],
    sizes: Sequence[float],
) -> CoordinateSlope:
    """Slope of one module's activations, or of their change since initialisation, with its verdict.

    Activations of exactly 0 (the logits of a zero readout before its first update) have no slope: 0, exempt; likewise a
    change that is 0 at every width. A change of 0 at some widths only is a module that does not learn there: a tiny size
    stands for it, and the slope fails.
    """
    slope = log_log_slope(widths, sizes)
    if slope is None and (quantity == "activation" or not any(sizes)):
        return CoordinateSlope(module=module, quantity=quantity, step=step, slope=0.0, verdict="exempt")
    if slope is None:
        slope = log_log_slope(widths, [max(size, 1 / LARGEST) for size in sizes]) or 0.0
        return CoordinateSlope(module=module, quantity=quantity, step=step, slope=slope, verdict="fail")
    diverged = any(not isfinite(size) for size in sizes)
    return CoordinateSlope(
        module=module, quantity=quantity, step=step, slope=slope, verdict="fail" if diverged else judge(slope)
    )


def overall(slopes: Iterable[CoordinateSlope], last_step: int) -> Verdict:
    """The worst verdict among the changes at the last step: what training does there must not depend on the width."""
    verdicts = {slope.verdict for slope in slopes if slope.quantity == "change" and slope.step == last_step}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "inconclusive"
