"""The top of a job's page: the verdict in words, the hyperparameters found, the time left, and the request itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from windtunnel.types import Attempt, Job, JobEvent, JobSpec, LossEstimate, OuterStep, TuneResult

LEAST_SHARE = 0.02
"""Share of the job that an attempt must have done before its speed says how long the rest takes."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a job in words, for the top of its page."""

    headline: str
    test: str
    test_at_start: str
    validation: str
    validation_at_start: str
    judged: str
    """Data and seeds behind the numbers, and which of them decides."""


def verdict_of(result: TuneResult) -> Verdict:
    """The verdict of a result; the rule for noise is that of the validation loss, as everywhere."""
    start, best = result.start, result.best
    nothing = result.constant.words_on(best.validation.mean) if result.constant else ""
    return Verdict(
        headline=result.gained.headline + nothing,
        test=best.test.words,
        test_at_start=_told(start.test),
        validation=best.validation.words,
        validation_at_start=_told(start.validation),
        judged=f"Judged on {best.validation.seeds} fresh seeds. The verdict is that of the validation loss; the search "
        "never saw the test data.",
    )


def _told(loss: LossEstimate) -> str:
    return loss.words if math.isfinite(loss.mean) else "no number"


def hyperparameter_rows(
    job: Job, result: TuneResult | None, steps: Sequence[OuterStep]
) -> list[tuple[str, float | None, float | None, float | None]]:
    """(label, start, current, best) of each hyperparameter."""
    start = result.start.hyperparameters if result else steps[0].hyperparameters if steps else {}
    current = job.current.hyperparameters if job.current else {}
    best = result.best.hyperparameters if result else job.best.hyperparameters if job.best else {}
    labels = dict.fromkeys([*start, *current, *best])
    return [(label, start.get(label), current.get(label), best.get(label)) for label in labels]


def seconds_left(job: Job, log: Sequence[JobEvent], attempts: Sequence[Attempt], now: datetime) -> float | None:
    """Seconds that a running job still needs at the speed of its present attempt; None where that is not known.

    Time in the queue, pauses and earlier attempts do not count: what an earlier attempt left is taken from the cost of
    the last outer step before this one began.
    """
    open_attempts = [attempt for attempt in attempts if attempt.ended_at is None]
    done, cost = job.progress.fraction, job.progress.run_equivalents
    if job.state != "running" or not open_attempts or not 0 < done < 1:
        return None
    began = open_attempts[-1].started_at
    before = [event.data["run_equivalents"] for event in log if event.type == "outer_step" and event.at < began]
    inherited = done * min(1.0, before[-1] / cost) if before and cost > 0 else 0.0
    if done - inherited < LEAST_SHARE:
        return None
    return (1 - done) * (now - began).total_seconds() / (done - inherited)


def asked(spec: JobSpec) -> dict[str, Any]:
    """The fields of a spec that differ from their defaults."""
    fields = spec.model_dump(mode="json", exclude_defaults=True)
    if "schedule" in fields:  # its name is each kind's default, and says which kind it is
        fields["schedule"]["name"] = spec.schedule.name
    return fields
