"""``python -m benchmarks.decay_by_role``: measures which matrices of a transformer need more decay, narrow and wide.

The decay of one role at a time is multiplied by ten, at the proxy's width and at 8 times the width by muP's rules, on the
same seeds. Continues where it stopped (benchmarks/results/decay-by-role.csv).
"""

import statistics
from collections.abc import Iterator

import torch

from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.regret import PROBLEMS, judged
from benchmarks.stored import Cell, stored
from hpo.families.facts.registry import proxy_tensors
from hpo.training.space import Space
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec

PROBLEM = PROBLEMS["narrow transformer"]
SPEC = JobSpec.model_validate(
    {**PROBLEM.spec, "search": [{"name": "learning_rate"}, {"name": "weight_decay", "scope": "role"}]}
)
MULTIPLE = 8
MORE = 10.0
SEEDS = 6
PURPOSE = 5
"""Part of the seed path: no run of the regret benchmark shares a seed."""


def losses(width: int, more: str) -> list[float]:
    """Validation losses with the decay of one role (or ``all``, or ``none``) multiplied."""
    space = Space.from_spec(SPEC, proxy_tensors(SPEC.model, TASKS[SPEC.task]))
    values = {
        each.label: PROBLEM.rate
        if each.name == "learning_rate"
        else PROBLEM.decay * (MORE if more in ("all", each.key) else 1)
        for each in space.hyperparameters
    }
    return judged(SPEC, values, width, PURPOSE, SEEDS)


def measure(cell: Cell) -> Iterator[list[object]]:
    """Yield the measured columns of a cell's row."""
    width, more = cell
    yield [" ".join(f"{loss:.6f}" for loss in losses(int(str(width)), str(more)))]


def main() -> None:
    """Measure missing cells, then write the table."""
    torch.set_num_threads(1)
    space = Space.from_spec(SPEC, proxy_tensors(SPEC.model, TASKS[SPEC.task]))
    roles = [each.key for each in space.hyperparameters if each.name == "weight_decay"]
    widths = (SPEC.model.width, MULTIPLE * SPEC.model.width)
    cells: list[Cell] = [(width, more) for width in widths for more in ("none", *roles, "all")]
    rows = stored("decay-by-role", ["width", "more", "losses"], cells, measure)
    found = {(int(row["width"]), row["more"]): [float(loss) for loss in row["losses"].split()] for row in rows}
    lines = [
        f"Measured on {machine()} by `python -m benchmarks.decay_by_role`: {PROBLEM.title}, {SEEDS} seeds.",
        "",
        "| ten times the decay of | " + " | ".join(f"width {width}" for width in widths) + " |",
        "|---|" + "---:|" * len(widths),
        "| nothing: loss | " + " | ".join(f"{statistics.fmean(found[width, 'none']):.4f}" for width in widths) + " |",
    ]
    for more in (*roles, "all"):
        cells_of = []
        for width in widths:
            gaps = [left - right for left, right in zip(found[width, more], found[width, "none"], strict=True)]
            cells_of.append(f"{statistics.fmean(gaps):+.4f} ± {statistics.stdev(gaps) / len(gaps) ** 0.5:.4f}")
        lines.append(f"| {more} | " + " | ".join(cells_of) + " |")
    print("\n".join(lines))
    write("decay-by-role", lines)


if __name__ == "__main__":
    main()
