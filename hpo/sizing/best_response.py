"""What a best-response run costs in gradient evaluations. Imports no torch."""

from windtunnel.types.estimators import BestResponseName
from windtunnel.types.method import BestResponseSettings
from windtunnel.types.spec import JobSpec

STEP_COST: dict[BestResponseName, int] = {"stn": 2, "delta_stn": 3}
"""Of one update of weights and response. Both products of a responding layer, with W and with W_r, go forward and back:
two gradients. ``delta_stn`` takes the plain gradient of the weights, and the gradient of a loss along a tangent, which is
two."""
LOOK_COST = 2
"""Of one validation step on a batch of the training batch's size: forward and back through both products."""
CONTROL_COST = 2
"""Of the control variate at one update: the derivative of another loss along the same tangent, and its gradient."""
EVALUATION_COST = 1 / 3
"""Of a forward pass without a gradient."""


def best_response_of(spec: JobSpec) -> BestResponseName | None:
    """The best response that a job trains; None where it trains none."""
    match spec.method.estimator:
        case "stn" | "delta_stn" as kind:
            return kind
        case _:
            return spec.method.best_response


def step_cost(kind: BestResponseName, settings: BestResponseSettings) -> int:
    """Gradient evaluations of one update of weights and response."""
    return STEP_COST[kind] + CONTROL_COST * settings.control_variate


def block_cost(spec: JobSpec, begin: int, end: int) -> float:
    """Gradient evaluations of updates ``begin`` to ``end - 1`` of one member, with their validation steps and the look at
    the whole validation split after them."""
    kind, inner, examples = best_response_of(spec), spec.inner, spec.info.validation_examples
    assert kind is not None
    settings = spec.method.best_response_settings
    looks = settings.looks(begin, end, inner.steps)
    look = LOOK_COST * min(1.0, examples / inner.batch_size)
    return (end - begin) * step_cost(kind, settings) + looks * look + EVALUATION_COST * examples / inner.batch_size


def run_cost(spec: JobSpec, blocks: int) -> float:
    """Gradient evaluations of one member's whole run, in so many blocks."""
    inner = spec.inner
    whole = block_cost(spec, 0, inner.steps)
    return whole + (blocks - 1) * EVALUATION_COST * spec.info.validation_examples / inner.batch_size
