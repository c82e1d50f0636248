"""``python -m benchmarks.gpu``: seconds of plain runs and hypergradients on a GPU, beside a plain torch loop, as JSON rows.

``make gpu`` runs it after the tests that need a GPU. Every cell is repeated and the fastest counts; a time runs until the
device has done the work. ``--device cpu`` tries the command where there is no GPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hpo.devices import at_once, device_of, facts_of
from hpo.estimators.reverse import Reverse
from hpo.study import Study
from hpo.tasks.losses import mean_loss
from windtunnel.types import JobSpec

TASKS = {"digits": (1, 64), "mnist5k": (1, 64), "python-text": (1, 8)}
"""Task -> populations that are measured."""
REPEATS = 3


def fastest(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of some repeats of an action, until the device has done it."""
    found = []
    for _ in range(1 + REPEATS):
        begin = time.perf_counter()
        action()
        if not at_once(device):
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - begin)
    return min(found[1:])


def plain_loop(study: Study, steps: int) -> None:
    """Train one model of the job by torch alone: autograd and torch.optim.AdamW, batch after batch."""
    problem = study.problem
    model: nn.Module = problem.build_module().to(problem.device)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rows = problem.draw([(0, 0)]).batches[0]
    for step in range(steps):
        inputs, labels = problem.examples.take(rows[step])
        loss = mean_loss(problem.task, model(inputs)[None], labels[None]).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def rows_of(task: str, members: int, steps: int, device: torch.device) -> dict[str, Any]:
    """One row: seconds of a plain run, of a hypergradient, and of a plain torch loop of one model."""
    spec = JobSpec.model_validate({"task": task, "inner": {"steps": steps}})
    study = Study(spec, device=str(device))
    problem = study.problem
    draw = problem.draw([(0, member) for member in range(members)])
    points = problem.space.start().expand(members, -1)
    if not at_once(device):
        torch.cuda.reset_peak_memory_stats(device)
    loop = fastest(lambda: plain_loop(study, steps), device)
    plain = fastest(lambda: problem.train(points, draw), device)
    gradient = fastest(lambda: Reverse("sqrt").estimate(problem, points, draw), device)
    return {
        "task": task,
        "members": members,
        "steps": steps,
        "batch": problem.batch_size,
        "parameters": problem.layout.parameters,
        "loop_seconds": loop,
        "plain_seconds": plain,
        "hypergradient_seconds": gradient,
        "member_steps_per_second": members * steps / plain,
        "hypergradient_over_loop": gradient / (members * loop),
        "peak_bytes": None if at_once(device) else torch.cuda.max_memory_allocated(device),
    }


def main() -> int:
    """Measure every cell; print a row each, after one that names the device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="device to measure")
    parser.add_argument("--steps", type=int, default=100, help="updates of a run")
    parser.add_argument("--task", choices=TASKS, action="append", help="measure this task alone; can be repeated")
    asked = parser.parse_args()
    device = device_of(asked.device)
    facts = facts_of(device)
    _say({"device": facts.words, "driver": facts.driver, "build": facts.build})
    for task in asked.task or TASKS:
        for members in TASKS[task]:
            _say(rows_of(task, members, asked.steps, device))
    return 0


def _say(row: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(row)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
