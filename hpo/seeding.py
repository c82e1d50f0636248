"""Deterministic seeding: a path of integers (job seed, purpose, outer step, member) -> a generator of its own."""

import hashlib
from collections.abc import Sequence

import torch


def number_of(path: Sequence[int]) -> int:
    """A hash of the path, 63 bits: neighbours in the path are unrelated."""
    digest = hashlib.sha256(",".join(str(part) for part in path).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(path: Sequence[int]) -> torch.Generator:
    """A CPU generator seeded by ``number_of`` the path."""
    return torch.Generator().manual_seed(number_of(path))


def generator_of_step(stream: int, step: int) -> torch.Generator:
    """The generator of one member's noise at one inner step; the same whenever that step is replayed.

    The stream is mixed with the step by an odd multiplier modulo 2^63, cheaper than a hash at every step.
    """
    mixed = (stream + (step + 1) * 0x5851F42D4C957F2D) % 2**63
    return torch.Generator().manual_seed(mixed)
