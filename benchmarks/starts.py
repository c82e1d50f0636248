"""``python -m benchmarks.starts``: compares hypergradient descent from one and from four starts, at equal cost.

A job with ``reverse`` begins at a learning rate a hundred times too low or too high, or at the scout's, with one start or
four, and the same budget in run-equivalents. Its result is evaluated on seeds that no job uses. Raw numbers go to
benchmarks/results/, the table into docs/benchmarks.md.
"""

import math
import statistics
import time
from collections.abc import Iterator

import torch

from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.stored import Cell, Row, stored
from hpo.study import Study
from hpo.training.evaluation import judge, mean_and_stderr
from windtunnel.types import JobSpec

TASKS = ("digits", "mnist5k")
BEGINNINGS = {"rate 0.0001": 1e-4, "rate 1": 1.0, "scouted": None}
"""Name -> learning rate of start 0; None: the scout's."""
BUDGETS = (100, 300)
STARTS = (1, 4)
JOB_SEEDS = range(3)
STEPS = 100
FRESH, FRESH_SEEDS = 70, 8
"""Second part of the seed paths of the evaluation, which no run of a job has; number of these seeds."""
COLUMNS = (
    "task",
    "beginning",
    "budget",
    "starts",
    "job_seed",
    "loss",
    "stderr",
    "runs",
    "outer_steps",
    "living",
    "seconds",
)


def tuned(cell: Cell) -> Iterator[list[object]]:
    """Yield the loss of a job's result, its cost, its outer steps, and the number of starts alive at its end."""
    task, beginning, budget, starts, seed = (str(part) for part in cell)
    rate = BEGINNINGS[beginning]
    spec = JobSpec.model_validate(
        {
            "task": task,
            "optimizer": {} if rate is None else {"learning_rate": rate},
            "inner": {"steps": STEPS},
            "method": {"estimator": "reverse"},
            "outer": {"budget": float(budget), "scout": rate is None, "starts": int(starts)},
            "seed": int(seed),
        }
    )
    began = time.process_time()
    study = Study(spec)
    *_, last = study
    seconds = time.process_time() - began
    point = study.space.from_dict(study.finish().best.hyperparameters)
    seeds = [(spec.seed, FRESH, 0, index) for index in range(FRESH_SEEDS)]
    losses = judge(study.problem, point[None], seeds, study.population, lambda _: None).validation[0]
    mean, stderr, _ = mean_and_stderr(losses)
    yield [mean, stderr, last.run_equivalents, last.outer_step, last.starts or 1, seconds]


def table(rows: list[Row]) -> list[str]:
    """Lines of the table: means over job seeds, paired difference of four starts to one, worst loss, cost and steps."""
    numbers = ("budget, runs", "1 start", "4 starts", "4 less 1", "worst jobs", "runs spent", "outer steps", "starts left")
    lines = [f"| task | beginning | {' | '.join(numbers)} |", "|---|---|" + "---:|" * len(numbers)]
    for task in TASKS:
        for beginning in BEGINNINGS:
            for budget in BUDGETS:
                one, four = (
                    [
                        row
                        for row in rows
                        if (row["task"], row["beginning"], row["budget"], row["starts"])
                        == (task, beginning, str(budget), str(starts))
                    ]
                    for starts in STARTS
                )
                if min(len(one), len(four)) < len(JOB_SEEDS):
                    continue  # not measured yet
                losses = [[float(row["loss"]) for row in found] for found in (one, four)]
                gains = [more - single for single, more in zip(*losses, strict=True)]
                cells = [*(over_jobs(found) for found in losses), over_jobs(gains, "+")]
                cells.append(", ".join(f"{max(found):.4f}" for found in losses))
                cells += [both(one, four, column) for column in ("runs", "outer_steps")]
                left = statistics.fmean(float(row["living"]) for row in four)
                lines.append(f"| {task} | {beginning} | {budget} | " + " | ".join([*cells, f"{left:.1f}"]) + " |")
    return lines


def over_jobs(values: list[float], sign: str = "") -> str:
    """Mean and its standard error, as text."""
    return f"{statistics.fmean(values):{sign}.4f} ± {statistics.stdev(values) / math.sqrt(len(values)):.4f}"


def both(one: list[Row], four: list[Row], column: str) -> str:
    """Means of a column for one start and for four, as text."""
    return ", ".join(f"{statistics.fmean(float(row[column]) for row in found):.0f}" for found in (one, four))


def main() -> None:
    """Measure missing cells, then write the table."""
    torch.set_num_threads(1)
    cells = [
        (task, beginning, budget, starts, seed)
        for task in TASKS
        for beginning in BEGINNINGS
        for budget in BUDGETS
        for seed in JOB_SEEDS
        for starts in STARTS
    ]
    rows = stored("starts", COLUMNS, cells, tuned)
    stamp = f"Measured {time.strftime('%Y-%m-%d')} by `python -m benchmarks.starts` on {machine()}."
    write("starts", [f"{stamp} ± one standard error over three jobs.", "", *table(rows)])


if __name__ == "__main__":
    main()
