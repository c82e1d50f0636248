"""The scout: where to start. Global learning rates at a short horizon, then the best with more decay at the full one."""

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
    """What the scout found."""

    point: Tensor
    """The start, [k]."""
    losses: Tensor
    """Losses at the start over the seeds at the full horizon, [seeds]."""
    rates: list[float]
    """Learning rates of the sweep that did not diverge, and their losses at the short horizon."""
    sweep: list[float]
    member_steps: int
    """Gradient evaluations spent."""
    early: EarlyStopped = NOTHING_STOPPED
    """What early stopping did among the finalists."""


def scout(
    full: InnerProblem, short: InnerProblem, rates: int, seeds: list[tuple[int, ...]], population: int, on_step: OnStep
) -> Scouted:
    """Sweep ``rates`` log-spaced global learning rates within the search range.

    Args:
        full: the job's inner problem; its space has a learning rate.
        short: the same with fewer steps.
        rates: size of the sweep.
        seeds: of the finalists; the sweep uses the first.
        population: members trained as one computation, at most.
        on_step: called after every inner step.

    Raises:
        Diverged: every rate diverged, at the short or at the full horizon.
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
    """Losses [finalists, seeds] at the full horizon, and what they cost: a race for the lowest mean, where asked for."""
    if not full.spec.outer.early_stopping:
        finals = judge(full, finalists, seeds, population, on_step).validation
        return finals, finals.numel() * full.steps, NOTHING_STOPPED
    raced = judge_early(full, finalists, seeds, population, on_step, all_but_best(1))
    if raced.losses.mean(dim=1).isfinite().any() or not raced.ended:
        return raced.losses, raced.member_steps, raced.early
    # Those that led diverged after the others were ended for them.
    ended = list(raced.ended)
    again = judge(full, finalists[ended], seeds, population, on_step).validation
    finals = raced.losses.clone()
    finals[ended] = again
    return finals, raced.member_steps + again.numel() * full.steps, EarlyStopped(len(finalists))


def _finalists(space: Space, ranked: Tensor, given: Tensor | None) -> Tensor:
    """Points to judge at the full horizon: the best rates, and the best rate with more decay where decay is searched; and
    the start that was given label by label, which the sweep of one rate for all does not pass through.

    The gradient with respect to a small decay is small; two large steps here save many small ones later.
    """
    decays = [item for item in space.hyperparameters if item.name == "weight_decay"]
    first = [] if given is None else [given]
    if not decays:
        return torch.stack([*first, *ranked[: SWEEP_FINALISTS - len(first)]])
    start = min(item.start for item in decays)
    more = [space.with_value(ranked[0], "weight_decay", start * factor) for factor in MORE_DECAY]
    return torch.stack([*first, *ranked[: SWEEP_FINALISTS - len(more) - len(first)], *more])
