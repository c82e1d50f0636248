"""The portfolio's scout: short runs of a learning-rate sweep, of each rate changed alone, and of a spread over the space.

A short run tells bad points from good ones as well as a second seed of the full run does, for a quarter of the cost. It
cannot tell the best of the good ones. So short runs only choose the points that are run in full.
"""

import math

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.footprint.budget import (
    MORE_DECAY,
    MOST_PERTURBED_RATES,
    SCOUT_FINALISTS,
    SCOUT_PER_DIMENSION,
    SCOUT_RATES,
    SCOUT_SPREAD,
)
from hpo.search.observations import Observations
from hpo.search.portfolio.intensifier import Intensifier
from hpo.search.portfolio.sampler import ELITES, consensus
from hpo.search.protocol import SearchContext
from hpo.search.spread import spread
from hpo.training.space import Space

RATE_FACTOR = 10.0
"""Factor by which one learning rate of several is raised and lowered alone."""


def scout(context: SearchContext, full: Intensifier, short: Intensifier) -> dict[str, list[float]] | None:
    """Judges the scout's points in short runs, runs the best in full, and leaves the best of these as the incumbent.

    Args:
        context: the job as its search sees it.
        full: judges points in full runs; empty so far.
        short: judges points in short runs; empty so far.

    Returns:
        Learning rates of the sweep that did not diverge and their losses; None if the learning rate is not searched.

    Raises:
        Diverged: every point diverged.
    """
    space, account, steps = context.space, context.account, context.spec.inner.steps
    rates = SCOUT_RATES if context.spec.searches("learning_rate") else 0
    count, perturbed = min(SCOUT_SPREAD, SCOUT_PER_DIMENSION * len(space)), _perturbed_rates(space)
    finalists = 2 + SCOUT_FINALISTS + bool(perturbed) + len(MORE_DECAY) * context.spec.searches("weight_decay")
    brief = 1 + rates + 2 * len(perturbed) + count
    account.enter("scout", 0, brief * short.problem.steps + (finalists + full.seeds_that_count) * steps)
    start = space.start()
    swept = (
        torch.stack([space.with_value(start, "learning_rate", rate) for rate in _grid(context)]) if rates else start[None]
    )
    points = torch.cat([start[None], swept, spread(space.low, space.high, count, context.spec.seed)])
    rows = short.seen.add(points, "scout")
    short.run(rows, 0)
    best = swept[int(short.seen.losses[rows[1 : 1 + len(swept)], 0].argmin())]
    composed = _best_per_rate(space, short, best, perturbed) if perturbed else []
    losses = short.seen.losses[:, 0]
    ranked = [row for row in losses.argsort(stable=True).tolist() if losses[row].isfinite()]
    chosen = [start, *(short.seen.points[row] for row in ranked[:SCOUT_FINALISTS])]
    if ranked:
        chosen.append(consensus(short.seen.points[ranked], losses[ranked], ELITES[0]))
    chosen += [*composed, *_more_decay(context, best)]
    entered = full.seen.add(torch.stack(chosen), "scout")
    full.race(entered, 0, 1)
    if not any(full.seen.is_run(row, 0) and full.seen.losses[row, 0].isfinite() for row in entered):
        # Every leader diverged after the others were ended early because of it: run the others in full.
        full.run(entered, 0)
    full.incumbent = min(
        (row for row in entered if full.seen.is_run(row, 0)), key=lambda row: float(full.seen.losses[row, 0])
    )
    if not full.seen.losses[full.incumbent, 0].isfinite():
        low, high = (_grid(context)[0], _grid(context)[-1]) if rates else (0.0, 0.0)
        where = f"at each of {rates} learning rates from {low:g} to {high:g}" if rates else f"at each of {len(rows)} points"
        raise Diverged(
            f"training diverged {where}",
            "lower the low end of learning_rate in search, add warmup, or clip at a smaller norm",
        )
    full.challenge(entered)
    if not rates:
        return None
    kept = [(rate, float(losses[row])) for rate, row in zip(_grid(context), rows[1 : 1 + rates], strict=True)]
    sound = [pair for pair in kept if math.isfinite(pair[1])]
    return {"learning_rate": [rate for rate, _ in sound], "loss": [loss for _, loss in sound]}


def _perturbed_rates(space: Space) -> list[int]:
    """Coordinates of the learning rates that are changed one by one; none of a single rate, or of too many."""
    found = [index for index, item in enumerate(space.hyperparameters) if item.name == "learning_rate"]
    return found if 1 < len(found) <= MOST_PERTURBED_RATES else []


def _best_per_rate(space: Space, short: Intensifier, best: Tensor, perturbed: list[int]) -> list[Tensor]:
    """One point, [k], with each learning rate at its best value when it was changed alone from the best of the sweep.

    A sweep moves all rates together, so it cannot find that the layers want rates an order of magnitude apart.
    """
    (row,) = short.seen.add(best[None], "scout")
    composed = best.clone()
    moves = [(index, best[index] + sign * math.log(RATE_FACTOR)) for index in perturbed for sign in (-1, 1)]
    points = best.repeat(len(moves), 1)
    for place, (index, value) in enumerate(moves):
        points[place, index] = value
    rows = short.seen.add(space.clamp(points), "scout")
    short.run([row, *rows], 0)
    lowest = {index: float(short.seen.losses[row, 0]) for index in perturbed}
    for (index, _), tried in zip(moves, rows, strict=True):
        loss = float(short.seen.losses[tried, 0])
        if loss < lowest[index]:
            lowest[index], composed[index] = loss, short.seen.points[tried, index]
    return [composed]


def _more_decay(context: SearchContext, point: Tensor) -> list[Tensor]:
    """The point with more weight decay, if decay is searched; only full runs show the effect of decay."""
    decays = [item.start for item in context.space.hyperparameters if item.name == "weight_decay"]
    return [context.space.with_value(point, "weight_decay", min(decays) * factor) for factor in MORE_DECAY if decays]


def _grid(context: SearchContext) -> list[float]:
    """Log-spaced learning rates of the sweep, from the lowest to the highest of the search range."""
    items = [item for item in context.space.hyperparameters if item.name == "learning_rate"]
    low, high = min(item.low for item in items), max(item.high for item in items)
    grid: list[float] = torch.logspace(math.log10(low), math.log10(high), SCOUT_RATES, dtype=torch.float64).tolist()
    return grid


def sampler_history(full: Observations, short: Observations) -> tuple[Tensor, Tensor]:
    """Points and losses for the sampler: points of full runs, and points of short runs with a guessed loss.

    The loss of a point with short runs alone is guessed from its rank: a quantile of the full runs' losses, from the median
    to the worst. It is never better than the median, because only a full run can show that a point is good.

    Returns:
        Points [n, k] and comparable losses [n].
    """
    levels, briefly = full.levels(), short.levels()
    others = [row for row in range(len(short)) if not (full.points == short.points[row]).all(dim=1).any()]
    finite = levels[levels.isfinite()]
    if not others or len(finite) == 0:
        return full.points, levels
    share = briefly.argsort(stable=True).argsort(stable=True).double() / max(1, len(short) - 1)
    guessed = torch.quantile(finite, 0.5 + share[others] / 2)
    return torch.cat([full.points, short.points[others]]), torch.cat([levels, guessed])
