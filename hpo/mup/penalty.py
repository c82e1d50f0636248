"""Judges a drift of the optimum, and predicts its cost in loss at the target. Imports no torch."""

from math import expm1, log, log2

from windtunnel.types.ladders import MOST_DRIFT, DriftVerdict, Ladder, PredictedPenalty


def drift_verdict(drift: float, low: float, high: float) -> DriftVerdict:
    """Verdict on a drift: fail if it is significant and too large, pass if its whole interval is small enough."""
    if abs(drift) > MOST_DRIFT and not low <= 0 <= high:
        return "fail"
    return "pass" if low >= -MOST_DRIFT and high <= MOST_DRIFT else "inconclusive"


def predicted_penalty(ladder: Ladder, proxy: int, target: int) -> PredictedPenalty | None:
    """Share by which the loss at the target exceeds its best, if the drift continues; None without a measured drift.

    The displacement is counted from the proxy's width: an error of the tuned value at the proxy itself is left out.
    """
    if ladder.drift is None or ladder.low is None or ladder.high is None:
        return None
    doublings = log2(target / proxy)

    def share(slope: float) -> float:
        # Bounded, because exp overflows for an absurd drift; a loss of a thousand times the best tells as much.
        return expm1(min(ladder.curvature * (slope * doublings) ** 2, log(1000)))

    ends = sorted(share(end) for end in (ladder.low, ladder.high))
    return PredictedPenalty(
        quantity=ladder.quantity,
        displacement=ladder.drift * doublings,
        share=share(ladder.drift),
        low=0.0 if ladder.low <= 0 <= ladder.high else ends[0],
        high=ends[1],
    )
