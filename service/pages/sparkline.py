"""A series as the points of a small inline SVG line."""

from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 96, 26, 3


def sparkline(values: Sequence[float]) -> str:
    """``points`` of an SVG polyline in a box of 96 by 26; empty for less than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    across, down = (WIDTH - 2 * MARGIN) / (len(values) - 1), HEIGHT - 2 * MARGIN
    return " ".join(
        f"{MARGIN + index * across:.1f},{MARGIN + down * (high - value) / span:.1f}" for index, value in enumerate(values)
    )
