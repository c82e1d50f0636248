"""Deterministic seeding: a path of integers (job seed, purpose, outer step, member) -> a generator of its own."""

import hashlib
from collections.abc import Sequence

import torch


def generator_of(path: Sequence[int]) -> torch.Generator:
    """A CPU generator seeded by a hash of the path: neighbours in the path are unrelated streams."""
    digest = hashlib.sha256(",".join(str(part) for part in path).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
