"""Final losses of whole runs at many points, from which estimators without derivatives are built."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.training.evaluation import diverged_to_infinity
from hpo.training.problem import Draw, InnerProblem, OnStep

POPULATION = 32
"""Most members trained as one computation, unless the caller gives a number."""


def final_losses(
    problem: InnerProblem, points: Tensor, rows: Sequence[int], draw: Draw, population: int, on_step: OnStep
) -> Tensor:
    """Validation loss after whole runs, [n], in the problem's dtype; infinite where a run diverged.

    Args:
        problem: inner problem.
        points: unconstrained coordinates, [n, k].
        rows: for each of the n points the member whose draw it is trained with: common random numbers.
        draw: initial values, batch order and noise of the members.
        population: most points trained as one computation.
        on_step: called after every inner step with the number of member-steps done.
    """
    losses = []
    for start in range(0, len(points), population):
        chunk = slice(start, start + population)
        own = draw.select(rows[chunk])
        trained = problem.train(points[chunk], own, on_step)
        with torch.no_grad():
            losses.append(problem.validation_loss(trained.parameters, trained.loss, own).to(points.device))
    return diverged_to_infinity(torch.cat(losses), problem.ceiling)
