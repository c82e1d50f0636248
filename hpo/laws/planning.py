"""Predicts a planned run's loss from a fit: value, interval, and distance beyond the fitted runs."""

import math

from hpo.laws.predicting import predict
from hpo.laws.published import CriticalBatch
from hpo.laws.trust import broken_floor, check_floor, disagreements, warnings_of
from windtunnel.types.laws import MOST_TO_LEAST, LawFit, LawPoint, LawResult
from windtunnel.types.plans import PredictedLoss, TransferPlan


def predicted_loss(plan: TransferPlan, fit: LawFit) -> PredictedLoss | None:
    """Predicted loss of a planned run, by the law of the fit that uses most of the run's sizes; None without such a law.

    Laws of S_min and C_min are evaluated at the plan's own batch size with the fit's B_crit(L). If the fit has none, a law
    of S_min is skipped, and a law of C_min is evaluated at the plan's compute. The other laws of the loss are evaluated
    beside it, and where they disagree beyond their intervals the prediction says so first.

    Raises:
        LawRefused: the floor of the law that predicts is above a loss that was seen.
    """
    assert plan.non_embedding is not None and plan.compute is not None
    tokens = float(plan.tokens_per_step * plan.steps)
    asked = []
    for name in MOST_TO_LEAST:
        law = fit.law(name)
        if law is None:
            continue
        batch = _critical_batch(fit)
        point = LawPoint(parameters=plan.non_embedding, tokens=tokens, compute_min=plan.compute)
        if batch is not None and {"steps_min", "compute_min"} & set(law.inputs):
            point = _at_own_batch(law, point, batch, float(plan.tokens_per_step), float(plan.steps))
        elif "steps_min" in law.inputs:
            continue
        asked.append((law, point))
    if not asked:
        return None
    law, point = asked[0]
    check_floor(law)
    predictions = [predict(each, at) for each, at in asked]
    told = predictions[0]
    others = [
        (each.law, "this run's loss, nats", found.value, found.low, found.high)
        for (each, _), found in zip(asked, predictions, strict=True)
        # A law of one size is about what nothing else bounds: it may well be lower.
        if len(each.inputs) == len(law.inputs) and broken_floor(each) is None
    ]
    return PredictedLoss(
        fit=fit.id,
        law=law.law,
        value=told.value,
        low=told.low,
        high=told.high,
        run_low=told.run_low,
        run_high=told.run_high,
        beyond=_beyond(law, point),
        residual=law.residual,
        held_out_miss=None if law.held_out is None else law.held_out.miss,
        warnings=[*disagreements(others), *warnings_of(law)],
    )


def _critical_batch(fit: LawFit) -> CriticalBatch | None:
    own = fit.law("critical_batch")
    return None if own is None else CriticalBatch(own.constant("B_star").value, own.constant("alpha_B").value)


def _at_own_batch(law: LawResult, point: LawPoint, batch: CriticalBatch, size: float, steps: float) -> LawPoint:
    """The point with S_min and C_min of the plan's batch size, by bisection: both depend on the loss that they give."""
    low, high = -14.0, 14.0
    found = point
    for _ in range(60):
        middle = (low + high) / 2
        critical = batch.at(math.exp(middle))
        minima = {
            "steps_min": steps / (1 + critical / size),
            "compute_min": (point.compute_min or 0) / (1 + size / critical),
        }
        found = point.model_copy(update=minima)
        above = math.log(predict(law, found).value) > middle
        low, high = (middle, high) if above else (low, middle)
    return found


def _beyond(law: LawResult, point: LawPoint) -> dict[str, float]:
    """Input -> factor by which it exceeds the largest of the fitted runs, for inputs that do."""
    factors = {name: getattr(point, name) / most for name, most in zip(law.inputs, law.largest, strict=True)}
    return {name: factor for name, factor in factors.items() if factor > 1}
