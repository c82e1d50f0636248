"""What a job gained, in numbers and in words: the same on pages, in lists, in the client and on the command line."""

import math
from typing import Self

from windtunnel.types.base import Response

STANDARD_ERRORS = 2.0
"""A gain is beyond noise where it is more than so many of its own standard errors."""


def estimate(mean: float | None, stderr: float | None = None) -> str:
    """A mean with its standard error as text, to the error's second digit or to four places: ``0.1234 ± 0.0021``."""
    if mean is None:
        return "–"
    known = stderr is not None and math.isfinite(stderr)
    spread = abs(stderr) if stderr is not None and known and stderr else 0.0
    finest = 1 - math.floor(math.log10(spread)) if spread else 4
    places = max(4, finest) if abs(mean) < 1000 else max(0, finest)
    if not math.isfinite(mean) or abs(mean) >= 1e6 or places > 8:
        digits = 4
        if spread and mean and math.isfinite(mean):
            digits = max(2, 2 + math.floor(math.log10(abs(mean))) - math.floor(math.log10(spread)))
        return f"{mean:.{digits}g}" + (f" ± {stderr:.2g}" if known else "")
    return f"{mean:.{places}f}" + (f" ± {stderr:.{places}f}" if known else "")


class Gain(Response):
    """Fall of the validation loss from the start to the tuned point, both judged on the same fresh seeds.

    A gain counts where it is more than twice its own standard error. That error is the one of the difference seed by seed;
    in results of older versions, which do not have it, the root of the sum of the squares of both means' errors.
    """

    mean: float
    """Loss at the start less loss at the tuned point."""
    stderr: float
    """Standard error of ``mean``."""

    @classmethod
    def between(cls, start: tuple[float, float], best: tuple[float, float]) -> Self:
        """The gain between two (mean, standard error) whose seeds are not known one by one."""
        return cls(mean=start[0] - best[0], stderr=math.hypot(start[1], best[1]))

    @property
    def beyond_noise(self) -> bool:
        """True where tuning helped by more than chance would."""
        return self.mean > 0 and self.mean > STANDARD_ERRORS * self.stderr

    @property
    def words(self) -> str:
        """The verdict: ``no gain beyond noise``, or by how much the loss is lower than at the start."""
        if not self.beyond_noise:
            return "no gain beyond noise"
        if not math.isfinite(self.mean):
            return "every run diverged at the start"
        return f"lower than at the start by {estimate(self.mean, self.stderr)}"
