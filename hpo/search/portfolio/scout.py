"""The portfolio's scout: a sweep of learning rates, then each rate by itself, and a spread over the whole space, at a
quarter of the horizon.

A short run tells useless points from useful ones as well as a second seed of the full run does, for a quarter of the
price; which of the useful ones is best it cannot tell. So it decides what is run in full, and no more.
"""

import math

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.footprint.budget import (
    MORE_DECAY,
    MOST_TILTED,
    SURVEY_FINALISTS,
    SURVEY_PER_DIMENSION,
    SURVEY_RATES,
    SURVEY_SPREAD,
)
from hpo.search.observations import Observations
from hpo.search.portfolio.duels import Arena
from hpo.search.portfolio.sampler import ELITES, consensus
from hpo.search.protocol import SearchContext
from hpo.search.spread import spread
from hpo.training.space import Space

TILT = 10.0
"""Factor by which one rate of several is raised and lowered by itself."""


def survey(context: SearchContext, arena: Arena, short: Arena) -> dict[str, list[float]] | None:
    """Fill both arenas and leave the best point as the incumbent.

    Returns:
        Learning rates of the sweep that did not diverge and their losses; None where the learning rate is not searched.

    Raises:
        Diverged: every point diverged.
    """
    space, account, steps = context.space, context.account, context.spec.inner.steps
    rates = SURVEY_RATES if context.spec.searches("learning_rate") else 0
    count, tilted = min(SURVEY_SPREAD, SURVEY_PER_DIMENSION * len(space)), _tilted(space)
    finalists = 2 + SURVEY_FINALISTS + bool(tilted) + len(MORE_DECAY) * context.spec.searches("weight_decay")
    brief = 1 + rates + 2 * len(tilted) + count
    account.enter("scout", 0, brief * short.problem.steps + (finalists + arena.seeds_that_count) * steps)
    start = space.start()
    swept = (
        torch.stack([space.with_value(start, "learning_rate", rate) for rate in _grid(context)]) if rates else start[None]
    )
    points = torch.cat([start[None], swept, spread(space.low, space.high, count, context.spec.seed)])
    rows = short.seen.add(points, "scout")
    short.run(rows, 0)
    best = swept[int(short.seen.losses[rows[1 : 1 + len(swept)], 0].argmin())]
    leaning = _leaning(space, short, best, tilted) if tilted else []
    losses = short.seen.losses[:, 0]
    ranked = [row for row in losses.argsort(stable=True).tolist() if losses[row].isfinite()]
    chosen = [start, *(short.seen.points[row] for row in ranked[:SURVEY_FINALISTS])]
    if ranked:
        chosen.append(consensus(short.seen.points[ranked], losses[ranked], ELITES[0]))
    chosen += [*leaning, *_more_decay(context, best)]
    entered = arena.seen.add(torch.stack(chosen), "scout")
    arena.race(entered, 0, 1)
    if not any(arena.seen.is_run(row, 0) and arena.seen.losses[row, 0].isfinite() for row in entered):
        # Those that led diverged after the others were ended for them.
        arena.run(entered, 0)
    arena.incumbent = min(
        (row for row in entered if arena.seen.is_run(row, 0)), key=lambda row: float(arena.seen.losses[row, 0])
    )
    if not arena.seen.losses[arena.incumbent, 0].isfinite():
        low, high = (_grid(context)[0], _grid(context)[-1]) if rates else (0.0, 0.0)
        where = f"at each of {rates} learning rates from {low:g} to {high:g}" if rates else f"at each of {len(rows)} points"
        raise Diverged(
            f"training diverged {where}",
            "lower the low end of learning_rate in search, add warmup, or clip at a smaller norm",
        )
    arena.challenge(entered)
    if not rates:
        return None
    kept = [(rate, float(losses[row])) for rate, row in zip(_grid(context), rows[1 : 1 + rates], strict=True)]
    sound = [pair for pair in kept if math.isfinite(pair[1])]
    return {"learning_rate": [rate for rate, _ in sound], "loss": [loss for _, loss in sound]}


def _tilted(space: Space) -> list[int]:
    """Coordinates of the rates that are tilted one by one: all of them, where there are several and not too many."""
    found = [index for index, item in enumerate(space.hyperparameters) if item.name == "learning_rate"]
    return found if 1 < len(found) <= MOST_TILTED else []


def _leaning(space: Space, short: Arena, best: Tensor, tilted: list[int]) -> list[Tensor]:
    """Tilt the rates one by one from the best of the sweep; the point with each of them where it did best, [k].

    A sweep moves all rates together, and so never sees that the layers want them an order of magnitude apart.
    """
    (row,) = short.seen.add(best[None], "scout")
    leaning = best.clone()
    moves = [(index, best[index] + sign * math.log(TILT)) for index in tilted for sign in (-1, 1)]
    points = best.repeat(len(moves), 1)
    for place, (index, value) in enumerate(moves):
        points[place, index] = value
    rows = short.seen.add(space.clamp(points), "scout")
    short.run([row, *rows], 0)
    lowest = {index: float(short.seen.losses[row, 0]) for index in tilted}
    for (index, _), tried in zip(moves, rows, strict=True):
        loss = float(short.seen.losses[tried, 0])
        if loss < lowest[index]:
            lowest[index], leaning[index] = loss, short.seen.points[tried, index]
    return [leaning]


def _more_decay(context: SearchContext, point: Tensor) -> list[Tensor]:
    """The point with more weight decay, where that is searched: what decay does, only the full horizon shows."""
    decays = [item.start for item in context.space.hyperparameters if item.name == "weight_decay"]
    return [context.space.with_value(point, "weight_decay", min(decays) * factor) for factor in MORE_DECAY if decays]


def _grid(context: SearchContext) -> list[float]:
    items = [item for item in context.space.hyperparameters if item.name == "learning_rate"]
    low, high = min(item.low for item in items), max(item.high for item in items)
    grid: list[float] = torch.logspace(math.log10(low), math.log10(high), SURVEY_RATES, dtype=torch.float64).tolist()
    return grid


def sampler_history(full: Observations, short: Observations) -> tuple[Tensor, Tensor]:
    """Points and losses for the sampler: those judged in full, and those of short runs alone, as bad as these found them.

    A short run's loss is set where the fully judged points of its rank are, but never above the better half: that
    a point is good, only the full horizon can say.

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
