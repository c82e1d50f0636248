"""Metasmoothness on the chaos benchmark's runs: does the reading of a job predict which adjoint to trust?

``python -m benchmarks.chaos.smoothness`` measures each seed along the mean bounded hypergradient that the benchmark stored,
and prints a table. Raw numbers go to benchmarks/results/chaos-smoothness.csv; delete it to measure again.
"""

import math
import statistics
from collections.abc import Iterator

from benchmarks.chaos.adjoints import measure, of
from benchmarks.chaos.cases import CASES, SEEDS, settings
from benchmarks.stored import Cell, stored
from hpo.study import SMOOTHNESS_MOVE
from hpo.training.smoothness import smoothness

COLUMNS = ["case", "rate", "seed", "curvature", "agreement"]


def readings(cell: Cell) -> Iterator[list[object]]:
    """Yield curvature and sign agreement of each seed; NaN where a run diverged."""
    case, rate = CASES[str(cell[0])], float(str(cell[1]))
    direction = of(measure(), case, rate, "bounded").mean(dim=0)
    problem, draw, (point,) = case.study(rate).problem, case.draw(rate), case.points(rate, 1)
    for seed in range(SEEDS):
        found = smoothness(problem, point, direction, SMOOTHNESS_MOVE, draw.select([seed]))
        yield [seed, *((math.nan, math.nan) if found is None else (found.curvature, found.agreement))]


def main() -> None:
    """Measure what is not stored, and print the median over seeds at each rate."""
    rows = stored("chaos-smoothness", COLUMNS, [(case.name, rate) for case, rate in settings()], readings)
    print("| runs | rate | sign agreement, median | lowest and highest seed | S, median | diverged |")
    print("|---|---:|---:|---:|---:|---:|")
    for case, rate in settings():
        mine = [row for row in rows if (row["case"], float(row["rate"])) == (case.name, rate)]
        known = [row for row in mine if math.isfinite(float(row["agreement"]))]
        agreement = sorted(float(row["agreement"]) for row in known)
        curvature = statistics.median(float(row["curvature"]) for row in known)
        print(
            f"| {case.name} | {rate:g} | {statistics.median(agreement):.2f} | {agreement[0]:.2f} to {agreement[-1]:.2f} | "
            f"{curvature:.3g} | {len(mine) - len(known)} |"
        )


if __name__ == "__main__":
    main()
