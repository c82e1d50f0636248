"""Fits how the best learning rate depends on the length of the run, by shorter runs at several factors."""

from collections.abc import Mapping
from math import isfinite, log2

import torch

from hpo.evidence.optimum import drift
from hpo.evidence.scaled import ScaledProblem
from hpo.footprint.measurements import FACTORS, FIT_SEEDS
from hpo.seeding import Purpose
from hpo.tasks import TaskData, data_of
from hpo.training.evaluation import SeedPath, judge
from hpo.training.problem import OnStep, silent
from windtunnel.types import JobSpec
from windtunnel.types.translations import HorizonFit


def horizons(steps: int, count: int) -> list[int]:
    """``count`` horizons, each twice the one before, up to the job's own."""
    return [max(2, steps >> halvings) for halvings in reversed(range(count))]


def horizon_steps(steps: int, count: int, seeds: int = FIT_SEEDS) -> int:
    """Member-steps of a fit, for progress bars."""
    return len(FACTORS) * seeds * sum(horizons(steps, count))


def horizon_fit(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    count: int,
    *,
    seeds: int = FIT_SEEDS,
    population: int = 1,
    on_step: OnStep = silent,
    data: TaskData | None = None,
) -> HorizonFit:
    """The exponent h of best learning rate ~ steps^h, fitted at the proxy's own width.

    Every run has the whole schedule, squeezed into its steps; all learning rates are varied together.

    Args:
        spec: the job.
        hyperparameters: label -> tuned value.
        count: horizons, 2 or 3: a half and the whole of the job's steps, and a quarter.
        seeds: runs of each factor, at least 2, the same seeds at every horizon.
        population: members trained as one computation, at most.
        on_step: called with the number of member-steps.
        data: the task; None: it is loaded.

    Raises:
        ValueError: ``count`` is not 2 or 3, the job has fewer than 8 steps, or fewer than two seeds.
    """
    if count not in (2, 3):
        raise ValueError(f"a fit takes 2 or 3 horizons, got {count}")
    if spec.inner.steps < 8 or seeds < 2:
        raise ValueError(f"a fit needs at least 8 steps and two seeds, got {spec.inner.steps} and {seeds}")
    data = data_of(spec) if data is None else data
    paths: list[SeedPath] = [(spec.seed, Purpose.HORIZON, 0, index) for index in range(seeds)]
    points = torch.zeros(len(FACTORS), 2, dtype=torch.float64)
    points[:, 0] = torch.tensor(FACTORS, dtype=torch.float64).log()
    lengths, tables = horizons(spec.inner.steps, count), []
    for length in lengths:
        brief = spec.model_copy(update={"inner": spec.inner.model_copy(update={"steps": length})})
        problem = ScaledProblem(brief, hyperparameters, spec.model.width, data)
        losses: list[list[float]] = judge(problem, points, paths, population, on_step).validation.tolist()
        tables.append(losses)
    found = drift([log2(length) for length in lengths], [log2(factor) for factor in FACTORS], tables)
    known = found is not None and isfinite(found.low) and isfinite(found.high)
    return HorizonFit(
        horizons=lengths,
        factors=list(FACTORS),
        losses=[[[loss if isfinite(loss) else None for loss in row] for row in table] for table in tables],
        exponent=found.slope if found is not None and known else None,
        low=found.low if found is not None and known else None,
        high=found.high if found is not None and known else None,
        run_equivalents=horizon_steps(spec.inner.steps, count, seeds) / spec.inner.steps,
    )
