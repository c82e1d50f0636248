"""Chooses the arm of the portfolio that gets the next outer step, by the recent gain of each arm per cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hpo.footprint.budget import EXPLORATION, LEAST_SHARE

PlayedArm = Literal["gradient", "sampler"]

DISCOUNT = 0.7
"""Factor on an arm's earlier gains and costs when a new outer step is booked."""


@dataclass(frozen=True)
class Tally:
    """Discounted gain and cost of an arm."""

    gain: float = 0.0
    """Fall of the incumbent's loss through this arm, nats; older falls are discounted."""
    cost: float = 0.0
    """Cost of this arm in run-equivalents; older costs are discounted."""
    spent: float = 0.0
    """Total cost of this arm in run-equivalents, not discounted."""

    def booking(self, gain: float, cost: float) -> "Tally":
        """A copy with the gain and the cost of one more outer step added."""
        return replace(self, gain=DISCOUNT * self.gain + gain, cost=DISCOUNT * self.cost + cost, spent=self.spent + cost)

    @property
    def rate(self) -> float:
        """Discounted gain per cost, nats per run-equivalent; 0 before the first cost."""
        return self.gain / self.cost if self.cost > 0 else 0.0


def choose(tallies: Mapping[PlayedArm, Tally], spent: float, without_gradient: str | None) -> tuple[PlayedArm, str]:
    """The next arm, and the reason in words.

    Args:
        tallies: tally of each arm.
        spent: run-equivalents of the job so far.
        without_gradient: reason why the gradient arm cannot be chosen now; None: it can.
    """
    if without_gradient is not None:
        return "sampler", without_gradient
    if spent < EXPLORATION:
        return "sampler", f"no gradient before {EXPLORATION:g} run-equivalents"
    gradient, sampler = tallies["gradient"], tallies["sampler"]
    total = gradient.spent + sampler.spent
    if gradient.spent < LEAST_SHARE * total:
        return "gradient", f"below its share of {LEAST_SHARE:.0%} of the cost"
    if sampler.spent < LEAST_SHARE * total:
        return "sampler", f"below its share of {LEAST_SHARE:.0%} of the cost"
    rates = f"gradient {gradient.rate:.2g}, sampler {sampler.rate:.2g} nats a run lately"
    return ("gradient" if gradient.rate >= sampler.rate else "sampler"), rates
