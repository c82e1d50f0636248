"""Refuses a transfer if the evidence of the job speaks against it. Imports no torch."""

from hpo.errors import Refused
from hpo.evidence.verdict import FAILS, WORDS
from hpo.mup.tables import vanishing
from windtunnel.types.ladders import MOST_DRIFT
from windtunnel.types.results import CoordinateCheck, CoordinateSlope, Role, TuneResult
from windtunnel.types.spec import Target


def gate(result: TuneResult, target: Target) -> Refused | None:
    """The refusal of a transfer that must not be made unless forced; None if nothing speaks against it."""
    spec, check = result.spec, result.coordinate_check
    if target.width == spec.model.width:
        return None
    if spec.parametrization == "standard":
        return Refused(
            f"under the standard parametrization the best values depend on the width: those of width {spec.model.width} "
            f"are not those of width {target.width}",
            "tune with parametrization 'mup', or ask with force to copy the values as they are",
        )
    if check is None:
        return Refused(
            "this job has no coordinate check, so nothing shows that its values carry over to another width",
            "run the job again with the check, or ask with force",
        )
    failed = _failed_check(result, check)
    if failed is not None:
        return failed
    if result.ladder is not None and result.ladder.verdict == "fail":
        ladders = (result.ladder.learning_rate, result.ladder.weight_decay)
        worst_ladder = next(each for each in ladders if each is not None and each.verdict == "fail")
        return Refused(
            f"the ladder failed: {worst_ladder.sentence}; allowed: {MOST_DRIFT} either way",
            "tune a wider proxy, whose optimum is nearer to the target's; ask with force to get the plan all the same",
        )
    return None


def _failed_check(result: TuneResult, check: CoordinateCheck) -> Refused | None:
    """The refusal for a failed coordinate check; None if it did not fail, or as the parametrization's table lets it."""
    fading = vanishing(result.spec.parametrization, result.spec.optimizer.info)
    if check.unreached:
        return Refused(
            f"the coordinate check failed: {check.reasons[0].removesuffix('.')}",
            "find what keeps the gradient from it: a factor that starts at 0, or units that are never on; ask with force "
            "to get the plan all the same",
        )
    unexplained = _unexplained(result, check, fading)
    if check.verdict == "fail" and (unexplained or not fading):
        worst = max(unexplained or check.slopes, key=lambda slope: abs(slope.slope))
        what = (
            f"change of {worst.module}'s outputs"
            if worst.quantity == "change"
            else f"{WORDS[worst.quantity]} of {worst.module}"
        )
        return Refused(
            f"the coordinate check failed: after {check.steps} steps the {what} goes with the width as "
            f"width^{worst.slope:+.2f} (allowed: an exponent up to {FAILS} either way) over widths {check.widths}",
            "look at the slopes in the job's result; ask with force to get the plan all the same",
        )
    return None


def _unexplained(result: TuneResult, check: CoordinateCheck, fading: frozenset[Role]) -> list[CoordinateSlope]:
    """Failed exponents of the coordinate check that the parametrization's table does not explain.

    For the roles in ``fading`` the table lets layers change less and less as the width grows. So the updates of their
    tensors may fall, and so may the outputs of these layers and of the layers above. Nothing may grow.
    """
    tensors = {fact.name for fact in result.proxy.tensors if fact.role in fading}

    def asked_for(slope: CoordinateSlope) -> bool:
        return bool(fading) and slope.slope < 0 and (slope.quantity != "update_norm" or slope.module in tensors)

    return [slope for slope in check.slopes if _fails(slope, check.steps) and not asked_for(slope)]


def _fails(slope: CoordinateSlope, last_step: int) -> bool:
    """Whether an exponent takes part in a failed verdict: if it decides, or is a failed change at the last step."""
    decides = slope.decides or (slope.quantity == "change" and slope.step == last_step)
    return decides and slope.verdict == "fail"
