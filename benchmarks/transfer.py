"""``python -m benchmarks.transfer``: tunes at width 64 and trains at width 1024, in several settings, losing ones included.

Each setting is tuned by the engine and trained by the three contenders of the demonstration. A second table shows the
effect of more weight decay at both widths. Raw numbers go to benchmarks/results/, the tables into docs/benchmarks.md.
"""

import math
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import torch

from benchmarks.demo.contenders import contenders, judge, train
from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.stored import Cell, Row, stored
from hpo.plans.transfer import make_plan
from hpo.study import Study
from hpo.tasks import load
from windtunnel.types import JobSpec, Target, TransferPlan, TuneResult

SETTINGS = ((2, 200, 200), (2, 200, 800), (3, 100, 100), (3, 100, 400), (4, 100, 100))
"""(depth, steps of the proxy, steps of the target) of each setting."""
JOB_SEEDS = (0, 1)
TARGET_SEEDS = range(3)
WIDTH = 1024
DECAYS = (0.01, 0.1, 0.3)
DECAY_RATE = 0.02
NO_DATE = datetime.fromtimestamp(0, UTC)


def tune(depth: int, steps: int, seed: int) -> TuneResult:
    """Result of the demonstration's job with this depth, number of steps and seed."""
    spec = {
        "task": "digits",
        "model": {"depth": depth},
        "inner": {"steps": steps, "seeds": 8},
        "outer": {"steps": 6},
        "seed": seed,
    }
    study = Study(JobSpec.model_validate(spec))
    list(study)
    return study.finish()


def plan_of(result: TuneResult, width: int, steps: int) -> TransferPlan:
    """The plan of a result, made without a server."""
    return make_plan(
        result, Target(width=width, steps=steps), plan_id="benchmark", job_id="benchmark", created_at=NO_DATE, force=True
    )


def flown(cell: Cell) -> Iterator[list[object]]:
    """Yield the losses of every contender at the target."""
    depth, steps, target_steps, seed = (int(str(part)) for part in cell)
    result, data = tune(depth, steps, seed), load("digits")
    for name, plan in contenders(result, plan_of(result, WIDTH, target_steps)).items():
        models = [train(plan, data, target_seed, lambda: None) for target_seed in TARGET_SEEDS]
        validation, test = judge(models, data.validation), judge(models, data.test)
        yield [name, validation.mean, validation.stderr, test.mean, test.stderr]


def decayed(cell: Cell) -> Iterator[list[object]]:
    """Yield the losses at (width, decay) with one rate and one decay for all roles, depth 2, 200 steps."""
    width, decay = int(str(cell[0])), float(str(cell[1]))
    spec = {"task": "digits", "outer": {"steps": 1, "finish_seeds": 2}, "inner": {"steps": 200, "seeds": 1}}
    study = Study(JobSpec.model_validate(spec))
    list(study)
    result = study.finish()
    values = {"learning_rate": DECAY_RATE, "weight_decay": decay}
    set_by_hand = result.model_copy(update={"best": result.best.model_copy(update={"hyperparameters": values})})
    data = load("digits")
    models = [train(plan_of(set_by_hand, width, 200), data, seed, lambda: None) for seed in TARGET_SEEDS]
    validation, test = judge(models, data.validation), judge(models, data.test)
    yield [validation.mean, validation.stderr, test.mean, test.stderr]


def flight_table(rows: list[Row]) -> list[str]:
    """Lines of the table of means over job seeds."""
    lines = [
        "| depth | steps, proxy | steps, target | contender | validation loss | test loss |",
        "|---:|---:|---:|---|---:|---:|",
    ]
    for depth, steps, target_steps in SETTINGS:
        setting = [str(depth), str(steps), str(target_steps)]
        chosen = [row for row in rows if [row["depth"], row["steps"], row["target_steps"]] == setting]
        for name in dict.fromkeys(row["contender"] for row in chosen):
            found = [row for row in chosen if row["contender"] == name]
            lines.append(
                f"| {depth} | {steps} | {target_steps} | {name} | {pooled(found, 'validation')} | {pooled(found, 'test')} |"
            )
    return lines


def pooled(rows: list[Row], split: str) -> str:
    """Mean of means and its standard error, from those of the seeds, as text."""
    errors = [float(row[f"{split}_stderr"]) for row in rows]
    mean = statistics.fmean(float(row[split]) for row in rows)
    return f"{mean:.4f} ± {math.hypot(*errors) / len(errors):.4f}"


def decay_table(rows: list[Row]) -> list[str]:
    """Lines of the table with one row for each width and decay."""
    lines = ["| width | weight decay | validation loss | test loss |", "|---:|---:|---:|---:|"]
    return lines + [
        f"| {row['width']} | {row['decay']} | {pooled([row], 'validation')} | {pooled([row], 'test')} |" for row in rows
    ]


def main() -> None:
    """Measure missing cells, then write the tables."""
    torch.set_num_threads(1)
    losses = ["validation", "validation_stderr", "test", "test_stderr"]
    cells = [(*setting, seed) for setting in SETTINGS for seed in JOB_SEEDS]
    flights = stored("transfer", ["depth", "steps", "target_steps", "job_seed", "contender", *losses], cells, flown)
    grid = [(width, decay) for width in (64, WIDTH) for decay in DECAYS]
    decays = stored("decay", ["width", "decay", *losses], grid, decayed)
    stamp = f"Measured {time.strftime('%Y-%m-%d')} by `python -m benchmarks.transfer` on {machine()}."
    write("transfer", [stamp, "", *flight_table(flights), "", *decay_table(decays)])


if __name__ == "__main__":
    main()
