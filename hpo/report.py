"""Turns the final evaluation into parts of a TuneResult: best point, schedule before and after, provenance."""

import platform
from importlib.metadata import version

import torch
from torch import Tensor

from hpo.devices import facts_of
from hpo.errors import Diverged
from hpo.saving import spec_sha256
from hpo.schedules import multipliers
from hpo.training.evaluation import Judged, loss_estimate, mean_and_stderr
from hpo.training.space import Space
from windtunnel.types import JobSpec, PointEvaluation, Provenance, ScheduleCurve
from windtunnel.types.verdicts import Gain

CURVE_POINTS = 201
PACKAGES = ("windtunnel", "torch", "higher", "numpy", "optuna", "scikit-learn", "mlxtend")


def winner(judged: Judged) -> int:
    """Row of the point with the lowest mean validation loss; a point with a diverged run ranks below all others.

    Raises:
        Diverged: every point has a diverged run.
    """
    means = judged.validation.mean(dim=1)
    best = int(means.argmin())
    if not means[best].isfinite():
        raise Diverged(
            f"each of {len(means)} last candidates diverged on at least one of {judged.validation.shape[1]} fresh seeds",
            "lower the high end of learning_rate in search, add warmup, or clip at a smaller norm",
        )
    return best


def evaluation(space: Space, point: Tensor, judged: Judged, row: int) -> PointEvaluation:
    """Evaluation of one point, as a wire type."""
    assert judged.test is not None and judged.test_accuracy is not None
    return PointEvaluation(
        hyperparameters=space.as_dict(point),
        validation=loss_estimate(judged.validation[row], judged.accuracy[row]),
        test=loss_estimate(judged.test[row], judged.test_accuracy[row]),
    )


def gain(judged: Judged, best: int) -> Gain | None:
    """Fall of the validation loss from the start, which is row 0, to a row, seed by seed.

    None where fewer than two seeds have a finite loss at both: then there is no error to hold the gain against.
    """
    mean, stderr, seeds = mean_and_stderr(judged.validation[0] - judged.validation[best])
    return Gain(mean=mean, stderr=stderr) if seeds > 1 else None


def schedule_curve(spec: JobSpec, space: Space, start: Tensor, best: Tensor) -> ScheduleCurve:
    """Learning-rate multiplier over normalised time, at the start and at the best point."""
    points = torch.stack([start, best])
    shape = space.schedule_shape(space.values(points))
    steps = min(spec.inner.steps, CURVE_POINTS)
    tokens_per_step = spec.tokens_per_step * spec.inner.steps / steps
    curve = multipliers(spec.schedule, steps, shape, points, tokens_per_step)
    times = [(step + 1) / steps for step in range(steps)]
    return ScheduleCurve(times=times, start=curve[:, 0].tolist(), best=curve[:, 1].tolist())


def provenance(spec: JobSpec, data_sha256: str, threads: int, device: torch.device) -> Provenance:
    """Seed, digests, versions, threads and device that reproduce the numbers."""
    versions = {name: version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    return Provenance(
        spec_sha256=spec_sha256(spec),
        data_sha256=data_sha256,
        versions=versions,
        threads=threads,
        seed=spec.seed,
        device=facts_of(device).words,
    )
