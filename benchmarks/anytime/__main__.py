"""``make anytime``: measures the best point of each tuner over cost. Continues where it stopped.

Each cell (repeat, problem, contender) runs in a process of its own on one torch thread. Its rows go to
benchmarks/results/anytime.csv when it ends; delete rows there to measure again. ``python -m benchmarks.anytime.figure``
shows the results so far.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from benchmarks.anytime.contenders import CONTENDERS
from benchmarks.anytime.measure import COLUMNS, measure
from benchmarks.anytime.problems import PROBLEMS
from benchmarks.stored import RESULTS, append, read

REPEATS = 3
PATH = RESULTS / "anytime.csv"


def missing(problems: list[str], contenders: list[str], repeats: int) -> list[tuple[int, str, str]]:
    """Cells (repeat, problem, contender) that the file lacks: every problem once before any is repeated."""
    known = {(row["repeat"], row["problem"], row["contender"]) for row in read(PATH)}
    cells = [(repeat, name, contender) for repeat in range(repeats) for name in problems for contender in contenders]
    return [cell for cell in cells if (str(cell[0]), *cell[1:]) not in known]


def main() -> None:
    """Measure the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1, help="cells measured at once")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    asked = parser.parse_args()
    cells = missing(asked.problems, asked.contenders, asked.repeats)
    print(f"{len(cells)} cells to measure", flush=True)
    # The samplers' linear algebra reads it when it is first imported, in the processes that this one starts.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.workers, mp_context=context, max_tasks_per_child=1) as pool:
        began = time.perf_counter()
        running = {pool.submit(measure, problem, contender, repeat): (repeat, problem, contender)
                   for repeat, problem, contender in cells}  # fmt: skip
        for done in as_completed(running):
            cell, rows = running[done], done.result()
            append(PATH, COLUMNS, [dict(zip(COLUMNS, map(str, (*cell, *row)), strict=True)) for row in rows])
            last = rows[-1]
            print(f"{time.perf_counter() - began:6.0f} s", *cell, f"search {last[2]:.0f} s, loss {last[4]:.4f}", flush=True)


if __name__ == "__main__":
    main()
