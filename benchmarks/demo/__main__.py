"""``python -m benchmarks.demo``: runs the main job from end to end with the embedded defaults, and writes a report.

It starts the service on SQLite, tunes digits on a width-64 proxy through the client, asks for a plan for width 1024, trains
there with three sets of values (untuned, copied, planned), prints the losses and writes ``demo/report.html``.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.demo.contenders import PLANNED, Outcome, contenders, judge, train
from benchmarks.demo.report import OUTCOME_HEAD, html, outcome_rows
from hpo.tasks import load
from windtunnel import Client, ConnectionFailed, Plan, Result
from windtunnel.types.verdicts import estimate

FOLDER = Path("demo")
USUAL_PORT = 8000
START_SECONDS = 60
SPEC = {
    "name": "demo: digits, width 64 to 1024",
    "task": "digits",
    "model": {"family": "mlp", "width": 64, "depth": 3},
    "optimizer": {"name": "adamw"},
    "inner": {"steps": 100, "batch_size": 64, "seeds": 8},
    "search": [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay", "scope": "role"}],
    "outer": {"steps": 6},
    "target": {"width": 1024, "depth": 3, "steps": 400},
}
SEEDS = range(3)

console = Console(highlight=False)


def free_port() -> int:
    """The usual port if it is free, else any free port."""
    for wanted in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("this machine has no free port on 127.0.0.1")


@contextmanager
def service(data: Path) -> Iterator[Client]:
    """Context with a client of ``windtunnel serve`` on SQLite in that folder."""
    port = free_port()
    log = data.parent / "service.log"
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "windtunnel", "serve", "--port", str(port), "--data-dir", str(data)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WINDTUNNEL_")}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client, process, log)
            yield client
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the service answers; if it does not start, exit with its log."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client.ready()
        except ConnectionFailed:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the service did not come up; its log says:\n{log.read_text()}")


def tune(client: Client) -> tuple[Result, Plan]:
    """Submit the job and follow it; (its result, the plan that it made for its target)."""
    job = client.jobs.create(SPEC)
    console.print(f"job {job.id}, live at {client.base_url}/jobs/{job.id}")
    if console.is_terminal:
        result = job.wait()
    else:
        for step in job.follow():
            if step.loss is not None:
                console.print(
                    f"  outer step {step.outer_step:2d}/{step.outer_steps}  validation loss "
                    f"{estimate(step.loss, step.stderr)}  after {step.run_equivalents:.0f} runs"
                )
        result = job.wait(progress=False)
    console.print(
        f"proxy, width {result.spec.model.width}: best loss {result.verdict}; "
        f"{result.cost.run_equivalents:.0f} proxy runs, {result.cost.wall_seconds:.0f} s"
    )
    (plan_id,) = job.refresh().plans
    return result, client.plans.get(plan_id)


def fly(result: Result, plan: Plan) -> dict[str, Outcome]:
    """Contender -> losses of the target trained with its values, on the same seeds."""
    data = load(plan.task)
    found = contenders(result, plan)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    outcomes = {}
    with Progress(*columns, console=console) as progress:
        for name, contender in found.items():
            bar = progress.add_task(f"width {plan.width}: {name}", total=len(SEEDS) * plan.steps)
            models = [train(contender, data, seed, partial(progress.advance, bar)) for seed in SEEDS]
            outcomes[name] = Outcome(judge(models, data.validation), judge(models, data.test))
    return outcomes


def reading(outcomes: dict[str, Outcome]) -> str:
    """One sentence on the outcome, good or bad."""
    planned = outcomes[PLANNED].test
    parts = []
    for name, other in outcomes.items():
        if name != PLANNED:
            gap = other.test.mean - planned.mean
            error = (other.test.stderr**2 + planned.stderr**2) ** 0.5
            verdict = "better than" if gap > 0 else "worse than"
            sure = "" if abs(gap) > 2 * error else ", within two standard errors of the difference"
            parts.append(f"{abs(gap):.4f} nats {verdict} {name} (± {error:.4f}{sure})")
    return f"Test loss of the plan: {'; '.join(parts)}."


def main() -> None:
    """Run the demonstration."""
    began = time.monotonic()
    # One core is the job process's while it tunes; afterwards the target runs have both.
    torch.set_num_threads(max(1, (os.cpu_count() or 1)))
    FOLDER.mkdir(exist_ok=True)
    with service(FOLDER / "data") as client:
        result, plan = tune(client)
        outcomes = fly(result, plan)
        address = f"{client.base_url}/jobs/{plan.job_id}"
        report = FOLDER / "report.html"
        report.write_text(html(result, result.steps(), plan, outcomes, address, reading(outcomes)))
    table = Table(*OUTCOME_HEAD)
    for row in outcome_rows(outcomes):
        table.add_row(*row)
    console.print(table)
    console.print(reading(outcomes))
    console.print(f"report: {report}")
    console.print("status page: .venv/bin/windtunnel serve --data-dir demo/data, then open", address, soft_wrap=True)
    console.print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
