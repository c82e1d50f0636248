"""Says what speaks against a fitted law before it is used: scatter, a missed run, and a floor that a run went below."""

from collections.abc import Sequence

from hpo.laws.refusals import LawRefused
from windtunnel.types.laws import LawResult

SCATTER = 0.03
"""Residual from which a warning is given: tuned runs of one recipe scatter by less than one per cent."""
MISS = 0.03
"""Miss of the held-out run from which a warning is given: a tenfold larger model gains about as much."""


def warnings_of(law: LawResult) -> list[str]:
    """Sentences about what speaks against a law; none for one that fits its runs and predicted its largest."""
    found = list(law.overridden)
    if law.residual >= SCATTER:
        found.append(
            f"residual {100 * law.residual:.2g} %: the runs scatter this much about {law.law}, and a few per cent of loss "
            "are a large model's whole gain"
        )
    held = law.held_out
    if held is None:
        if law.held_out_missing:
            found.append(f"nothing tells how far {law.law} predicts: no run was held out, {law.held_out_missing}")
    else:
        told = held.prediction
        # A fit of before runs had a band of their own is judged by the miss alone.
        low, high = told.run_low or 0.0, told.run_high or float("inf")
        if abs(held.miss) >= MISS or not low <= held.actual <= high:
            outside = "" if low <= held.actual <= high else ", outside of the interval of a single run"
            found.append(
                f"held-out miss {100 * held.miss:+.2g} %{outside}: by the smaller runs, {law.law} did not foresee it"
            )
    return found


def broken_floor(law: LawResult) -> str | None:
    """Sentence on a floor above a loss that was seen; None where there is no such floor."""
    floor = next((each.value for each in law.constants if each.kind == "floor"), None)
    seen = lowest_seen(law)
    if floor is None or seen is None or floor <= seen:
        return None
    return f"its floor {floor:.4g} is above the loss {seen:.4g} of one of its own runs, and no run falls below a floor"


def lowest_seen(law: LawResult) -> float | None:
    """Lowest loss among the runs of a law of the loss; None for a law of something else."""
    if law.target != "loss":
        return None
    return law.lowest if law.lowest is not None else min(law.actual, default=None)


def check_floor(law: LawResult) -> None:
    """Refuse to use a law whose floor lies above a loss that was seen.

    Raises:
        LawRefused: it does.
    """
    told = broken_floor(law)
    if told is not None:
        raise LawRefused(
            law.law,
            "floor_above_runs",
            told,
            "leave out runs that were not tuned or not finished, give a wider range, or use a law without a floor",
        )


def disagreements(found: Sequence[tuple[str, str, float, float | None, float | None]]) -> list[str]:
    """Sentences on pairs of laws whose 90 % intervals of one quantity do not meet.

    Args:
        found: (law, quantity, value, low, high) of each; only the same quantity is compared.
    """
    told = []
    for index, (law, what, value, low, high) in enumerate(found):
        for other, of, second, lower, upper in found[index + 1 :]:
            if of != what or None in (low, high, lower, upper):
                continue
            assert low is not None and high is not None and lower is not None and upper is not None
            if low > upper or lower > high:
                told.append(
                    f"{law} and {other} disagree beyond their 90 % intervals on {what}: {value:.3g} ({low:.3g} to "
                    f"{high:.3g}) against {second:.3g} ({lower:.3g} to {upper:.3g}). At least one of the forms is wrong "
                    "for these runs: trust neither before a larger run decides"
                )
    return told
