"""``make peers``: compares hypergradients of this project, ``higher``, torchopt and betty.

Each measurement is a fresh process on one thread; the contenders take turns, round after round. Raw numbers go to
benchmarks/results/peers.csv, one row per measurement; delete it to measure again. Writes a part of docs/benchmarks.md.
"""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.peers.contenders import CONTENDERS, REFERENCE
from benchmarks.peers.problem import MODELS, OPTIMIZERS
from benchmarks.stored import Cell, Row, stored

ROUNDS = 3
COLUMNS = [
    "round", "model", "optimizer", "contender", "seconds", "torch_seconds", "megabytes", "loss", "by_rate", "by_l2",
]  # fmt: skip


def in_fresh_process(cell: Cell) -> Iterator[list[object]]:
    """Yield the rest of a row: the output of benchmarks.peers.measure for (round, model, optimizer, contender)."""
    _, model, optimizer, contender = map(str, cell)
    asked = ["--model", model, "--optimizer", optimizer, "--contender", contender]
    command = [sys.executable, "-m", "benchmarks.peers.measure", *asked]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    outcome = found["outcome"]
    slopes = ["" if outcome[name] is None else outcome[name] for name in ("by_rate", "by_l2")]
    yield [found["seconds"], found["torch_seconds"], found["megabytes"], outcome["loss"], *slopes]


def error(row: Row, reference: Row, column: str) -> str:
    """Relative error of a derivative as text, or a note that there is none."""
    if row["contender"] == REFERENCE:
        return "reference"
    if not row[column]:
        return "no" if row["contender"] != "torch loop" else ""
    truth = float(reference[column])
    return f"{abs(float(row[column]) - truth) / abs(truth):.1e}"


def table(rows: list[Row]) -> list[str]:
    """Lines of the table in docs/benchmarks.md: medians over the rounds."""
    lines = [
        "| run of 200 steps | hypergradient by | of the torch loop | peak memory, MB | error, learning rate | error, L2 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for model in MODELS:
        for optimizer in OPTIMIZERS:
            mine = [row for row in rows if (row["model"], row["optimizer"]) == (model, optimizer)]
            reference = next(row for row in mine if row["contender"] == REFERENCE)
            for contender in CONTENDERS:
                found = [row for row in mine if row["contender"] == contender]
                ratio = statistics.median(float(row["seconds"]) / float(row["torch_seconds"]) for row in found)
                memory = statistics.median(float(row["megabytes"]) for row in found)
                errors = [error(found[0], reference, column) for column in ("by_rate", "by_l2")]
                shown = "1.0x" if contender == "torch loop" else f"{ratio:.1f}x"
                lines.append(f"| {model}, {optimizer} | {contender} | {shown} | {memory:.0f} | {errors[0]} | {errors[1]} |")
            check_same_run(mine)
    return lines


def check_same_run(rows: list[Row]) -> None:
    """Check that all contenders differentiated the same run, by their losses.

    Raises:
        ValueError: the losses differ by more than rounding can explain.
    """
    losses = {row["contender"]: float(row["loss"]) for row in rows}
    if not math.isclose(min(losses.values()), max(losses.values()), rel_tol=1e-4):
        raise ValueError(f"the contenders trained different runs; validation losses: {losses}")


def main() -> None:
    """Measure missing cells, then write the table."""
    cells = [
        (number, model, optimizer, contender)
        for number in range(ROUNDS)
        for model in MODELS
        for optimizer in OPTIMIZERS
        for contender in CONTENDERS
    ]
    rows = stored("peers", COLUMNS, cells, in_fresh_process)
    stamp = f"Measured {time.strftime('%Y-%m-%d')} by `make peers` on {machine()}."
    write("peers", [stamp, "", *table(rows)])


if __name__ == "__main__":
    main()
