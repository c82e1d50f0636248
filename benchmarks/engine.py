"""``python -m benchmarks.engine``: what a hypergradient costs, in seconds and memory, beside plain torch training.

Every figure comes from a fresh process on one thread, under Linux: peak memory is the growth of its largest resident size
over what it had before the work began. Each measurement is repeated, the fastest run counts. Writes docs/benchmarks.md.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.page import write

TASKS = ("digits", "mnist5k")
STEPS = 200
BATCH = 64
POPULATION = 32
REPEATS = 5
LEAST_SECONDS = 3.0
"""A short run is repeated for so long: the fastest of a few could all fall into one busy moment."""
ONE_MEMBER = ("torch loop", "reverse, every state", "reverse, sqrt states", "higher")


def resident(field: str) -> int:
    """A size of this process in bytes, from Linux: VmRSS now, VmHWM the largest since it was last reset."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Let VmHWM begin anew: what loading the data once took is not part of the measurement."""
    Path("/proc/self/clear_refs").write_text("5")


def torch_loop(task: str, steps: int) -> Callable[[], None]:
    """A training loop as users of torch write it: AdamW, clipping, cosine schedule."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils import clip_grad_norm_

    from hpo.families import MLP
    from hpo.tasks import load

    data = load(task)
    order = torch.randint(len(data.train), (steps, BATCH), generator=torch.Generator().manual_seed(0))

    def run() -> None:
        model = MLP(data.features, data.classes, 64, 2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for rows in order:
            optimizer.zero_grad()
            cross_entropy(model(data.train.inputs[rows]), data.train.labels[rows]).backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return run


def engine(task: str, steps: int, members: int, kind: str) -> Callable[[], None]:
    """The same run in this project's engine: plain, or with a hypergradient of the default search space."""
    from hpo.estimators import Estimator, Reverse, Unrolled
    from hpo.study import Study
    from windtunnel.types import JobSpec

    study = Study(JobSpec.model_validate({"task": task, "inner": {"steps": steps, "batch_size": BATCH}}))
    problem = study.problem
    points = study.space.start().expand(members, -1)
    draw = problem.draw([(0, member) for member in range(members)])
    estimators: dict[str, Estimator] = {
        "reverse, every state": Reverse("none"),
        "reverse, sqrt states": Reverse("sqrt"),
        "higher": Unrolled(),
    }
    if kind == "plain":
        return lambda: void(problem.train(points, draw))
    return lambda: void(estimators[kind].estimate(problem, points, draw))


def void(_: object) -> None:
    """Drop a result."""


def measure(task: str, kind: str, members: int, steps: int) -> dict[str, float]:
    """Seconds of the fastest of some runs, and peak memory in MB, in this process."""
    import torch

    torch.set_num_threads(1)
    run = torch_loop(task, steps) if kind == "torch loop" else engine(task, steps, members, kind)
    warm = torch_loop(task, 2) if kind == "torch loop" else engine(task, 2, min(members, 2), kind)
    warm()
    reset_peak()
    before, seconds = resident("VmRSS"), float("inf")
    runs, started = 0, time.perf_counter()
    while runs < REPEATS or time.perf_counter() - started < LEAST_SECONDS:
        began = time.perf_counter()
        run()
        seconds = min(seconds, time.perf_counter() - began)
        runs += 1
    return {"seconds": seconds, "megabytes": (resident("VmHWM") - before) / 1e6}


def in_fresh_process(task: str, kind: str, members: int) -> dict[str, float]:
    """``measure``, undisturbed by what ran before."""
    command = [sys.executable, "-m", "benchmarks.engine", "--measure", kind, "--task", task, "--members", str(members)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(found.stdout)
    return answer


def one_member_table() -> list[str]:
    """Rows: a run of one member, plain and differentiated."""
    rows = [
        "| task | one run of 200 steps | seconds | of the torch loop | peak memory, MB |",
        "|---|---|---:|---:|---:|",
    ]
    for task in TASKS:
        found = {kind: in_fresh_process(task, kind, 1) for kind in ONE_MEMBER}
        plain = found["torch loop"]["seconds"]
        for kind, figures in found.items():
            rows.append(
                f"| {task} | {kind} | {figures['seconds']:.3f} | {figures['seconds'] / plain:.1f}x "
                f"| {figures['megabytes']:.0f} |"
            )
            print(rows[-1], flush=True)
    return rows


def population_table() -> list[str]:
    """Rows: member-steps per second of a population against a lone loop."""
    rows = [
        f"| task | torch loop, steps/s | population of {POPULATION}, member-steps/s | ratio | with a hypergradient, "
        "runs' cost a member |",
        "|---|---:|---:|---:|---:|",
    ]
    for task in TASKS:
        lone = STEPS / in_fresh_process(task, "torch loop", 1)["seconds"]
        plain_seconds = in_fresh_process(task, "plain", POPULATION)["seconds"]
        crowd = STEPS * POPULATION / plain_seconds
        reverse = in_fresh_process(task, "reverse, sqrt states", POPULATION)["seconds"]
        rows.append(f"| {task} | {lone:.0f} | {crowd:.0f} | {crowd / lone:.1f}x | {reverse / plain_seconds:.1f}x |")
        print(rows[-1], flush=True)
    return rows


def machine() -> str:
    """What the figures were measured on."""
    import torch

    names = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, one thread, Python {platform.python_version()}, torch {torch.__version__}"


def cpu_lines() -> list[str]:
    """/proc/cpuinfo, where there is one."""
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


def main() -> None:
    """Measure everything, or one thing for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help="measure one kind of run in this process and print JSON")
    parser.add_argument("--task", default="digits")
    parser.add_argument("--members", type=int, default=1)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.task, asked.measure, asked.members, STEPS)))
        return
    print(machine(), flush=True)
    stamp = f"Measured {time.strftime('%Y-%m-%d')} by `make bench` on {machine()}."
    write("engine", [stamp, "", *one_member_table(), "", *population_table()])


if __name__ == "__main__":
    main()
