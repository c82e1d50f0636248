"""Measures the compared hypergradients: the state-replay engine with each adjoint, one row per seed."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.chaos.cases import CASES, SEEDS, STEPS, Case, settings
from benchmarks.stored import Cell, Row, stored
from hpo.estimators.reverse import Reverse

GENEROUS = math.exp(0.05 * STEPS)
"""Growth budget for tau = 0.05."""
ADJOINTS = {
    "exact": Reverse(adjoint="exact"),
    "bounded": Reverse(),
    "bounded, tau 0": Reverse(growth_budget=1.0),
    "bounded, tau 0.05": Reverse(growth_budget=GENEROUS),
    "gauss_newton": Reverse(adjoint="gauss_newton"),
}
COLUMNS = ["case", "rate", "adjoint", "seed", "bounded_share", "mean_scale", "gradient"]


def gradients(cell: Cell) -> Iterator[list[object]]:
    """Yield the hypergradient of each seed."""
    name, rate, adjoint = str(cell[0]), float(str(cell[1])), str(cell[2])
    case = CASES[name]
    found = ADJOINTS[adjoint].estimate(case.study(rate).problem, case.points(rate, SEEDS), case.draw(rate))
    unbounded = torch.zeros(SEEDS), torch.ones(SEEDS)
    share = unbounded[0] if found.bounded_share is None else found.bounded_share
    scale = unbounded[1] if found.mean_scale is None else found.mean_scale
    for seed in range(SEEDS):
        yield [seed, float(share[seed]), float(scale[seed]), written(found.gradient[seed])]


def measure() -> list[Row]:
    """Rows of every adjoint on every case at every rate."""
    cells = [(case.name, rate, adjoint) for adjoint in ADJOINTS for case, rate in settings()]
    return stored("chaos-gradients", COLUMNS, cells, gradients)


def written(gradient: Tensor) -> str:
    """Text of a gradient [k] for one cell of a table."""
    return " ".join(f"{value:.9g}" for value in gradient.tolist())


def of(rows: list[Row], case: Case, rate: float, adjoint: str) -> Tensor:
    """Gradients of the seeds, [seeds, k], without those that are not finite, which a job leaves out, too."""
    chosen = [row for row in rows if (row["case"], float(row["rate"]), row["adjoint"]) == (case.name, rate, adjoint)]
    found = [[float(value) for value in row["gradient"].split()] for row in chosen]
    table = torch.tensor(found, dtype=torch.float64).reshape(len(found), len(found[0]) if found else 0)
    return table[table.isfinite().all(dim=1)]
