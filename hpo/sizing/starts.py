"""Runs that are differentiated together: the seeds of several starts are one population. Imports no torch."""

from hpo.sizing.memory import plain_members
from windtunnel.types.spec import JobSpec


def starts_at_once(spec: JobSpec) -> int:
    """Starts whose hypergradients are taken as one computation: as many as a plain population holds, at least one."""
    return min(spec.outer.starts, max(1, plain_members(spec) // spec.inner.seeds))


def at_once(spec: JobSpec) -> JobSpec:
    """The same job with one seed for each run that it differentiates at once: what its memory is reckoned from."""
    seeds = spec.inner.seeds * starts_at_once(spec)
    return spec.model_copy(update={"inner": spec.inner.model_copy(update={"seeds": seeds})})
