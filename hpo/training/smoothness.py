"""Metasmoothness: does training answer smoothly to a move of the hyperparameters? Three deterministic runs on a line."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.training.problem import Draw, InnerProblem, OnStep, silent

RUNS = 3
"""Training runs of one measurement."""


@dataclass(frozen=True)
class Smoothness:
    """Smoothness of runs along a move z -> z + h v -> z + 2 h v of the hyperparameters (Engstrom et al. 2025)."""

    curvature: float
    """S = |f(z + 2 h v) - 2 f(z + h v) + f(z)| / h^2 of the validation loss f, nats a squared unit; v has length 1."""
    agreement: float
    """Share of the first move of the parameters, by size, whose sign the second move repeats, less the rest; in [-1, 1].

    1: every parameter goes on in its direction. 0: the second move says nothing about the first."""


@torch.no_grad()
def smoothness(
    problem: InnerProblem, point: Tensor, direction: Tensor, length: float, draw: Draw, on_step: OnStep = silent
) -> Smoothness | None:
    """Smoothness along a direction at a point, from three runs of the first member of a draw.

    Args:
        problem: inner problem.
        point: unconstrained coordinates z, [k].
        direction: direction of the move, [k], of any length but 0.
        length: h, the length of one move in unconstrained units.
        draw: random numbers; all runs have those of its first member.
        on_step: called after every inner step.

    Returns:
        None if a run diverged, or nothing moved.

    References:
        Engstrom et al. 2025, "Optimizing ML training with metagradient descent", arXiv 2503.13751, section 4.
    """
    size = torch.linalg.vector_norm(direction)
    if not (size > 0 and size.isfinite()):
        return None
    unit = (direction / size).to(point)
    offsets = torch.arange(RUNS, dtype=point.dtype, device=point.device) * length
    own = draw.select([0] * RUNS)
    trained = problem.train(point + offsets[:, None] * unit, own, on_step)
    losses = problem.validation_loss(trained.parameters, trained.loss, own).double()
    first, second = trained.parameters.double().diff(dim=0)
    weight = first.abs().sum()
    if not (losses.isfinite().all() and weight > 0 and weight.isfinite()):
        return None
    curvature = float((losses[2] - 2 * losses[1] + losses[0]).abs()) / length**2
    return Smoothness(curvature, float((first.abs() * first.sign() * second.sign()).sum() / weight))
