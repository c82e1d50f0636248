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


class Clip:
    """Scale of one clipped gradient, and its derivative.

    Args:
        gradient: [members, P].
        threshold: [members, 1].
    """

    def __init__(self, gradient: Tensor, threshold: Tensor) -> None:
        self.gradient, self.threshold = gradient, threshold
        self.norm: Tensor = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        scale = threshold / (self.norm + STABILITY)
        # A zero gradient is not clipped, whatever the threshold.
        self.active = (scale <= 1) & (self.norm > 0)
        self.scale = torch.where(self.active, scale, 1.0)

    def pull_back_(self, adjoint: Tensor) -> Tensor:
        """Turns the adjoint of the clipped gradient into that of the gradient; returns the threshold's, [members, 1]."""
        along = torch.linalg.vecdot(adjoint, self.gradient)[:, None]
        to_threshold = torch.where(self.active, along / (self.norm + STABILITY), 0.0)
        inward = torch.where(self.active, to_threshold * self.scale / self.norm, 0.0)
        adjoint.mul_(self.scale).addcmul_(inward, self.gradient, value=-1)
        return to_threshold
