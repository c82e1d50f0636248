"""Measures one contender on one problem: its incumbent at every checkpoint, on fresh seeds that are common to all."""

import json
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.anytime.contenders import CONTENDERS, Incumbent, losses_of
from benchmarks.anytime.problems import PROBLEMS
from hpo.study import Study
from hpo.training.evaluation import SeedPath

FRESH_SEEDS = 8
JUDGE = 1_000_003
"""First part of the seed paths of the evaluation, in place of a job's seed: no repeat has it."""
COLUMNS = [
    "repeat", "problem", "contender", "checkpoint", "runs", "seconds", "believed", "loss", "stderr", "point",
]  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """The incumbent at one checkpoint."""

    checkpoint: int
    seconds: float
    """Processor seconds of the search so far, without evaluation: on one thread, the wall-clock time of an idle machine."""
    incumbent: Incumbent


def record(study: Study, contender: str, checkpoints: tuple[int, ...]) -> list[Recorded]:
    """Last incumbent of a contender's run that costs at most each checkpoint."""
    found: list[Recorded] = []
    latest, elapsed, began = Incumbent(0.0, study.space.start(), math.inf), 0.0, time.process_time()
    for incumbent in CONTENDERS[contender](study, checkpoints[-1]):
        while incumbent.cost > checkpoints[len(found)]:
            found.append(Recorded(checkpoints[len(found)], elapsed, latest))
            if len(found) == len(checkpoints):
                return found
        latest, elapsed = incumbent, time.process_time() - began
    return found + [Recorded(checkpoint, elapsed, latest) for checkpoint in checkpoints[len(found) :]]


def fresh(study: Study, point: Tensor) -> tuple[float, float]:
    """(mean, standard error) of the loss of a point on the evaluation seeds; diverged runs count as the ceiling."""
    seeds: list[SeedPath] = [(JUDGE, 0, 0, index) for index in range(FRESH_SEEDS)]
    losses = losses_of(study, point[None], seeds)[0]
    return float(losses.mean()), float(losses.std()) / math.sqrt(FRESH_SEEDS)


def measure(problem: str, contender: str, repeat: int) -> list[list[object]]:
    """Rows of one cell, in the order of ``COLUMNS`` after its first three."""
    torch.set_num_threads(1)
    study = PROBLEMS[problem].study(repeat)
    judged: dict[tuple[float, ...], tuple[float, float]] = {}
    rows: list[list[object]] = []
    for each in record(study, contender, PROBLEMS[problem].checkpoints):
        point = each.incumbent.point
        key = tuple(point.tolist())
        if key not in judged:
            judged[key] = fresh(study, point)
        values = json.dumps(study.space.as_dict(point))
        rows.append(
            [each.checkpoint, each.incumbent.cost, each.seconds, each.incumbent.loss, *judged[key], values]
        )  # fmt: skip
    return rows
