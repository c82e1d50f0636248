"""Seconds of a plain member-step on a machine of known speed: overhead of calls, arithmetic, memory traffic.

The three terms add up. Numbers of calls and of passes over memory were fitted to measured runs; tests hold the whole to a
factor of two.
"""

from hpo.sizing.counts import footprint, parameters
from hpo.sizing.memory import BYTES, estimator_in_force, held_together
from windtunnel.types.estimates import MachineSpeed
from windtunnel.types.estimators import EstimatorName
from windtunnel.types.model import Family
from windtunnel.types.spec import JobSpec

CALLS: dict[Family, tuple[int, int]] = {"mlp": (80, 15), "resnet": (80, 60), "transformer": (80, 70), "module": (80, 70)}
"""Small operations of a step: of any model, and of each layer or block."""
PASSES = 3
"""A step's products: forward, and two backward."""
EFFICIENCY: dict[Family, float] = {"mlp": 0.6, "resnet": 0.3, "transformer": 0.45, "module": 0.3}
"""Share of the speed of large products that a family's own reach."""
UPDATE_TRAFFIC = 30
"""Times that the parameters pass through memory in an update."""
SAVED_TRAFFIC: dict[Family, int] = {"mlp": 8, "resnet": 14, "transformer": 16, "module": 16}
"""Times that what a forward pass keeps goes through memory."""
COST_FACTOR: dict[EstimatorName, float] = {
    "reverse": 1.3,
    "higher": 2.5,
    "forward": 1.5,
    "truncated": 1.3,
    "greedy": 1.5,
    "implicit": 1.0,
    "stn": 1.1,
    "delta_stn": 1.7,
}
"""Seconds of a gradient evaluation within a hypergradient, over those of a plain one of as many members."""


def step_seconds(spec: JobSpec, speed: MachineSpeed, members: int) -> float:
    """Of one plain member-step, in a population of so many members."""
    arithmetic, moved = _batch_seconds(spec, speed, spec.inner.batch_size)
    update = BYTES * UPDATE_TRAFFIC * parameters(spec) / speed.bytes_per_second
    return _overhead(spec, speed) / held_together(spec, members) + PASSES * arithmetic + moved + update


def evaluation_seconds(spec: JobSpec, speed: MachineSpeed, members: int, examples: int) -> float:
    """Of one member's loss on so many examples, without a gradient, in a population of so many members."""
    arithmetic, moved = _batch_seconds(spec, speed, examples)
    return _overhead(spec, speed) / PASSES / held_together(spec, members) + arithmetic + moved / 2


def _overhead(spec: JobSpec, speed: MachineSpeed) -> float:
    """Seconds of a step of a population that does nothing but call."""
    base, each = CALLS[spec.model.family]
    return (base + each * spec.model.depth) * speed.dispatch_seconds


def _batch_seconds(spec: JobSpec, speed: MachineSpeed, examples: int) -> tuple[float, float]:
    """(arithmetic of one pass, memory traffic of a training pass) of one member's batch."""
    family = spec.model.family
    example = footprint(spec.model, spec.info)
    arithmetic = 2 * example.multiply_adds * examples / (speed.flops_per_second * EFFICIENCY[family])
    return arithmetic, BYTES * SAVED_TRAFFIC[family] * example.saved * examples / speed.bytes_per_second


def hypergradient_factor(spec: JobSpec) -> float:
    """See ``COST_FACTOR``; 1 for estimators that only train."""
    return COST_FACTOR.get(estimator_in_force(spec), 1.0)
