"""Seconds of a plain member-step on a machine of known speed: overhead of calls, arithmetic, memory traffic.

The three terms are added. Counts of calls and of passes over memory were fitted to measured runs; tests hold the whole to
a factor of two.
"""

from hpo.estimators.facts.registry import facts
from hpo.footprint.memory import BYTES, held_together
from hpo.footprint.sizes import Sizes
from windtunnel.types.estimates import MachineSpeed
from windtunnel.types.spec import JobSpec

PASSES = 3
"""Matrix products of a step for each product of its forward pass: one forward, and two backward."""
UPDATE_TRAFFIC = 30
"""Number of times that an update moves the parameters through memory."""


def step_seconds(sizes: Sizes, speed: MachineSpeed, members: int) -> float:
    """Seconds of a plain member-step in a population of ``members``."""
    arithmetic, moved = _batch_seconds(sizes, speed, sizes.spec.inner.batch_size)
    update = BYTES * UPDATE_TRAFFIC * sizes.parameters / speed.bytes_per_second
    update += 2 * sizes.update_multiply_adds / speed.flops_per_second
    calls = sizes.spec.inner.micro_batches * _overhead(sizes, speed)
    return calls / held_together(sizes, members) + PASSES * arithmetic + moved + update


def evaluation_seconds(sizes: Sizes, speed: MachineSpeed, members: int, examples: int) -> float:
    """Seconds of one member's loss on that number of examples, without a gradient, in a population of ``members``."""
    arithmetic, moved = _batch_seconds(sizes, speed, examples)
    return _overhead(sizes, speed) / PASSES / held_together(sizes, members) + arithmetic + moved / 2


def _overhead(sizes: Sizes, speed: MachineSpeed) -> float:
    """Seconds of calls in one step of a population, without arithmetic and memory traffic."""
    base, each = sizes.family.measured.calls
    return (base + each * sizes.spec.model.depth) * speed.dispatch_seconds


def _batch_seconds(sizes: Sizes, speed: MachineSpeed, examples: int) -> tuple[float, float]:
    """(seconds of arithmetic of one pass, seconds of memory traffic of a training pass) of one member's batch."""
    measured, example = sizes.family.measured, sizes.footprint
    arithmetic = 2 * example.multiply_adds * examples / (speed.flops_per_second * measured.efficiency)
    return arithmetic, BYTES * measured.traffic * example.saved * examples / speed.bytes_per_second


def hypergradient_factor(spec: JobSpec) -> float:
    """Seconds of one gradient evaluation within a hypergradient, over those of one in a plain run of as many members."""
    return facts(spec.method.estimator).seconds_factor
