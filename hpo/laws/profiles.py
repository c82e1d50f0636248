"""Best sizes read off the runs without a law of the loss: IsoFLOP profiles and fixed-size envelopes, and N over C.

Both are of Hoffmann et al. 2022, section 3: approach 2 puts a parabola in log N through the losses of each budget, approach
1 takes the size whose loss curve is lowest at each budget. The best sizes are then a line in log C: N = k C^a.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from hpo.laws.forms import Array
from hpo.laws.grouping import groups
from hpo.laws.intervals import FEW_FACTORS, LEVEL, RESAMPLES, Z, interval
from windtunnel.types.laws import BestSize, SizeProfile

SAME_BUDGET = 0.05
"""Largest relative distance of a budget from the least of its group."""
LEAST_SIZES = 4
"""Sizes of a profile: three give a parabola, and the fourth its error."""
MOST_CURVES = 64
"""Sizes, evenly spread, whose curves make an envelope at most."""
LEAST_POINTS = 3
"""Best sizes that a line is put through."""


@dataclass(frozen=True)
class _Best:
    compute: float
    log_size: float
    loss: float
    spread: Array
    """Logarithms of the best size by resample, [resamples]."""
    free: int


def profiles(columns: dict[str, Array]) -> tuple[list[SizeProfile], list[str]]:
    """(profiles that the table allows, reasons against the others); columns parameters, compute and loss, [rows]."""
    if not {"parameters", "compute", "loss"} <= set(columns):
        return [], []
    size, compute, loss = (columns[name] for name in ("parameters", "compute", "loss"))
    made, reasons = [], []
    for method, found in (("iso_flop", iso_flops(size, compute, loss)), ("envelope", envelope(size, compute, loss))):
        best, why = found
        if len(best) < LEAST_POINTS:
            reasons.append(f"{method}: {len(best)} of at least {LEAST_POINTS} best sizes could be read off; {why}")
            continue
        made.append(_line(method, best, why))  # type: ignore[arg-type]
    return made, reasons


def iso_flops(size: Array, compute: Array, loss: Array) -> tuple[list[_Best], str]:
    """Best size of each budget by a parabola in log N through log L, and what was left out."""
    generator, budget = np.random.default_rng(0), groups(compute, SAME_BUDGET)
    found, few, outside = [], 0, 0
    for number in range(int(budget.max()) + 1):
        rows = np.flatnonzero(budget == number)
        if int(groups(size[rows]).max()) + 1 < LEAST_SIZES:
            few += 1
            continue
        n, y = np.log(size[rows]), np.log(loss[rows])
        middle = n.mean()
        design = np.stack([np.ones_like(n), n - middle, (n - middle) ** 2], axis=1)
        solve = np.linalg.pinv(design)
        c, b, a = solve @ y
        best = middle - b / (2 * a) if a > 0 else np.inf
        if not n.min() < best < n.max():
            outside += 1
            continue
        value = design @ np.array([c, b, a])
        leverage = np.minimum(np.einsum("rp,pr->r", design, solve), 0.95)
        tables = value + (y - value) / (1 - leverage) * generator.choice(FEW_FACTORS, size=(RESAMPLES, len(n)))
        _, slopes, curvatures = solve @ tables.T
        spread = np.where(curvatures > 0, middle - slopes / (2 * np.where(curvatures > 0, curvatures, 1.0)), np.nan)
        found.append(
            _Best(float(np.exp(np.log(compute[rows]).mean())), best, float(np.exp(c - b * b / (4 * a))), spread, len(n) - 3)
        )
    left = f"{few} budgets had fewer than {LEAST_SIZES} sizes, and the parabola of {outside} had no minimum among its sizes"
    return found, left


def envelope(size: Array, compute: Array, loss: Array) -> tuple[list[_Best], str]:
    """Each size at the middle of the budgets at which its loss curve is the lowest, and what was left out.

    Intervals come from resamples of each curve about its parabola in log C.
    """
    number = groups(size)
    curves = []
    for each in range(int(number.max()) + 1):
        rows = np.flatnonzero(number == each)
        rows = rows[np.argsort(compute[rows])]
        if len(rows) >= LEAST_POINTS and compute[rows[-1]] > compute[rows[0]]:
            curves.append((float(np.log(size[rows]).mean()), np.log(compute[rows]), np.log(loss[rows])))
    left = f"a curve needs {LEAST_POINTS} budgets of one size, and its size must win between two others"
    kept = np.unique(np.linspace(0, max(0, len(curves) - 1), MOST_CURVES).round().astype(int))
    curves = [curves[at] for at in kept] if curves else []
    if len(curves) < LEAST_POINTS + 2:
        return [], left
    generator = np.random.default_rng(0)
    own = _winning(curves)
    spread = {middle: np.full(RESAMPLES, np.nan) for middle in own}
    residuals = [_smooth(x, y) for _, x, y in curves]
    for index in range(RESAMPLES):
        drawn = [
            (n, x, value + freed * generator.choice(FEW_FACTORS, size=len(x)))
            for (n, x, _), (value, freed) in zip(curves, residuals, strict=True)
        ]
        for n, (at, _) in _winning(drawn).items():
            if n in spread:
                spread[n][index] = n - (at - own[n][0])
    return [_Best(float(np.exp(at)), n, float(np.exp(y)), spread[n], 2 * len(curves)) for n, (at, y) in own.items()], left


def _smooth(x: Array, y: Array) -> tuple[Array, Array]:
    """(values, freed residuals) of a curve about its parabola in log C; none for three points."""
    if len(x) <= LEAST_POINTS:
        return y, np.zeros_like(y)
    design = np.stack([np.ones_like(x), x - x.mean(), (x - x.mean()) ** 2], axis=1)
    solve = np.linalg.pinv(design)
    value = design @ (solve @ y)
    return value, (y - value) / (1 - np.minimum(np.einsum("rp,pr->r", design, solve), 0.95))


def _winning(curves: list[tuple[float, Array, Array]]) -> dict[float, tuple[float, float]]:
    """log N -> (middle of the log C at which it is the lowest, log L there), of sizes that win between two others."""
    grid = np.linspace(min(x[0] for _, x, _ in curves), max(x[-1] for _, x, _ in curves), 1001)
    losses = np.stack([np.interp(grid, x, y, left=np.inf, right=np.inf) for _, x, y in curves])
    best = losses.argmin(axis=0)
    found = {}
    for index, (n, _, _) in enumerate(curves):
        wins = np.flatnonzero(best == index)
        if not len(wins) or wins[0] == 0 or wins[-1] == len(grid) - 1:
            continue
        # Where a neighbour's curve does not reach, nothing was compared.
        if np.isfinite(losses[index, [wins[0] - 1, wins[-1] + 1]]).all():
            at = (wins[0] + wins[-1]) // 2
            found[n] = (float(grid[at]), float(losses[index, at]))
    return found


def _line(method: Literal["iso_flop", "envelope"], best: list[_Best], left: str) -> SizeProfile:
    """N = k C^a through the best sizes, with intervals by their spreads or by their scatter about the line, the wider."""
    x, y = np.log([each.compute for each in best]), np.array([each.log_size for each in best])
    centre = x.mean()
    slope = (x - centre) / ((x - centre) ** 2).sum()
    a, middle = float(slope @ y), float(y.mean())
    spread = np.stack([np.where(np.isfinite(each.spread), each.spread, each.log_size) for each in best])
    widening = float(stdtrit(max(1, sum(each.free for each in best)), 0.5 + LEVEL / 2)) / Z
    by_points = interval(a, slope @ spread, widening)
    residual = y - middle - a * (x - centre)
    free = max(1, len(best) - 2)
    half = float(stdtrit(free, 0.5 + LEVEL / 2)) * float(np.sqrt((residual @ residual) / free * (slope @ slope)))
    points = []
    for each in best:
        low, high = interval(each.log_size, each.spread, widening)
        points.append(
            BestSize(
                compute=each.compute,
                parameters=float(np.exp(each.log_size)),
                low=float(np.exp(low)),
                high=float(np.exp(min(high, 700.0))),
                tokens=each.compute / (6 * float(np.exp(each.log_size))),
                loss=each.loss,
            )
        )
    return SizeProfile(
        method=method,
        points=points,
        exponent=a,
        low=min(by_points[0], a - half),
        high=max(by_points[1], a + half),
        log_factor=middle - a * centre,
        left_out=left,
    )
