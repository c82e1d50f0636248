"""LadderCertificate: do the best learning rate and weight decay stand still when the width grows?"""

from typing import Literal

from windtunnel.types.base import Response

Varied = Literal["learning_rate", "weight_decay"]
DriftVerdict = Literal["pass", "inconclusive", "fail"]

MOST_DRIFT = 0.5
"""Doublings of the best value per doubling of the width, either way, that a transfer may live with."""


class LadderRung(Response):
    """One width: losses of runs with the carried values times each factor, and where their minimum lies."""

    width: int
    losses: list[list[float | None]]
    """Validation loss of each factor (rows) with each seed (columns); null where a run diverged."""
    optimum: float | None
    """log2 of the best factor: 0 is the carried value itself. Null where no run survived."""
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
    """fail: beyond ``MOST_DRIFT`` either way, with an interval that excludes 0. pass: the whole interval within. Else
    inconclusive."""

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
    """None: not asked for, or nothing decays."""
    standard: Ladder | None = None
    """The learning rate under the standard parametrization, for comparison; it decides nothing."""
    run_equivalents: float
    """Multiply-adds of all runs over those of one run of the proxy; not part of the tuning's cost."""

    @property
    def verdict(self) -> DriftVerdict:
        """The worse of the two that decide."""
        verdicts = {ladder.verdict for ladder in (self.learning_rate, self.weight_decay) if ladder is not None}
        return next((each for each in ("fail", "inconclusive") if each in verdicts), "pass")


class PredictedPenalty(Response):
    """What the drift on a ladder would cost at the target, if it went on."""

    quantity: Varied
    displacement: float
    """log2 of the best value over the carried one at the target's width, by the drift."""
    share: float
    """Loss there over the best loss there, less 1, by the ladder's curvature."""
    low: float
    high: float
    """By the ends of the drift's interval."""
