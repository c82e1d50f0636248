"""The scout of a named estimator chooses the start: a sweep of learning rates in short runs, then the best in full runs."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.footprint.budget import MORE_DECAY, SWEEP_FINALISTS
from hpo.search.readings import NOTHING_STOPPED, EarlyStopped
from hpo.search.stopping import all_but_best, judge_early
from hpo.training.evaluation import judge
from hpo.training.problem import InnerProblem, OnStep
from hpo.training.space import Space


@dataclass(frozen=True)
class Scouted:
    """Result of a scout."""

    point: Tensor
    """The start, [k]."""
    losses: Tensor
    """Losses at the start over the seeds, in full runs, [seeds]."""
    rates: list[float]
    """Learning rates of the sweep that did not diverge."""
    sweep: list[float]
    """Losses at ``rates`` in short runs."""
    member_steps: int
    """Gradient evaluations spent."""
    early: EarlyStopped = NOTHING_STOPPED
    """Counts of early stopping among the finalists."""


def scout(
    full: InnerProblem, short: InnerProblem, rates: int, seeds: list[tuple[int, ...]], population: int, on_step: OnStep
) -> Scouted:
    """Sweeps ``rates`` log-spaced global learning rates within the search range, and judges the best in full runs.

    Args:
        full: the job's inner problem; its space has a learning rate.
        short: the job's inner problem with fewer steps.
        rates: number of learning rates in the sweep.
        seeds: seed paths of the finalists; the sweep uses the first.
        population: members trained as one computation, at most.
        on_step: called after every inner step.

    Raises:
        Diverged: every rate diverged in short runs, or every finalist in full runs.
    """
    space = full.space
    items = [item for item in space.hyperparameters if item.name == "learning_rate"]
    low, high = min(item.low for item in items), max(item.high for item in items)
    grid = torch.logspace(math.log10(low), math.log10(high), rates, dtype=torch.float64).tolist()
    points = torch.stack([space.with_value(space.start(), "learning_rate", rate) for rate in grid])
    losses = judge(short, points, seeds[:1], population, on_step).validation[:, 0]
    if not losses.isfinite().any():
        raise Diverged(
            f"training diverged at each of {rates} learning rates from {low:g} to {high:g}",
            "lower the low end of learning_rate in search, add warmup, or clip at a smaller norm",
        )
    order = [row for row in losses.argsort(stable=True).tolist() if losses[row].isfinite()]
    finalists = _finalists(space, points[order], space.start() if full.spec.initial else None)
    finals, spent, early = _judged(full, finalists, seeds, population, on_step)
    means = finals.mean(dim=1)
    best = int(means.argmin())
    if not means[best].isfinite():
        raise Diverged(
            f"training diverged at the full horizon of {full.steps} steps for the best learning rates of the sweep, "
            f"such as {grid[order[0]]:.3g}",
            "lower the high end of learning_rate in search, add warmup, or clip at a smaller norm",
        )
    kept = [row for row in range(rates) if losses[row].isfinite()]
    return Scouted(
        point=finalists[best],
        losses=finals[best],
        rates=[grid[row] for row in kept],
        sweep=[float(losses[row]) for row in kept],
        member_steps=rates * short.steps + spent,
        early=early,
    )


def _judged(
    full: InnerProblem, finalists: Tensor, seeds: list[tuple[int, ...]], population: int, on_step: OnStep
) -> tuple[Tensor, int, EarlyStopped]:
    """(losses [finalists, seeds] in full runs, member-steps spent, counts of early stopping)."""
    if not full.spec.outer.early_stopping:
        finals = judge(full, finalists, seeds, population, on_step).validation
        return finals, finals.numel() * full.steps, NOTHING_STOPPED
    raced = judge_early(full, finalists, seeds, population, on_step, all_but_best(1))
    if raced.losses.mean(dim=1).isfinite().any() or not raced.ended:
        return raced.losses, raced.member_steps, raced.early
    # Every leader diverged after the others were ended early because of it: run the others in full.
    ended = list(raced.ended)
    again = judge(full, finalists[ended], seeds, population, on_step).validation
    finals = raced.losses.clone()
    finals[ended] = again
    return finals, raced.member_steps + again.numel() * full.steps, EarlyStopped(len(finalists))


def _finalists(space: Space, ranked: Tensor, given: Tensor | None) -> Tensor:
    """Points to judge in full runs, [n, k]: the given start, the best rates, and the best rate with more decay.

    A start that is given label by label is not among the points of a sweep of one rate for all. More decay is tried only if
    the decay is searched: the gradient with respect to a small decay is small, so two large steps here save many later.

    Args:
        space: the search space.
        ranked: points of the sweep, best first, [m, k].
        given: start that the spec gives label by label, [k]; None: the spec gives none.
    """
    decays = [item for item in space.hyperparameters if item.name == "weight_decay"]
    first = [] if given is None else [given]
    if not decays:
        return torch.stack([*first, *ranked[: SWEEP_FINALISTS - len(first)]])
    start = min(item.start for item in decays)
    more = [space.with_value(ranked[0], "weight_decay", start * factor) for factor in MORE_DECAY]
    return torch.stack([*first, *ranked[: SWEEP_FINALISTS - len(more) - len(first)], *more])
