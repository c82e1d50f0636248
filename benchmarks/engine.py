"""``python -m benchmarks.engine``: measures the seconds and memory of a hypergradient, against plain torch training.

Every figure comes from a fresh process on one thread, under Linux. Times are processor times, so that other processes do
not count; runs alternate with those of the torch loop that they are compared with, and the fastest of each counts. Peak
memory is the growth of the largest resident size over the size before the work began. Writes docs/benchmarks.md.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.page import write

if TYPE_CHECKING:
    from hpo.study import Study


@dataclass(frozen=True)
class Run:
    """A task with the default model of its family, and the length of its training."""

    model: str
    steps: int
    batch: int
    population: int


RUNS = {
    "digits": Run("MLP", 200, 64, 32),
    "mnist5k": Run("MLP", 200, 64, 32),
    "python-text": Run("transformer", 100, 32, 4),
}
TURNS = 4
LEAST_SECONDS, MOST_SECONDS = 3.0, 20.0
"""Seconds for which a short run is repeated, as a few could all fall into one busy moment; from which one is not."""
ONE_MEMBER = ("reverse, every state", "reverse, sqrt states", "Gauss-Newton, every state", "higher")


def resident(field: str) -> int:
    """A memory size of this process in bytes, from Linux: VmRSS is the present one, VmHWM the largest since its reset."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Reset VmHWM, so that the memory of loading the data does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def study_of(task: str, steps: int) -> "Study":
    """A job of the default search space and optimizer."""
    from hpo.study import Study
    from windtunnel.types import JobSpec

    return Study(JobSpec.model_validate({"task": task, "inner": {"steps": steps, "batch_size": RUNS[task].batch}}))


def torch_loop(task: str, steps: int) -> Callable[[], None]:
    """A function that trains as users of torch do: AdamW, clipping, cosine schedule."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils import clip_grad_norm_

    from hpo.families.registry import build
    from windtunnel.tasks import TASKS

    study = study_of(task, steps)
    train = study.data.train
    order = torch.randint(len(train), (steps, RUNS[task].batch), generator=torch.Generator().manual_seed(0))

    def run() -> None:
        model = build(study.spec.model, TASKS[task])
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for rows in order:
            optimizer.zero_grad()
            inputs, labels = train.take(rows)
            cross_entropy(model(inputs).flatten(0, -2), labels.flatten()).backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return run


def engine(task: str, steps: int, members: int, kind: str) -> Callable[[], None]:
    """A function that trains in this project's engine: plain, or with a hypergradient of the default search space."""
    from hpo.estimators.protocol import Estimator
    from hpo.estimators.reverse import Reverse
    from hpo.estimators.unrolled import Unrolled

    study = study_of(task, steps)
    problem = study.problem
    points = study.space.start().expand(members, -1)
    draw = problem.draw([(0, member) for member in range(members)])
    estimators: dict[str, Estimator] = {
        "reverse, every state": Reverse("none"),
        "reverse, sqrt states": Reverse("sqrt"),
        "Gauss-Newton, every state": Reverse("none", "gauss_newton"),
        "higher": Unrolled(),
    }
    if kind == "plain":
        return lambda: void(problem.train(points, draw))
    return lambda: void(estimators[kind].estimate(problem, points, draw))


def void(_: object) -> None:
    """Drop a result."""


def measure(task: str, kind: str, members: int) -> dict[str, float]:
    """Seconds of the fastest of some runs and of the torch loops between them, and peak memory in MB, in this process."""
    import torch

    torch.set_num_threads(1)
    steps = RUNS[task].steps
    runs = {"seconds": engine(task, steps, members, kind), "loop": torch_loop(task, steps)}
    for warm in (engine(task, 2, min(members, 2), kind), torch_loop(task, 2)):
        warm()
    reset_peak()
    before, best = resident("VmRSS"), dict.fromkeys(runs, float("inf"))
    turns, started = 0, time.process_time()
    while turns < 2 or (
        (spent := time.process_time() - started) < MOST_SECONDS and (turns < TURNS or spent < LEAST_SECONDS)
    ):
        for name, run in runs.items():
            began = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - began)
        turns += 1
    return {**best, "megabytes": (resident("VmHWM") - before) / 1e6}


def in_fresh_process(task: str, kind: str, members: int) -> dict[str, float]:
    """Result of ``measure`` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.engine", "--measure", kind, "--task", task, "--members", str(members)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(found.stdout)
    return answer


def one_member_table() -> list[str]:
    """Rows: the hypergradient of a run of one member, against plain torch training."""
    rows = [
        "| task | model | steps, batch | hypergradient | seconds | torch loop, seconds | ratio | peak memory, MB |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for task, run in RUNS.items():
        for kind in ONE_MEMBER:
            found = in_fresh_process(task, kind, 1)
            seconds, loop = found["seconds"], found["loop"]
            rows.append(
                f"| {task} | {run.model} | {run.steps}, {run.batch} | {kind} | {seconds:.3f} | {loop:.3f} "
                f"| {seconds / loop:.1f}x | {found['megabytes']:.0f} |"
            )
            print(rows[-1], flush=True)
    return rows


def population_table() -> list[str]:
    """Rows: member-steps per second of a population against a lone loop."""
    rows = [
        "| task | members | torch loop, steps/s | population, member-steps/s | ratio | with a hypergradient (every state), "
        "member-steps/s | of the torch loop's time a member |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for task, run in RUNS.items():
        plain, reverse = (in_fresh_process(task, kind, run.population) for kind in ("plain", "reverse, every state"))
        work = run.steps * run.population
        rows.append(
            f"| {task} | {run.population} | {run.steps / plain['loop']:.0f} | {work / plain['seconds']:.0f} "
            f"| {run.population * plain['loop'] / plain['seconds']:.1f}x | {work / reverse['seconds']:.0f} "
            f"| {reverse['seconds'] / run.population / reverse['loop']:.1f}x |"
        )
        print(rows[-1], flush=True)
    return rows


def machine() -> str:
    """Description of the machine."""
    import torch

    names = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, one thread, Python {platform.python_version()}, torch {torch.__version__}"


def cpu_lines() -> list[str]:
    """Lines of /proc/cpuinfo; empty if there is none."""
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


def main() -> None:
    """Measure everything, or one kind of run for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help="measure one kind of run in this process and print JSON")
    parser.add_argument("--task", default="digits")
    parser.add_argument("--members", type=int, default=1)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.task, asked.measure, asked.members)))
        return
    print(machine(), flush=True)
    stamp = f"Measured {time.strftime('%Y-%m-%d')} by `make bench` on {machine()}."
    write("engine", [stamp, "", *one_member_table(), "", *population_table()])


if __name__ == "__main__":
    main()
