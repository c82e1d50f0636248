"""Which arm of the portfolio gets the next outer step, and why: by what each lately gained for its cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hpo.footprint.budget import EXPLORATION, LEAST_SHARE

PlayedArm = Literal["gradient", "sampler"]

DISCOUNT = 0.7
"""Weight of an arm's gains and costs so far when a new one is booked."""


@dataclass(frozen=True)
class Tally:
    """What an arm gained lately, at what cost."""

    gain: float = 0.0
    """Fall of the incumbent's loss, nats, older falls discounted."""
    cost: float = 0.0
    """Run-equivalents, likewise."""
    spent: float = 0.0
    """Run-equivalents in all."""

    def booking(self, gain: float, cost: float) -> "Tally":
        """With one more outer step."""
        return replace(self, gain=DISCOUNT * self.gain + gain, cost=DISCOUNT * self.cost + cost, spent=self.spent + cost)

    @property
    def rate(self) -> float:
        """Nats a run-equivalent."""
        return self.gain / self.cost if self.cost > 0 else 0.0


def choose(tallies: Mapping[PlayedArm, Tally], spent: float, without_gradient: str | None) -> tuple[PlayedArm, str]:
    """The next arm and the reason in words.

    Args:
        tallies: of both arms.
        spent: run-equivalents of the job so far.
        without_gradient: why a gradient is out of the question now; None where it is not.
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
