"""``python -m benchmarks.best_response``: regularisers tuned by one best-response run, against searches by whole runs.

Delta-STN and STN train once and return a schedule; a random search tries 20 fixed points; Optuna's TPE tries as many points
as the gradient evaluations of Delta-STN pay for, the start included; one contender has no regularisers. All search the same
box and choose on the validation split; their choices are trained from scratch on fresh seeds. Rows in
benchmarks/results/best-response.csv are not measured again, so an interrupted measurement continues; the table also goes
into docs/benchmarks.md.
"""

import math
import statistics
import time
from collections.abc import Iterator
from typing import Any

import optuna
import torch
from torch import Tensor

from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.stored import Cell, Row, stored
from hpo.best_response.run import BestResponseRun
from hpo.estimators.facts.registry import response_facts
from hpo.estimators.registry import response_objectives
from hpo.search.best_response.replay import points_of, replay, schedule_of
from hpo.seeding import generator_of, number_of
from hpo.study import Study
from hpo.training.evaluation import SeedPath, judge
from hpo.training.problem import InnerProblem
from windtunnel.types import JobSpec
from windtunnel.types.estimators import BEST_RESPONSES

JOBS: dict[str, dict[str, Any]] = {
    "mnist5k": {
        "task": "mnist5k",
        "model": {"width": 256, "depth": 2},
        "optimizer": {"learning_rate": 0.002, "weight_decay": 0.0},
        "inner": {"steps": 1000, "batch_size": 64, "seeds": 1},
        "search": [{"name": "l2", "scope": "role"}, {"name": "dropout"}, {"name": "input_noise"}],
    },
    "python-text": {
        "task": "python-text",
        "model": {"width": 32, "depth": 2},
        "optimizer": {"learning_rate": 0.01, "weight_decay": 0.0},
        "inner": {"steps": 300, "batch_size": 16, "seeds": 1},
        "search": [{"name": "l2"}, {"name": "dropout"}, {"name": "input_noise"}],
    },
}
START = {"l2": 1e-3, "dropout": 0.1, "input_noise": 0.1}
METHODS = ("none", "delta_stn", "stn", "random", "tpe")
TITLES = {
    ("none", "held"): "no regularisation",
    ("delta_stn", "replayed"): "Delta-STN, schedule replayed",
    ("delta_stn", "held"): "Delta-STN, last values held",
    ("delta_stn", "own"): "Delta-STN, the networks of its run",
    ("stn", "replayed"): "STN, schedule replayed",
    ("stn", "held"): "STN, last values held",
    ("stn", "own"): "STN, the networks of its run",
    ("random", "held"): "random search, best of 20",
    ("tpe", "held"): "TPE at Delta-STN's cost",
}
POINTS = 20
REPLICATES = range(3)
FRESH, TRIED, FRESH_SEEDS = 71, 72, 3
"""Second part of the seed paths of the final runs and of the trials; number of fresh seeds of each replicate."""
COLUMNS = ("task", "method", "replicate", "what", "validation", "test", "gradient_evaluations", "seconds", "machine")


def cells() -> list[Cell]:
    """All cells to measure."""
    return [(task, method, replicate) for task in JOBS for replicate in REPLICATES for method in METHODS]


def problem_of(task: str, kind: str = "delta_stn") -> InnerProblem:
    """The inner problem that is regularised."""
    fields = {**JOBS[task], "regularization": START, "method": {"estimator": kind}}
    return Study(JobSpec.model_validate(fields)).problem


def run_cost(problem: InnerProblem) -> float:
    """Gradient evaluations of one member's whole best-response run."""
    return response_facts(problem.spec.method.estimator).run_cost(problem.spec, 1)


def seeds(purpose: int, replicate: int, count: int) -> list[SeedPath]:
    """Seed paths of one replicate's runs."""
    return [(purpose, replicate, index) for index in range(count)]


def measured(cell: Cell) -> Iterator[list[object]]:
    """Yield rows of one method and replicate: losses on fresh seeds, and the cost of the search."""
    task, method, replicate = str(cell[0]), str(cell[1]), int(str(cell[2]))
    began = time.process_time()
    match method:
        case "none":
            fields = {**JOBS[task], "search": [{"name": "learning_rate"}]}
            yield ["held", *held(Study(JobSpec.model_validate(fields)).problem, None, replicate), 0, 0]
        case kind if kind in BEST_RESPONSES:
            yield from responded(task, kind, replicate)
        case _:
            problem = problem_of(task)
            trials = POINTS if method == "random" else round(run_cost(problem) / problem.steps)
            point = at_random(problem, replicate) if method == "random" else by_tpe(problem, trials, replicate)
            spent = time.process_time() - began
            yield ["held", *held(problem, point, replicate), trials * problem.steps, f"{spent:.1f}"]


