"""Evaluates points of the search space by plain training runs: points x seeds, in populations of a bounded size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.tasks import Split
from hpo.training.problem import InnerProblem, OnStep
from windtunnel.types import LossEstimate

SeedPath = tuple[int, ...]

DIVERGED_LOSS = InnerProblem.ceiling
"""Loss of a job above which a run counts as diverged, even if its loss is finite; nats."""


@dataclass(frozen=True)
class Judged:
    """Losses of points x seeds; a diverged run has an infinite loss."""

    validation: Tensor
    """Validation losses, [points, seeds], float64."""
    accuracy: Tensor
    """Accuracies on the validation split, [points, seeds]."""
    test: Tensor | None
    """Test losses, [points, seeds]; None unless the test split was given."""
    test_accuracy: Tensor | None


def judge(
    problem: InnerProblem,
    points: Tensor,
    seeds: Sequence[SeedPath],
    population: int,
    on_step: OnStep,
    with_test: Split | None = None,
) -> Judged:
    """Losses of every point [n, k] trained with every seed.

    Args:
        problem: the inner problem.
        points: unconstrained coordinates.
        seeds: seed paths, the same for every point (common random numbers).
        population: members trained as one computation, at most.
        on_step: called after every inner step.
        with_test: the test split, for the final evaluation only; None: no test losses.
    """
    draw = problem.draw(seeds)
    pairs = [(point, seed) for point in range(len(points)) for seed in range(len(seeds))]
    parts: list[tuple[Tensor, Tensor]] = []
    tests: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(pairs), population):
        chunk = pairs[start : start + population]
        rows = torch.tensor([point for point, _ in chunk])
        trained = problem.train(points[rows], draw.select([seed for _, seed in chunk]), on_step)
        with torch.no_grad():
            parts.append(problem.evaluate(trained.parameters, trained.loss, problem.data.validation))
            if with_test is not None:
                tests.append(problem.evaluate(trained.parameters, trained.loss, with_test))
    shape = (len(points), len(seeds))
    losses, accuracies = (torch.cat(column).to(points.device).double().view(shape) for column in zip(*parts, strict=True))
    if not tests:
        return Judged(diverged_to_infinity(losses), accuracies, None, None)
    test_losses, test_accuracies = (
        torch.cat(column).to(points.device).double().view(shape) for column in zip(*tests, strict=True)
    )
    return Judged(diverged_to_infinity(losses), accuracies, diverged_to_infinity(test_losses), test_accuracies)


def diverged_to_infinity(losses: Tensor, ceiling: float = DIVERGED_LOSS) -> Tensor:
    """Losses with diverged ones, not finite or above ``ceiling``, replaced by infinity."""
    return torch.where(losses.isfinite() & (losses <= ceiling), losses, math.inf)


def mean_and_stderr(losses: Tensor) -> tuple[float, float, int]:
    """(mean, standard error, count) of the finite entries of losses [seeds]; (inf, 0, 0) if none is finite."""
    finite = losses[losses.isfinite()]
    count = len(finite)
    if count == 0:
        return math.inf, 0.0, 0
    stderr = float(finite.std()) / math.sqrt(count) if count > 1 else 0.0
    return float(finite.mean()), stderr, count


def loss_estimate(losses: Tensor, accuracies: Tensor) -> LossEstimate:
    """Estimate, as a wire type, from the losses [seeds] of one point; diverged runs are left out."""
    mean, stderr, count = mean_and_stderr(losses)
    kept = accuracies[losses.isfinite()]
    share = float(kept.mean()) if count else math.nan
    return LossEstimate(mean=mean, stderr=stderr, seeds=count, accuracy=None if math.isnan(share) else share)
