"""Estimate of a job: phases, seconds, memory. Imports no torch."""

from collections.abc import Sequence
from math import ceil

from hpo.estimators.facts.registry import facts
from hpo.footprint.budget import LOOKS
from hpo.footprint.memory import (
    at_once,
    plain_bytes,
)
from hpo.footprint.sizes import Sizes
from hpo.sizing.checks import checks_bytes
from hpo.sizing.hypergradients import hypergradient_bytes
from hpo.sizing.peak import members_at_once, peak_bytes, waiting_bytes
from hpo.sizing.seconds import evaluation_seconds, hypergradient_factor, step_seconds
from hpo.sizing.work import Phase, phases
from windtunnel.types.estimates import REFERENCE, Estimate, MachineSpeed, MemoryEstimate, PhaseEstimate
from windtunnel.types.problems import FieldError
from windtunnel.types.spec import JobSpec

STARTUP_SECONDS = 4.0
"""Seconds from the claim of a job to its first inner step: a process starts and loads torch and the data."""


def estimate(
    sizes: Sizes, limit: int, speed: MachineSpeed | None, measured_by: str | None, changes: Sequence[FieldError]
) -> Estimate:
    """Estimated work, seconds and memory of a job.

    Args:
        sizes: sizes of the job.
        limit: memory for populations, bytes.
        speed: speed of the worker that would run the job; None: that of the reference core.
        measured_by: name of the worker whose speed it is.
        changes: changes that would make the job fit; empty if it fits.
    """
    machine = REFERENCE if speed is None else speed
    spec, parts = sizes.spec, phases(sizes, limit)
    run = spec.inner.steps
    storage = facts(spec.method.estimator).storage(at_once(sizes), limit)
    peak = peak_bytes(sizes, limit)
    listed = [
        PhaseEstimate(
            phase=part.name, run_equivalents=part.gradient_evaluations / run, seconds=phase_seconds(sizes, part, machine)
        )
        for part in parts
    ]
    return Estimate(
        task=spec.task,
        estimator=spec.method.estimator,
        checkpointing="-" if storage is None else str(storage.states),
        states_in="-" if storage is None else storage.place,
        file_bytes=facts(spec.method.estimator).file_bytes(at_once(sizes), limit),
        parameters=sizes.parameters,
        hyperparameters=sizes.coordinates,
        phases=listed,
        run_equivalents=sum(part.run_equivalents for part in listed),
        seconds=STARTUP_SECONDS + sum(part.seconds for part in listed),
        memory=MemoryEstimate(
            peak=peak,
            plain=plain_bytes(sizes, members_at_once(sizes)) + waiting_bytes(sizes),
            hypergradient=hypergradient_bytes(at_once(sizes), limit),
            checks=checks_bytes(sizes),
            limit=limit,
            members=members_at_once(sizes),
            fits=peak <= limit,
        ),
        notes=[*notes(spec), *stream_notes(sizes)],
        changes=list(changes),
        speed=machine,
        measured_by=measured_by,
    )


def notes(spec: JobSpec) -> list[str]:
    """Remarks on limits of the estimate: outdated settings, and early stopping, whose gain is unknown beforehand."""
    outdated = [] if spec.method.outdated is None else [spec.method.outdated]
    if not spec.outer.early_stopping:
        return outdated
    if spec.outer.budget is not None:
        return [
            *outdated,
            "outer.early_stopping: how many candidates it will end is not known before; what it saves buys more outer "
            "steps within outer.budget",
        ]
    return [
        *outdated,
        "outer.early_stopping: an upper bound; every candidate is counted to its end, for how many will be ended is not "
        "known before",
    ]


def stream_notes(sizes: Sizes) -> list[str]:
    """Remark on the epochs that one run makes over a stream of tokens, whose windows are drawn at random."""
    spec, stream = sizes.spec, sizes.task.stream
    if stream is None:
        return []
    tokens = spec.tokens_per_step * spec.inner.steps
    return [
        f"one run reads {tokens:,} tokens, {tokens / stream.train:.2g} epochs of the {stream.train:,} in the training part"
    ]


def phase_seconds(sizes: Sizes, phase: Phase, speed: MachineSpeed) -> float:
    """Seconds of a phase: training, hypergradients, and validation losses at the end of runs and for early stopping."""
    spec, together, members = sizes.spec, at_once(sizes).spec.inner.seeds, members_at_once(sizes)
    plain = phase.plain * step_seconds(sizes, speed, members)
    differentiated = phase.differentiated * step_seconds(sizes, speed, together) * hypergradient_factor(spec)
    runs = ceil(phase.plain / spec.inner.steps) if phase.name != "check" else 0
    if spec.outer.early_stopping and phase.name in ("scout", "tune"):
        runs *= 1 + len(LOOKS)
    return plain + differentiated + runs * evaluation_seconds(sizes, speed, members, sizes.task.validation_examples)
