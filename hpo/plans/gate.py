"""Refuses a transfer if the evidence of the job speaks against it. Imports no torch."""

from hpo.errors import Refused
from hpo.evidence.verdict import FAILS, WORDS
from hpo.mup.tables import vanishing
from hpo.plans.findings import Findings
from windtunnel.types.ladders import MOST_DRIFT
from windtunnel.types.results import CoordinateCheck, CoordinateSlope, Role
from windtunnel.types.spec import Target


def gate(found: Findings, target: Target) -> Refused | None:
    """The refusal of a transfer that must not be made unless forced; None if nothing speaks against it."""
    spec, check = found.spec, found.coordinate_check
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
            "this job has no coordinate check, so nothing shows that its values carry over to another width"
            if found.tuned
            else "these values have no coordinate check, so nothing shows that they carry over to another width",
            f"{'run the job again' if found.tuned else 'carry them where torch is installed, which runs it'}, or ask with "
            "force",
        )
    failed = _failed_check(found, check)
    if failed is not None:
        return failed
    if found.ladder is not None and found.ladder.verdict == "fail":
        ladders = (found.ladder.learning_rate, found.ladder.weight_decay)
        worst_ladder = next(each for each in ladders if each is not None and each.verdict == "fail")
        return Refused(
            f"the ladder failed: {worst_ladder.sentence}; allowed: {MOST_DRIFT} either way",
            "tune a wider proxy, whose optimum is nearer to the target's; ask with force to get the plan all the same",
        )
    return None


def _failed_check(found: Findings, check: CoordinateCheck) -> Refused | None:
    """The refusal for a failed coordinate check; None if it did not fail, or as the parametrization's table lets it."""
    fading = vanishing(found.spec.parametrization, found.spec.optimizer.info)
    if check.unreached:
        return Refused(
            f"the coordinate check failed: {check.reasons[0].removesuffix('.')}",
            "find what keeps the gradient from it: a factor that starts at 0, or units that are never on; ask with force "
            "to get the plan all the same",
        )
    unexplained = _unexplained(found, check, fading)
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


def _unexplained(found: Findings, check: CoordinateCheck, fading: frozenset[Role]) -> list[CoordinateSlope]:
    """Failed exponents of the coordinate check that the parametrization's table does not explain.

    For the roles in ``fading`` the table lets layers change less and less as the width grows. So the updates of their
    tensors may fall, and so may the outputs of these layers and of the layers above. Nothing may grow.
    """
    tensors = {fact.name for fact in found.proxy.tensors if fact.role in fading}

    def asked_for(slope: CoordinateSlope) -> bool:
        return bool(fading) and slope.slope < 0 and (slope.quantity != "update_norm" or slope.module in tensors)

    return [slope for slope in check.slopes if _fails(slope, check.steps) and not asked_for(slope)]


def _fails(slope: CoordinateSlope, last_step: int) -> bool:
    """Whether an exponent takes part in a failed verdict: if it decides, or is a failed change at the last step."""
    decides = slope.decides or (slope.quantity == "change" and slope.step == last_step)
    return decides and slope.verdict == "fail"
