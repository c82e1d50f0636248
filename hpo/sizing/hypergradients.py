"""Work and memory of a job's hypergradients and their certificate, by its estimators' facts. Imports no torch."""

from hpo.estimators.facts.registry import facts, response_facts
from hpo.footprint.budget import CERTIFIED_STEPS, CERTIFYING_RUNS
from hpo.footprint.memory import BYTES, DOUBLE, Memory, plain_bytes, plain_members
from hpo.footprint.sizes import Sizes


def hypergradient_cost(sizes: Sizes, limit: int) -> float:
    """Gradient evaluations of one member's hypergradient."""
    return facts(sizes.spec.method.estimator).gradient_evaluations(sizes, limit)


def hypergradient_bytes(sizes: Sizes, limit: int) -> int:
    """Peak of the hypergradient of all seeds, and of the best response that is trained in turns with it."""
    own, response = facts(sizes.spec.method.estimator), sizes.spec.method.best_response
    peak = own.bytes(sizes, limit)
    return peak if own.plain or response is None else max(peak, facts(response).bytes(sizes, limit))


def certificate_bytes(sizes: Sizes) -> int:
    """Peak of the certificate: short runs in float64, and one member's reverse pass through them."""
    method, task = sizes.spec.method, sizes.task
    short = sizes.with_run(steps=min(sizes.spec.inner.steps, CERTIFIED_STEPS))
    data = 0 if task.kind == "language" else BYTES * task.features * (task.train_examples + task.validation_examples)
    responding = 0 if method.response is None else response_facts(method.response).member_bytes(short)
    if method.info.is_best_response:
        return DOUBLE * (data + responding)
    runs = plain_bytes(short, min(plain_members(sizes), CERTIFYING_RUNS))
    return DOUBLE * (data + max(runs, responding, Memory(short).reverse(CERTIFIED_STEPS + 1)))
