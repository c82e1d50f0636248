"""``python -m benchmarks.chaos``: measures how well each adjoint's hypergradient agrees with evolution strategies.

Raw numbers stay in benchmarks/results/, and an interrupted measurement continues; the tables go to docs/benchmarks.md.
``--fresh gradients`` measures the adjoints again, against the stored reference; ``--fresh everything`` also the reference
(an hour and a half of one core). ``--stored`` makes the tables from the stored numbers.
"""

import argparse
import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.chaos import adjoints, reference, rules
from benchmarks.chaos.cases import CASES, SEEDS, STEPS, Case
from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.stored import RESULTS, Row, read

GROUP = 4
"""Number of seeds of a job by default."""
STORED = {
    "nothing": (),
    "gradients": ("chaos-gradients", "chaos-rules"),
    "everything": ("chaos-gradients", "chaos-rules", "chaos-pairs"),
}


def cosine(one: Tensor, other: Tensor) -> float:
    """Cosine of the angle between two gradients."""
    return float(one @ other / (one.norm() * other.norm()))


def accord(gradients: Tensor) -> float:
    """Agreement of seeds on a direction: the mean cosine between two of them."""
    units = gradients / gradients.norm(dim=1, keepdim=True)
    count = len(units)
    return float((units.sum(dim=0).square().sum() - count) / (count * (count - 1)))


def agreed(choices: Sequence[Tensor], truth: Tensor) -> str:
    """Text of ``grouped`` if each group chooses the gradients that its own seeds agree on most, without the reference."""
    groups = [torch.split(choice, GROUP) for choice in choices]
    found = [cosine(max(options, key=accord).mean(dim=0), truth) for options in zip(*groups, strict=True)]
    return f"{sum(found) / len(found):.2f} (lowest {min(found):.2f})"


def ceiling(halves: tuple[Tensor, Tensor]) -> str:
    """Cosine of the true gradient to the whole reference by Spearman and Brown, sqrt(2 r / (1 + r)), as text."""
    found = cosine(*halves)
    return f"{math.sqrt(2 * found / (1 + found)):.2f}" if found > 0 else "none"


def agreement(gradients: Tensor, truth: Tensor) -> str:
    """Cosine of the mean over seeds to the reference, and the ratio of their norms, as text."""
    mean = gradients.mean(dim=0)
    return f"{cosine(mean, truth):.2f} ({ratio(mean, truth)})"


def ratio(one: Tensor, other: Tensor) -> str:
    """Ratio of two norms as text, with as many digits as are meaningful."""
    found = float(one.norm() / other.norm())
    return f"{found:.1f}" if found < 10 else f"{found:.0f}" if found < 1e4 else f"{found:.0e}"


def grouped(gradients: Tensor, truth: Tensor) -> str:
    """Mean and lowest cosine of the means of groups of seeds to the reference, as text."""
    found = [cosine(group.mean(dim=0), truth) for group in gradients.split(GROUP)]  # type: ignore[no-untyped-call]
    return f"{sum(found) / len(found):.2f} (lowest {min(found):.2f})"


def table(case: Case, pairs: list[Row], gradients: list[Row]) -> list[str]:
    """Table rows of one case: the noise of the reference itself, then every adjoint."""
    truth = {rate: reference.smoothed(pairs, case, rate) for rate in case.rates}
    names = {str(row["adjoint"]): None for row in gradients if row["case"] == case.name}
    rows = [
        f"| {case.title} | " + " | ".join(f"rate {rate:g}" for rate in case.rates) + " |",
        "|---|" + "---:|" * len(case.rates),
        "| pairs of the reference (dropped: a run diverged) | "
        + " | ".join(f"{found.pairs} ({found.dropped})" for found in truth.values())
        + " |",
        "| reference, half against half | " + " | ".join(f"{cosine(*found.halves):.2f}" for found in truth.values()) + " |",
        "| so the true gradient would have | " + " | ".join(ceiling(found.halves) for found in truth.values()) + " |",
    ]
    for name in names:
        found = {rate: adjoints.of(gradients, case, rate, name) for rate in case.rates}
        cells = [agreement(mine, truth[rate].gradient) if len(mine) else "" for rate, mine in found.items()]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    for name in ("exact", "bounded", "bounded, tau 0") if "bounded" in names else ():
        found = {rate: adjoints.of(gradients, case, rate, name) for rate in case.rates}
        cells = [grouped(mine, truth[rate].gradient) if len(mine) else "" for rate, mine in found.items()]
        rows.append(f"| {name}, means of {GROUP} seeds | " + " | ".join(cells) + " |")
    budgets = ("bounded", "bounded, tau 0")
    if all(name in names for name in budgets):
        choices = {rate: [adjoints.of(gradients, case, rate, name) for name in budgets] for rate in case.rates}
        cells = [agreed(mine, truth[rate].gradient) if all(map(len, mine)) else "" for rate, mine in choices.items()]
        rows.append(f"| bounded or tau 0, as {GROUP} seeds agree, means of them | " + " | ".join(cells) + " |")
    return rows


def readings(case: Case, gradients: list[Row]) -> list[str]:
    """Table rows of a job's report on the bounded adjoint: share of bounded steps and mean scale, over seeds."""
    rows = []
    for rate in case.rates:
        mine = [
            row for row in gradients if (row["case"], float(row["rate"]), row["adjoint"]) == (case.name, rate, "bounded")
        ]
        if mine:
            share, scale = (sum(float(row[key]) for row in mine) / len(mine) for key in ("bounded_share", "mean_scale"))
            rows.append(f"| {case.title} | {rate:g} | {share:.2f} | {scale:.2f} |")
    return rows


def main() -> None:
    """Measure missing cells, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", choices=STORED, default="nothing", help="what to measure again")
    parser.add_argument("--stored", action="store_true", help="measure nothing; make the tables from the stored numbers")
    asked = parser.parse_args()
    if asked.stored and asked.fresh != "nothing":
        parser.error("--stored measures nothing, so nothing can be --fresh")
    torch.set_num_threads(1)
    for name in STORED[asked.fresh]:
        (RESULTS / f"{name}.csv").unlink(missing_ok=True)
    if asked.stored:
        pairs, gradients, others = (
            read(RESULTS / f"{name}.csv") for name in ("chaos-pairs", "chaos-gradients", "chaos-rules")
        )
    else:
        pairs, gradients, others = reference.measure(), adjoints.measure(), rules.measure()
    lines = [
        f"Measured {time.strftime('%Y-%m-%d')} by `python -m benchmarks.chaos` on {machine()}: {SEEDS} seeds, {STEPS} "
        f"steps, sigma {reference.SIGMA:g}. Cells: cosine to the reference (ratio of norms).",
    ]
    for case in CASES.values():
        lines += ["", *table(case, pairs, gradients)]
    lines += ["", "| the job's chaos reading | rate | share of bounded steps | mean scale |", "|---|---:|---:|---:|"]
    for case in CASES.values():
        lines += readings(case, gradients)
    print("\n".join(lines))
    write("chaos", lines)
    lines = ["Other rules, on the same runs and seeds:"]
    for case in CASES.values():
        lines += ["", *table(case, pairs, others)]
    print("\n".join(lines))
    write("chaos-rules", lines)


if __name__ == "__main__":
    main()
