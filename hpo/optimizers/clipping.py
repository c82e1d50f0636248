"""Clipping by global norm, part of the update rule: the norm is differentiated through like everything else."""

import torch
from torch import Tensor

STABILITY = 1e-6
"""Added to the norm, as torch.nn.utils.clip_grad_norm_ does."""


def clip_scale(gradient: Tensor, threshold: Tensor) -> Tensor:
    """min(1, threshold / (norm + 1e-6)), [members, 1]; without a derivative."""
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return (threshold / (norm + STABILITY)).clamp(max=1.0)


def clip_by_global_norm(gradient: Tensor, threshold: Tensor) -> Tensor:
    """Scale each member's gradient by min(1, threshold / (norm + 1e-6)).

    Args:
        gradient: [members, parameters].
        threshold: [members, 1].

    References:
        Pascanu et al. 2013, algorithm 1.
    """
    square = gradient.square().sum(dim=1, keepdim=True)
    # The root has no derivative at 0; a zero gradient is not clipped, so any finite stand-in is right.
    norm = torch.where(square > 0, square, 1.0).sqrt()
    scale = torch.where(square > 0, threshold / (norm + STABILITY), 1.0)
    return gradient * scale.clamp(max=1.0)
