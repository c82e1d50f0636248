"""Final losses of whole runs at many points: what estimators without derivatives are made of."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.training.evaluation import diverged_to_infinity
from hpo.training.problem import Draw, InnerProblem, OnStep

POPULATION = 32
"""Members trained as one computation, at most, where nobody says otherwise."""


def final_losses(
    problem: InnerProblem, points: Tensor, rows: Sequence[int], draw: Draw, population: int, on_step: OnStep
) -> Tensor:
    """Validation loss after whole runs, [n], in the problem's dtype; infinite where a run diverged.

    Args:
        problem: the inner problem.
        points: unconstrained coordinates, [n, k].
        rows: which member's draw each point is trained with, n of them: common random numbers.
        draw: of the members.
        population: points trained as one computation, at most.
        on_step: called after every inner step.
    """
    losses = []
    for start in range(0, len(points), population):
        chunk = slice(start, start + population)
        trained = problem.train(points[chunk], draw.select(rows[chunk]), on_step)
        with torch.no_grad():
            losses.append(problem.evaluate(trained.parameters, trained.loss, problem.data.validation)[0])
    return diverged_to_infinity(torch.cat(losses))
