"""``python -m benchmarks.regret``: measures the regret of a carried (learning rate, weight decay) on a wide model.

At the proxy's width a grid is searched, and its best point is carried to 8 and 16 times the width. There the same grid is
searched around the carried point, by the same rules, so that the carried point is one of its points. The best of the grid
and the carried point are then trained on fresh seeds: their paired difference is the regret. The grid's best is chosen on
other seeds, so it gains nothing from luck. muP and the standard parametrization are measured. Continues where it stopped
(benchmarks/results/regret.csv).
"""

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.stored import Cell, Row, stored
from hpo.evidence.scaled import ScaledProblem
from hpo.families.facts.registry import proxy_tensors
from hpo.tasks import load
from hpo.training.evaluation import judge
from hpo.training.space import Hyperparameter, Space
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec

RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
DECAYS = (0.1, 1.0, 10.0)
BASE_RATES = (0.03125, 0.0625, 0.125, *RATES, 8.0)
BASE_DECAYS = (*DECAYS, 100.0)
"""Decay factors at the proxy's width, where the grid is wider: its best is not known there."""
TUNING, CHOOSING, JUDGING = 12, 3, 6
"""Numbers of seeds: to choose the best of the proxy's grid, whose runs are cheap and whose losses scatter; to choose the
best of a wide model's grid; to evaluate it, fresh."""
MULTIPLES = (8, 16)
NEGLIGIBLE = 1e-12
"""A decay without effect: the space of decays is logarithmic and has no 0."""
PARAMETRIZATIONS = ("mup", "standard")
COLUMNS = ["problem", "parametrization", "width", "rate", "decay", "purpose", "losses"]


@dataclass(frozen=True)
class Problem:
    """A training task, and the middle of the proxy's grid."""

    title: str
    spec: dict[str, Any]
    rate: float
    decay: float
    undecayed: frozenset[str] = frozenset()
    """Roles without decay; all other matrices share one decay."""


PROBLEMS = {
    "mlp": Problem(
        "MLP, mnist5k, width 32, 200 steps",
        {"task": "mnist5k", "model": {"width": 32, "depth": 3}, "inner": {"steps": 200}},
        0.01,
        0.1,
    ),
    "transformer": Problem(
        "transformer, python-text, width 32, depth 1, 100 steps of batch 8",
        {"task": "python-text", "model": {"width": 32, "depth": 1, "d_head": 8}, "inner": {"steps": 100, "batch_size": 8}},
        0.02,
        0.1,
    ),
    "transformer, hidden decay": Problem(
        "the same transformer, tokens' embedding and readout not decayed",
        {"task": "python-text", "model": {"width": 32, "depth": 1, "d_head": 8}, "inner": {"steps": 100, "batch_size": 8}},
        0.02,
        0.1,
        frozenset({"input", "output"}),
    ),
    "narrow transformer": Problem(
        "transformer, python-text, width 16, depth 2, 200 steps of batch 8",
        {"task": "python-text", "model": {"width": 16, "d_head": 8}, "inner": {"steps": 200, "batch_size": 8}},
        0.02,
        0.1,
    ),
    "llama": Problem(
        "llama, python-text, width 32, depth 2, grouped queries, 100 steps of batch 8",
        {
            "task": "python-text",
            "model": {"family": "llama", "width": 32, "depth": 2, "d_head": 8, "gqa_ratio": 2},
            "inner": {"steps": 100, "batch_size": 8},
        },
        0.02,
        0.1,
    ),
}


def run(name: str, parametrization: str, width: int, rate: float, decay: float, purpose: int, seeds: int) -> list[float]:
    """Validation losses of the carried middle of the grid times two factors."""
    problem = PROBLEMS[name]
    spec = JobSpec.model_validate(
        {
            **problem.spec,
            "parametrization": parametrization,
            "search": [{"name": "learning_rate"}, {"name": "weight_decay", "scope": "role"}],
        }
    )
    values = {
        each.label: _start(problem, each)
        for each in Space.from_spec(spec, proxy_tensors(spec.model, TASKS[spec.task])).hyperparameters
    }
    return judged(spec, values, width, purpose, seeds, rate, decay)


def judged(
    spec: JobSpec, values: Mapping[str, float], width: int, purpose: int, seeds: int, rate: float = 1, decay: float = 1
) -> list[float]:
    """Validation losses of values carried to a width, times a factor on every rate and one on every decay."""
    scaled = ScaledProblem(spec, values, width, load(spec.task))
    point = torch.tensor([[math.log(rate), math.log(decay)]], dtype=torch.float64)
    paths = [(0, 9_001, purpose, index) for index in range(seeds)]
    together = 8 if width == spec.model.width else 1
    losses: list[float] = judge(scaled, point, paths, together, lambda _: None).validation[0].tolist()
    return losses


