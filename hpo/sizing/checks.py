"""Peak memory of what a job measures at its best point for the transfer, in bytes. Imports no torch."""

from hpo.footprint.measurements import FACTORS, FIT_SEEDS, MOST_AT_ONCE, NOISE_RUNS, ladder
from hpo.footprint.memory import BYTES, plain_bytes, plain_members
from hpo.footprint.sizes import Sizes
from windtunnel.types.checks.transfer import ladder_widths, scaling_steps, scaling_widths

CHECKED = 23
"""Copies of the parameters of the seeds that a coordinate check trains at once: two states and the step between them, the
activations' graph, and of each of a few examples a gradient before and after. Measured from 21 to 25, on three families."""


def checks_bytes(sizes: Sizes) -> int:
    """Peak of all of them."""
    return max(check_parts(sizes).values(), default=0)


def check_parts(sizes: Sizes) -> dict[str, int]:
    """Peak of the coordinate check, the noise scale, the horizons and the ladder: of those that the job has.

    Keys are the fields of the spec that ask for them.
    """
    spec, members, rules = sizes.spec, plain_members(sizes), sizes.spec.transfer
    parts = {}
    if spec.parametrization != "standard":
        parts["/parametrization"] = coordinate_bytes(sizes)
    if rules.noise_scale:
        parts["/transfer/noise_scale"] = plain_bytes(sizes, min(members, NOISE_RUNS))
    if rules.horizons:
        parts["/transfer/horizons"] = plain_bytes(sizes, min(members, len(FACTORS) * FIT_SEEDS))
    if rules.ladder is not None:
        rungs = []
        for width in ladder_widths(spec.model, rules.ladder):
            together = max(1, int(members * min(1.0, (spec.model.width / width) ** 2)))
            rungs.append(plain_bytes(sizes.at_width(width), min(together, len(FACTORS) * rules.ladder.seeds)))
        parts["/transfer/ladder"] = max(rungs)
    if rules.scaling is not None:
        runs = []
        # Of the longest runs: their order of batches is held in memory.
        steps = scaling_steps(spec.inner.steps, rules.scaling)[-1]
        for width in scaling_widths(spec.model, rules.scaling):
            together = max(1, int(members * min(1.0, (spec.model.width / width) ** 2)))
            runs.append(plain_bytes(sizes.at_width(width).with_run(steps=steps), min(together, rules.scaling.seeds)))
        parts["/transfer/scaling"] = max(runs)
    return parts


def coordinate_bytes(sizes: Sizes) -> int:
    """Peak of the coordinate check: at the width where the seeds that train at once have most parameters together."""
    counts, seeds = map(sizes.parameters_at, ladder(sizes)), sizes.family.check.seeds
    return CHECKED * BYTES * max(count * min(seeds, max(1, MOST_AT_ONCE // count)) for count in counts)
