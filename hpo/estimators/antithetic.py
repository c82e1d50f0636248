"""Random directions of each member, and the mean of the estimates along them with its standard error."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.seeding import Stream, generator_of
from hpo.training.problem import Draw


def perturbations(draw: Draw, shape: Sequence[int], like: Tensor) -> Tensor:
    """Standard normal numbers, [members, *shape]; a member's numbers do not depend on the other members.

    Args:
        draw: random numbers of the members.
        shape: shape of the numbers of one member.
        like: gives dtype and device.
    """
    generators = [generator_of((stream, Stream.ANTITHETIC)) for stream in draw.streams]
    rows = [torch.randn(*shape, generator=generator, dtype=torch.float64) for generator in generators]
    return torch.stack(rows).to(like)


def average(terms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over samples, its standard error, and the share of samples left out.

    A sample that is not finite (one of its runs diverged) is left out, so the estimate is that of the losses where training
    works. A member without a finite sample gets NaN.

    Args:
        terms: one estimate for each sample, [members, samples, k].

    Returns:
        ([members, k], [members, k], [members]); the error of a single sample is infinite.
    """
    sound = terms.isfinite().all(dim=2)
    count = sound.sum(dim=1)[:, None].to(terms.dtype)
    kept = torch.where(sound[..., None], terms, 0.0)
    mean = kept.sum(dim=1) / count
    spread = torch.where(sound[..., None], terms - mean[:, None], 0.0).square().sum(dim=1)
    stderr = (spread / (count * (count - 1).clamp(min=1))).sqrt()
    return mean, torch.where(count > 1, stderr, math.inf), 1 - sound.to(terms.dtype).mean(dim=1)
