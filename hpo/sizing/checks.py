"""Peak memory of what a job measures at its best point for the transfer, in bytes. Imports no torch."""

from math import prod

from hpo.evidence.design import FACTORS, FIT_SEEDS, NOISE_RUNS
from hpo.families.facts.registry import proxy_tensors
from hpo.sizing.coordinate_widths import MOST_AT_ONCE, SEEDS, ladder
from hpo.sizing.memory import BYTES, plain_bytes, plain_members
from windtunnel.types.checks.transfer import ladder_widths, scaling_steps, scaling_widths
from windtunnel.types.spec import JobSpec

CHECKED = 23
"""Copies of the parameters of the seeds that a coordinate check trains at once: two states and the step between them, the
activations' graph, and of each of a few examples a gradient before and after. Measured from 21 to 25, on three families."""


def checks_bytes(spec: JobSpec) -> int:
    """Peak of all of them."""
    return max(check_parts(spec).values(), default=0)


def check_parts(spec: JobSpec) -> dict[str, int]:
    """Peak of the coordinate check, the noise scale, the horizons and the ladder: of those that the job has.

    Keys are the fields of the spec that ask for them.
    """
    members, rules = plain_members(spec), spec.transfer
    parts = {}
    if spec.parametrization != "standard":
        parts["/parametrization"] = coordinate_bytes(spec)
    if rules.noise_scale:
        parts["/transfer/noise_scale"] = plain_bytes(spec, min(members, NOISE_RUNS))
    if rules.horizons:
        parts["/transfer/horizons"] = plain_bytes(spec, min(members, len(FACTORS) * FIT_SEEDS))
    if rules.ladder is not None:
        rungs = []
        for width in ladder_widths(spec.model, rules.ladder):
            together = max(1, int(members * min(1.0, (spec.model.width / width) ** 2)))
            rungs.append(plain_bytes(at_width(spec, width), min(together, len(FACTORS) * rules.ladder.seeds)))
        parts["/transfer/ladder"] = max(rungs)
    if rules.scaling is not None:
        sizes = []
        for width in scaling_widths(spec.model, rules.scaling):
            together = max(1, int(members * min(1.0, (spec.model.width / width) ** 2)))
            sizes.append(plain_bytes(longest(at_width(spec, width)), min(together, rules.scaling.seeds)))
        parts["/transfer/scaling"] = max(sizes)
    return parts


def coordinate_bytes(spec: JobSpec) -> int:
    """Peak of the coordinate check: at the width where the seeds that train at once have most parameters together."""
    sizes = [
        sum(prod(fact.shape) for fact in proxy_tensors(at_width(spec, width).model, spec.info)) for width in ladder(spec)
    ]
    seeds = SEEDS[spec.model.family]
    return CHECKED * BYTES * max(size * min(seeds, max(1, MOST_AT_ONCE // size)) for size in sizes)


def longest(spec: JobSpec) -> JobSpec:
    """The job with the longest runs of its grid: their order of batches is held in memory."""
    assert spec.transfer.scaling is not None
    steps = scaling_steps(spec.inner.steps, spec.transfer.scaling)[-1]
    return spec.model_copy(update={"inner": spec.inner.model_copy(update={"steps": steps})})


def at_width(spec: JobSpec, width: int) -> JobSpec:
    """The job with a proxy of another width."""
    return spec.model_copy(update={"model": spec.model.model_copy(update={"width": width})})
