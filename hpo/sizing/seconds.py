"""Seconds of a plain member-step on a machine of known speed: overhead of calls, arithmetic, memory traffic.

The three terms add up. Numbers of calls and of passes over memory were fitted to measured runs; tests hold the whole to a
factor of two.
"""

from hpo.estimators.facts.registry import facts
from hpo.footprint.memory import BYTES, held_together
from hpo.footprint.sizes import Sizes
from windtunnel.types.estimates import MachineSpeed
from windtunnel.types.spec import JobSpec

PASSES = 3
"""A step's products: forward, and two backward."""
UPDATE_TRAFFIC = 30
"""Times that the parameters pass through memory in an update."""


def step_seconds(sizes: Sizes, speed: MachineSpeed, members: int) -> float:
    """Of one plain member-step, in a population of so many members."""
    arithmetic, moved = _batch_seconds(sizes, speed, sizes.spec.inner.batch_size)
    update = BYTES * UPDATE_TRAFFIC * sizes.parameters / speed.bytes_per_second
    return _overhead(sizes, speed) / held_together(sizes, members) + PASSES * arithmetic + moved + update


def evaluation_seconds(sizes: Sizes, speed: MachineSpeed, members: int, examples: int) -> float:
    """Of one member's loss on so many examples, without a gradient, in a population of so many members."""
    arithmetic, moved = _batch_seconds(sizes, speed, examples)
    return _overhead(sizes, speed) / PASSES / held_together(sizes, members) + arithmetic + moved / 2


def _overhead(sizes: Sizes, speed: MachineSpeed) -> float:
    """Seconds of a step of a population that does nothing but call."""
    base, each = sizes.family.measured.calls
    return (base + each * sizes.spec.model.depth) * speed.dispatch_seconds


def _batch_seconds(sizes: Sizes, speed: MachineSpeed, examples: int) -> tuple[float, float]:
    """(arithmetic of one pass, memory traffic of a training pass) of one member's batch."""
    measured, example = sizes.family.measured, sizes.footprint
    arithmetic = 2 * example.multiply_adds * examples / (speed.flops_per_second * measured.efficiency)
    return arithmetic, BYTES * measured.traffic * example.saved * examples / speed.bytes_per_second


def hypergradient_factor(spec: JobSpec) -> float:
    """Seconds of a gradient evaluation within a hypergradient, over those of a plain one of as many members."""
    return facts(spec.method.estimator).seconds_factor
