"""Work of a job in gradient evaluations, phase by phase. Numbers of the outer loop are checked against its own by tests."""

import math
from dataclasses import dataclass
from typing import Literal

from hpo.mup.ladder import BATCHES, CONTEXT, SEEDS, ladder
from hpo.sizing.counts import coordinates, footprint
from hpo.sizing.memory import estimator_in_force, storage_in_force
from windtunnel.types.spec import JobSpec
from windtunnel.types.tasks import TASKS

PhaseName = Literal["scout", "tune", "finish", "certify", "check"]
SWEEP, SWEEP_FINALISTS, SHORTEST, SHORT_SHARE = 16, 4, 20, 4
"""The scout: learning rates at a short horizon, points at the full one."""
RACERS, RACE_FINALISTS = 6, 2
"""An outer step: candidates on one seed, the best on the others."""
LAST_CANDIDATES = 5
"""Points judged at the end: 2 to 8, by how often the search moved."""
CERTIFIED, CERTIFIED_STEPS, CERTIFYING_RUNS = 2, 20, 32
"""The certificate: short runs in float64 at two points; the runs that finite differences take there, as a rule."""
DOUBLE = 2
"""Time and memory in float64 over float32."""
CHECK_STEPS = 4
"""The coordinate check: a few steps at each width of its ladder."""


@dataclass(frozen=True)
class Phase:
    """A part of the job."""

    name: PhaseName
    plain: float
    """Member-steps of plain training."""
    differentiated: float = 0.0
    """Gradient evaluations of hypergradients; a Hessian-vector product counts as two."""

    @property
    def gradient_evaluations(self) -> float:
        """Both together."""
        return self.plain + self.differentiated


def phases(spec: JobSpec, limit: int) -> list[Phase]:
    """What the job does, in order.

    Args:
        spec: the job.
        limit: memory for populations in bytes; decides what ``checkpointing: auto`` means.
    """
    steps, seeds = spec.inner.steps, spec.inner.seeds
    scout = seeds * steps
    if spec.outer.scout and spec.searches("learning_rate"):
        short = min(steps, max(SHORTEST, -(-steps // SHORT_SHARE)))
        scout = SWEEP * short + SWEEP_FINALISTS * seeds * steps
    racing = (RACERS + RACE_FINALISTS * (seeds - 1)) * steps
    found = [
        Phase("scout", scout),
        Phase("tune", spec.outer.steps * racing, spec.outer.steps * seeds * hypergradient_cost(spec, limit)),
        Phase("finish", min(LAST_CANDIDATES, 2 + spec.outer.steps) * spec.outer.finish_seeds * steps),
    ]
    short = min(steps, CERTIFIED_STEPS)
    found.append(Phase("certify", CERTIFIED * DOUBLE * (CERTIFYING_RUNS + 5) * short))
    if spec.parametrization == "mup":
        found.append(Phase("check", SEEDS[spec.model.family] * CHECK_STEPS * _check_weight(spec)))
    return found


def _check_weight(spec: JobSpec) -> float:
    """Work of one step at every width of the coordinate check, over that of a step of the proxy."""
    task, tokens = TASKS[spec.task], CONTEXT / TASKS[spec.task].features if spec.model.family == "transformer" else 1.0
    own = footprint(spec.model, task).multiply_adds * spec.inner.batch_size
    at = [footprint(spec.model.model_copy(update={"width": width}), task).multiply_adds for width in ladder(spec)]
    return sum(at) * min(1.0, tokens) * BATCHES[spec.model.family] / own


def hypergradient_cost(spec: JobSpec, limit: int) -> float:
    """Gradient evaluations of one member's hypergradient."""
    steps, method, task = spec.inner.steps, spec.method, TASKS[spec.task]
    look = task.validation_examples / spec.inner.batch_size
    cost: float
    match estimator_in_force(spec):
        case "auto" | "reverse":
            cost = replayed(steps, storage_in_force(spec, limit)) + 4 * steps
        case "higher":
            cost = 3 * steps
        case "forward":
            cost = steps * (1 + 2 * (coordinates(spec) if method.samples is None else method.samples))
        case "truncated":
            cost = steps + 3 * min(method.window_steps, steps)
        case "greedy":
            cost = steps * (3 + min(1.0, look))
        case "implicit":
            size = min(1024, task.train_examples) / spec.inner.batch_size
            cost = steps + (1 + 2 * (method.iterations + 1)) * size
        case "es":
            cost = (1 + 2 * method.pairs) * steps
        case "pes":
            windows = math.ceil(steps / method.window_steps)
            cost = (1 + 2 * method.pairs) * steps + 2 * method.pairs * (windows - 1) * look / 3
        case "finite_difference":
            cost = (1 + 2 * coordinates(spec)) * steps
    return cost


def replayed(steps: int, storage: Literal["none", "sqrt"] | int) -> int:
    """Steps that the reverse pass computes a second time."""
    if storage == "none":
        return 0
    segment = math.isqrt(max(steps - 1, 0)) + 1 if storage == "sqrt" else min(storage, steps)
    return 0 if segment == 1 else steps - math.ceil(steps / segment)
