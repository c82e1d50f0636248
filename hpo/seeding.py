"""Makes deterministic generators, each from a path of integers (job seed, purpose, outer step, member)."""

import hashlib
from collections.abc import Sequence

import torch


def number_of(path: Sequence[int]) -> int:
    """Hash of a path, 63 bits: similar paths have unrelated hashes."""
    digest = hashlib.sha256(",".join(str(part) for part in path).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(path: Sequence[int]) -> torch.Generator:
    """CPU generator seeded by the hash of a path."""
    return torch.Generator().manual_seed(number_of(path))


def generator_of_step(stream: int, step: int) -> torch.Generator:
    """Generator of one member's noise at one inner step; the same whenever that step is replayed.

    The stream is mixed with the step by an odd multiplier modulo 2^63, cheaper than a hash at every step.
    """
    mixed = (stream + (step + 1) * 0x5851F42D4C957F2D) % 2**63
    return torch.Generator().manual_seed(mixed)