def responded(task: str, kind: str, replicate: int) -> Iterator[list[object]]:
    """Yield rows of a best-response run: its schedule, its last values, and the networks that it trained."""
    problem, began = problem_of(task, kind), time.process_time()
    settings, draw = problem.spec.method.best_response_settings, problem.draw(seeds(TRIED, replicate, 1))
    run = BestResponseRun(problem, response_objectives(kind), settings, draw)
    state = run.advance(run.begin(problem.space.start()), problem.steps)
    cost, spent = round(run_cost(problem)), f"{time.process_time() - began:.1f}"
    schedule = schedule_of(problem.space, run.rows, state.trajectory, problem.steps)
    knots = points_of(problem.space, schedule, state.point)
    draw = problem.draw(seeds(FRESH, replicate, FRESH_SEEDS))
    trained = replay(problem, knots.expand(FRESH_SEEDS, -1, -1), draw)
    with torch.no_grad():
        losses = [
            float(problem.evaluate(trained.parameters, trained.loss, split)[0].mean())
            for split in (problem.data.validation, problem.data.test)
        ]
    own = [float(run.losses(state, split).mean()) for split in (problem.data.validation, problem.data.test)]
    print({label: f"{values[-1]:.3g}" for label, values in schedule.values.items()}, flush=True)
    yield ["replayed", *losses, cost, spent]
    yield ["held", *held(problem, state.point, replicate), cost, spent]
    yield ["own", *own, cost, spent]


def held(problem: InnerProblem, point: Tensor | None, replicate: int) -> list[float]:
    """[validation loss, test loss] of fixed values, means over a replicate's fresh seeds."""
    at = problem.space.start() if point is None else point
    fresh = seeds(FRESH, replicate, FRESH_SEEDS)
    found = judge(problem, at[None], fresh, FRESH_SEEDS, lambda _: None, with_test=problem.data.test)
    assert found.test is not None
    return [float(found.validation.mean()), float(found.test.mean())]


def tried(problem: InnerProblem, points: Tensor, replicate: int) -> Tensor:
    """Validation loss of one run at each point, [points]."""
    return judge(problem, points, seeds(TRIED, replicate, 1), 1, lambda _: None).validation[:, 0]


def at_random(problem: InnerProblem, replicate: int) -> Tensor:
    """The best of points drawn uniformly from the box, in unconstrained units."""
    low, high = problem.space.low, problem.space.high
    share = torch.rand(POINTS, len(low), generator=generator_of((TRIED, replicate)), dtype=torch.float64)
    points = low + share * (high - low)
    return points[int(tried(problem, points, replicate).argmin())]


def by_tpe(problem: InnerProblem, trials: int, replicate: int) -> Tensor:
    """The best of ``trials`` trials of Optuna's TPE, the first at the start."""
    space = problem.space
    sampler = optuna.samplers.TPESampler(seed=number_of((TRIED, replicate)) % 2**32, n_startup_trials=max(1, trials // 3))
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(dict(zip(space.labels, space.start().tolist(), strict=True)))
    ends = list(zip(space.labels, space.low.tolist(), space.high.tolist(), strict=True))

    def loss(trial: optuna.Trial) -> float:
        point = torch.tensor([trial.suggest_float(*end) for end in ends], dtype=torch.float64)
        found = float(tried(problem, point[None], replicate))
        return found if math.isfinite(found) else 1e3

    study.optimize(loss, n_trials=trials)
    return torch.tensor([study.best_params[label] for label in space.labels], dtype=torch.float64)


def table(rows: list[Row]) -> list[str]:
    """Lines of the page's part."""
    lines = [f"Measured by `make bench` on {' and '.join(dict.fromkeys(row['machine'] for row in rows))}.", ""]
    for task, fields in JOBS.items():
        steps = fields["inner"]["steps"]
        lines += [
            f"{task}, {steps} updates; mean ± standard error over replicates, nats.",
            "",
            "| what | validation | test | replicates | cost, runs | CPU seconds |",
            "|---|---|---|---|---|---|",
        ]
        for (method, what), title in TITLES.items():
            own = [row for row in rows if (row["task"], row["method"], row["what"]) == (task, method, what)]
            if not own:
                continue
            losses = [_estimate([float(row[split]) for row in own]) for split in ("validation", "test")]
            runs = statistics.mean(float(row["gradient_evaluations"]) for row in own) / steps
            seconds = statistics.mean(float(row["seconds"]) for row in own)
            lines.append(f"| {title} | {losses[0]} | {losses[1]} | {len(own)} | {runs:.1f} | {seconds:.0f} |")
        lines.append("")
    return lines[:-1]


def _estimate(losses: list[float]) -> str:
    error = statistics.stdev(losses) / len(losses) ** 0.5 if len(losses) > 1 else 0.0
    return f"{statistics.mean(losses):.4f} ± {error:.4f}"


def main() -> None:
    """Measure missing cells, print the table and write it."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lines = table(stored("best-response", COLUMNS, cells(), lambda cell: ([*row, machine()] for row in measured(cell))))
    print("\n".join(lines), flush=True)
    write("best-response", lines)


if __name__ == "__main__":
    main()
