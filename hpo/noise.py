"""Random numbers during training: a function of stream, step and place, the same on every device.

A step that is replayed, on whatever device, gets its own numbers again, and no generator keeps a state. Every number is
one output of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", with mixer 13 of
Stafford), whose state before the n-th output is a key plus n times a constant: the n-th output needs none before it. All
of it is integer arithmetic modulo 2^64, exact everywhere; only the normal numbers made of it are rounded by the device's
own logarithm and cosine.
"""

from math import pi

import torch
from torch import Tensor

Step = int | Tensor
"""Number of an update; on a device that computes by itself a 0-dim int64 tensor there, so that nobody waits for it."""

HALF = 2**32


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned number of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


GOLDEN = _signed(0x9E3779B97F4A7C15)
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)
OF_STEP = 0x5851F42D4C957F2D
"""Odd factor by which a step is mixed into a stream."""


def _mix_(bits: Tensor) -> Tensor:
    """SplitMix64's output function, in place: every bit of an int64 moves about half of the bits of the result."""
    # A shift of an int64 repeats its sign: the mask makes it that of an unsigned number.
    bits ^= (bits >> 30).bitwise_and_((1 << 34) - 1)
    bits *= FIRST
    bits ^= (bits >> 27).bitwise_and_((1 << 37) - 1)
    bits *= SECOND
    bits ^= (bits >> 31).bitwise_and_((1 << 33) - 1)
    return bits


def keys_of(streams: Tensor, step: Step) -> Tensor:
    """Key of each stream at a step, int64, in the shape that both have together.

    Args:
        streams: seeds of the streams, int64.
        step: number of the step, or an int64 tensor of them that goes with ``streams``.
    """
    mixed = (step + 1) * OF_STEP
    # A tensor's product has wrapped around by itself.
    return _mix_(streams + (_signed(mixed % 2**64) if isinstance(mixed, int) else mixed))


def random_bits(keys: Tensor, count: int) -> Tensor:
    """Random int64 numbers, [*keys.shape, count]."""
    places = torch.arange(1, count + 1, device=keys.device) * GOLDEN
    return _mix_(keys[..., None] + places)


def normal(keys: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers, [*keys.shape, count], by Box and Muller (1958): two of each number of 64 bits.

    The number at a place is the same in every dtype up to rounding, and does not depend on other keys.
    """
    bits = random_bits(keys, -(-count // 2))
    angle = (bits >> 32).to(dtype).mul_(pi / (HALF // 2))
    # In (0, 1]: a uniform number whose logarithm is finite.
    radius = bits.bitwise_and_(HALF - 1).to(dtype).add_(0.5).mul_(1 / HALF).log_().mul_(-2).sqrt_()
    return torch.cat([radius * angle.cos(), radius.mul_(angle.sin_())], dim=-1)[..., :count]