def _start(problem: Problem, coordinate: Hyperparameter) -> float:
    """Middle of the proxy's grid for one coordinate."""
    if coordinate.name == "learning_rate":
        return problem.rate
    return NEGLIGIBLE if coordinate.key in problem.undecayed else problem.decay


class Unmeasured(Exception):
    """A comparison lacks runs, and the file may only be read."""


def measured(cells: list[Cell], seeds: int, *, is_read_only: bool = False) -> list[Row]:
    """Rows of these cells (problem, parametrization, width, rate, decay, purpose); missing ones are run.

    Raises:
        Unmeasured: a row is missing, and the file may only be read.
    """

    def measure(cell: Cell) -> Iterator[list[object]]:
        if is_read_only:
            raise Unmeasured
        name, parametrization, width, rate, decay, purpose = cell
        losses = run(
            str(name), str(parametrization), int(str(width)), float(str(rate)), float(str(decay)), int(str(purpose)), seeds
        )
        yield [" ".join(f"{loss:.6f}" for loss in losses)]

    rows = stored("regret", COLUMNS, cells, measure)
    wanted = {tuple(str(part) for part in cell) for cell in cells}
    return [row for row in rows if tuple(row[column] for column in COLUMNS[:6]) in wanted]


def losses_of(row: Row) -> list[float]:
    """Losses of a row, by seed."""
    return [float(loss) for loss in row["losses"].split()]


def best(rows: list[Row]) -> tuple[float, float]:
    """(rate, decay) factors with the lowest mean loss."""
    row = min(rows, key=lambda row: statistics.fmean(losses_of(row)))
    return float(row["rate"]), float(row["decay"])


def compare(
    name: str, parametrization: str, width: int, base: tuple[float, float], *, is_read_only: bool = False
) -> dict[str, float | str]:
    """Comparison of the carried point with the best of the grid around it.

    Raises:
        Unmeasured: a run is missing, and the file may only be read.
    """
    grid = [(base[0] * rate, base[1] * decay) for rate, decay in product(RATES, DECAYS)]
    cells: list[Cell] = [(name, parametrization, width, rate, decay, 0) for rate, decay in grid]
    found = best(measured(cells, CHOOSING, is_read_only=is_read_only))
    pair: list[Cell] = [(name, parametrization, width, *point, 1) for point in (base, found)]
    # The same point twice is one row.
    rows = measured(list(dict.fromkeys(pair)), JUDGING, is_read_only=is_read_only)
    carried, chosen = losses_of(rows[0]), losses_of(rows[-1])
    gaps = [left - right for left, right in zip(carried, chosen, strict=True)]
    return {
        "carried": statistics.fmean(carried),
        "best": statistics.fmean(chosen),
        "regret": statistics.fmean(gaps),
        "stderr": statistics.stdev(gaps) / math.sqrt(len(gaps)),
        "moved": f"x {found[0] / base[0]:g}, x {found[1] / base[1]:g}",
    }


def main() -> None:
    """Measure missing cells, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--parametrizations", nargs="+", choices=PARAMETRIZATIONS, default=list(PARAMETRIZATIONS))
    parser.add_argument("--stored", action="store_true", help="run nothing: the table of the comparisons that are complete")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"Measured on {machine()} by `python -m benchmarks.regret`.",
        "",
        "| problem | parametrization | width | carried | grid's best | regret | of it | best rate, decay over carried |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in asked.problems:
        problem = PROBLEMS[name]
        narrow = problem.spec["model"]["width"]
        for parametrization in asked.parametrizations:
            cells: list[Cell] = [(name, "mup", narrow, rate, decay, 2) for rate, decay in product(BASE_RATES, BASE_DECAYS)]
            # At the proxy's own width the two are the same runs.
            try:
                base = best(measured(cells, TUNING, is_read_only=asked.stored))
            except Unmeasured:
                continue
            for multiple in MULTIPLES:
                try:
                    found = compare(name, parametrization, narrow * multiple, base, is_read_only=asked.stored)
                except Unmeasured:
                    continue
                share = 100 * float(found["regret"]) / float(found["best"])
                losses = f"{found['carried']:.4f} | {found['best']:.4f} | {found['regret']:.4f} ± {found['stderr']:.4f}"
                place = f"{problem.title} | {parametrization} | {narrow * multiple} ({multiple}x)"
                lines.append(f"| {place} | {losses} | {share:.1f} % | {found['moved']} |")
                print(lines[-1], flush=True)
    write("regret", lines)


if __name__ == "__main__":
    main()
