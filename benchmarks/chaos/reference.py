"""Measures the reference: evolution strategies over whole runs, which use the loss itself and no derivative.

The smoothed loss E[L(theta + sigma eps)] has a gradient however chaotic L is; antithetic pairs estimate it (Salimans et al.
2017; Metz et al. 2019, "Understanding and correcting pathologies in the training of learned optimizers"). The differences
are regressed on the directions instead of averaged against them: the same expectation, without the variance that
non-orthogonal directions bring.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.chaos.cases import CASES, SEEDS, Case, settings
from benchmarks.stored import Cell, Row, stored
from hpo.training.evaluation import DIVERGED_LOSS

SIGMA = 0.1
CALM_BLOCKS, BLOCKS = 8, 24
"""Numbers of blocks, at the lowest rate of a case and at the others; a block has one antithetic pair per seed."""
COLUMNS = ["case", "rate", "block", "seed", "plus", "minus"]


@dataclass(frozen=True)
class Smoothed:
    """The gradient of the smoothed loss, averaged over seeds."""

    gradient: Tensor
    """Gradient of the smoothed loss, [k], float64."""
    halves: tuple[Tensor, Tensor]
    """Gradients from even and from odd blocks: two independent references of half the size."""
    pairs: int
    dropped: int
    """Number of pairs with a diverged run."""


def directions(block: int, k: int) -> Tensor:
    """Directions of one block, [seeds, k]; the same for every case with k hyperparameters."""
    return torch.randn(SEEDS, k, generator=torch.Generator().manual_seed(block), dtype=torch.float64)


def pairs(cell: Cell) -> Iterator[list[float]]:
    """Yield the validation losses on both sides of the start, one row per seed."""
    name, rate, block = str(cell[0]), float(str(cell[1])), int(str(cell[2]))
    case = CASES[name]
    problem, centre = case.study(rate).problem, case.points(rate, SEEDS)
    offset = SIGMA * directions(block, centre.shape[1])
    draw = case.draw(rate).select([*range(SEEDS)] * 2)
    trained = problem.train(torch.cat([centre + offset, centre - offset]), draw)
    with torch.no_grad():
        losses, _ = problem.evaluate(trained.parameters, trained.loss, problem.data.validation)
    for seed in range(SEEDS):
        yield [seed, float(losses[seed]), float(losses[SEEDS + seed])]


def measure() -> list[Row]:
    """Rows of all pairs, block by block over all cases, so that an interrupted measurement is a smaller one of its kind."""
    most = max(CALM_BLOCKS, BLOCKS)
    cells = [
        (case.name, rate, block)
        for block in range(most)
        for case, rate in settings()
        if block < (CALM_BLOCKS if rate == case.rates[0] else BLOCKS)
    ]
    return stored("chaos-pairs", COLUMNS, cells, pairs)


def smoothed(rows: list[Row], case: Case, rate: float) -> Smoothed:
    """The reference gradient of one case at one rate."""
    mine = [row for row in rows if (row["case"], float(row["rate"])) == (case.name, rate)]
    k = len(case.study(rate).space)
    eps = torch.stack([directions(int(row["block"]), k)[int(row["seed"])] for row in mine])
    losses = torch.tensor([[float(row["plus"]), float(row["minus"])] for row in mine], dtype=torch.float64)
    alive = (losses < DIVERGED_LOSS).all(dim=1)
    even = torch.tensor([int(row["block"]) % 2 == 0 for row in mine])
    differences = (losses[:, 0] - losses[:, 1]) / (2 * SIGMA)

    def regressed(chosen: Tensor) -> Tensor:
        solved: Tensor = torch.linalg.lstsq(eps[chosen], differences[chosen, None]).solution
        return solved[:, 0]

    halves = regressed(alive & even), regressed(alive & ~even)
    return Smoothed(regressed(alive), halves, len(mine), int((~alive).sum()))
