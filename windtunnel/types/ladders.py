"""LadderCertificate: measures whether the best learning rate and weight decay stay the same when the width grows."""

from typing import Literal

from windtunnel.types.base import Response

Varied = Literal["learning_rate", "weight_decay"]
DriftVerdict = Literal["pass", "inconclusive", "fail"]

MOST_DRIFT = 0.5
"""Largest drift that passes: doublings of the best value per doubling of the width, up or down."""


class LadderRung(Response):
    """One width of a ladder: losses of runs with the carried values times each factor, and the best factor."""

    width: int
    losses: list[list[float | None]]
    """Validation loss of each factor (rows) with each seed (columns); null where a run diverged."""
    optimum: float | None
    """log2 of the best factor: 0 is the carried value itself. Null where every run diverged."""
    low: float | None
    high: float | None
    """95 % interval of the optimum by Fieller's theorem; null where the runs leave that end open."""


class Ladder(Response):
    """One quantity over a ladder of widths."""

    quantity: Varied
    parametrization: str
    rungs: list[LadderRung]
    drift: float | None
    """Doublings of the best value per doubling of the width; null where the runs do not tell."""
    low: float | None
    high: float | None
    """95 % interval of the drift, from one fit of all widths, by Fieller's theorem."""
    curvature: float
    """a of ln loss = ln loss* + a (log2 factor - optimum)^2, one for all widths; 0 where no parabola opens upwards."""
    verdict: DriftVerdict
    """fail: the drift is beyond ``MOST_DRIFT``, up or down, and its interval excludes 0. pass: the whole interval is within
    ``MOST_DRIFT``. Otherwise inconclusive."""

    @property
    def sentence(self) -> str:
        """The finding in one line."""
        name = self.quantity.replace("_", " ")
        widths = f"widths {self.rungs[0].width} to {self.rungs[-1].width}, {self.parametrization}"
        if self.drift is None or self.low is None or self.high is None:
            return f"the runs do not tell whether the best {name} moves with the width ({widths})"
        return (
            f"the best {name} moves by {self.drift:+.2f} doublings per doubling of the width "
            f"(95 % interval {self.low:+.2f} to {self.high:+.2f}; {widths})"
        )


class LadderCertificate(Response):
    """Runs of the tuned values at several widths, each at several factors on the learning rate."""

    factors: list[float]
    seeds: int
    steps: int
    learning_rate: Ladder
    weight_decay: Ladder | None = None
    """Ladder of the weight decay; None: not asked for, or nothing decays."""
    standard: Ladder | None = None
    """The learning rate under the standard parametrization, for comparison; it decides nothing."""
    run_equivalents: float
    """Multiply-adds of all runs over those of one run of the proxy; not part of the tuning's cost."""

    @property
    def verdict(self) -> DriftVerdict:
        """Worse verdict of the ladders of learning rate and weight decay."""
        verdicts = {ladder.verdict for ladder in (self.learning_rate, self.weight_decay) if ladder is not None}
        return next((each for each in ("fail", "inconclusive") if each in verdicts), "pass")


class PredictedPenalty(Response):
    """Predicted loss at the target, relative to the best, if the drift on a ladder continued to the target's width."""

    quantity: Varied
    displacement: float
    """log2 of the best value over the carried value at the target's width, extrapolated by the drift."""
    share: float
    """Loss with the carried value over the best loss, minus 1, by the ladder's curvature."""
    low: float
    high: float
    """Shares at the two ends of the drift's interval: ``low`` to ``high``."""
