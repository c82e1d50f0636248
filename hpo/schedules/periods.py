"""Counting drops and cycles."""

from torch import Tensor

ROUNDING = 1e-6
"""Share of a time that counts as its rounding error, so that rounding never decides on which side of a jump an update
is."""


def completed(periods: Tensor) -> Tensor:
    """Periods that are over, as a float tensor without a graph; one that ends right now is not over."""
    return ((periods.detach().double() * (1 - ROUNDING)).ceil() - 1).clamp(min=0).to(periods.dtype)
