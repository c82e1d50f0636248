"""Compare the engine's speed in two checkouts: ``python tools/same_speed.py OLD [NEW]``.

Each cell of ``python -m benchmarks.engine``'s tables (a task and a kind of run) is measured in turns, a fresh process of
one thread for each checkout after the other, and each side counts by its fastest turn: so that other work on the machine
delays both alike. Prints a row a cell, with the ratio NEW / OLD of processor seconds and of peak memory, and the median
ratio. Ends with exit status 1 where the median is above ``--most``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

CELLS = [
    *((task, kind, 1) for task in ("digits", "mnist5k", "python-text") for kind in ("plain", "reverse, every state")),
    *((task, "reverse, sqrt states", 1) for task in ("digits", "mnist5k", "python-text")),
    *((task, "Gauss-Newton, every state", 1) for task in ("digits", "mnist5k", "python-text")),
    ("digits", "higher", 1),
    ("digits", "plain", 32),
    ("digits", "reverse, every state", 32),
    ("mnist5k", "plain", 32),
    ("python-text", "plain", 4),
    ("python-text", "reverse, every state", 4),
]
"""(task, kind of run, members) as ``benchmarks.engine --measure`` takes them."""


def measured(checkout: Path, task: str, kind: str, members: int) -> dict[str, float]:
    """Seconds and peak megabytes of one cell in one checkout, from a fresh process."""
    command = [sys.executable, "-m", "benchmarks.engine", "--measure", kind, "--task", task, "--members", str(members)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(found.stdout)
    return answer


def compared(old: Path, new: Path, cell: tuple[str, str, int], turns: int) -> tuple[float, float]:
    """NEW / OLD of seconds and of peak memory: the fastest and the smallest of so many turns."""
    sides: dict[Path, list[dict[str, float]]] = {old: [], new: []}
    for turn in range(turns):
        # Each goes first as often as the other.
        for checkout in (old, new) if turn % 2 == 0 else (new, old):
            sides[checkout].append(measured(checkout, *cell))
    return (
        min(each["seconds"] for each in sides[new]) / min(each["seconds"] for each in sides[old]),
        min(each["megabytes"] for each in sides[new]) / max(0.1, min(each["megabytes"] for each in sides[old])),
    )


def main() -> int:
    """Compare every cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a checkout of the earlier commit: git worktree add /tmp/old COMMIT")
    parser.add_argument("new", type=Path, nargs="?", default=Path.cwd(), help="the other checkout; by default this folder")
    parser.add_argument("--turns", type=int, default=2, help="processes of each side for each cell")
    parser.add_argument("--most", type=float, default=1.03, help="largest median ratio that counts as the same speed")
    asked = parser.parse_args()
    old, new = asked.old.resolve(), asked.new.resolve()
    if old == new:
        parser.error(f"both are {old}; give two checkouts")
    print("| task | run | members | seconds, new / old | peak memory, new / old |\n|---|---|---:|---:|---:|", flush=True)
    ratios = []
    for cell in CELLS:
        seconds, memory = compared(old, new, cell, asked.turns)
        ratios.append(seconds)
        print(f"| {cell[0]} | {cell[1]} | {cell[2]} | {seconds:.3f} | {memory:.2f} |", flush=True)
    median = statistics.median(ratios)
    print(f"\nmedian of seconds: {median:.3f}; at most {asked.most:g} is allowed")
    return int(median > asked.most)


if __name__ == "__main__":
    sys.exit(main())
