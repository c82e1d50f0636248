"""Makes deterministic generators, each from a path of integers (job seed, purpose, outer step, member)."""

import hashlib
from collections.abc import Sequence
from enum import IntEnum, unique

import torch


@unique
class Purpose(IntEnum):
    """Second part of a seed path: the purpose of the run. No two purposes share a seed, so their values never change."""

    SCOUT = 0
    """Finalists of the scout of a named estimator."""
    MOVE = 1
    """Hypergradients and races of an outer step; the one run of a best response."""
    FINISH = 2
    """Fresh seeds of the last judgement."""
    PANEL = 3
    """Common seeds on which a portfolio judges its points."""
    SAMPLER = 4
    """The sampler's own random numbers, for each outer step."""
    RESPONSE = 5
    """A best-response run between two hypergradients."""
    QUALITY = 11
    """Mixtures of regularisers at which a best response is tried."""
    CERTIFICATE = 90
    """Short runs of the certificate, its nudge and its random direction."""
    COORDINATES = 7_301
    """Models of the coordinate check."""
    LADDER = 8_117
    """Runs at the widths of a ladder."""
    HORIZON = 8_219
    """Runs at several lengths."""
    NOISE_SCALE = 8_221
    """Runs along which the gradient noise scale is measured."""
    SCALING = 8_233
    """Runs of a grid over width and length."""


@unique
class Stream(IntEnum):
    """Last part of a member's path: kind of random numbers. A path without it gives initial values, then batch order."""

    MEASUREMENT = 1
    """Random numbers of a measurement beside its models: batches of the noise scale, projection of the tangent kernel."""
    NOISE = 7
    """Noise of dropout, inputs and augmentation."""
    RESPONSE = 8
    """Initial values of a best response."""
    PERTURBATION = 9
    """Perturbed regularisers in the training steps of a best response."""
    VALIDATION_PERTURBATION = 10
    """Perturbed regularisers in its validation steps."""
    ANTITHETIC = 11
    """Perturbations of whole runs or windows, each used with both signs."""


def number_of(path: Sequence[int]) -> int:
    """Hash of a path, 63 bits: similar paths have unrelated hashes."""
    digest = hashlib.sha256(",".join(str(int(part)) for part in path).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(path: Sequence[int]) -> torch.Generator:
    """CPU generator seeded by the hash of a path."""
    return torch.Generator().manual_seed(number_of(path))
