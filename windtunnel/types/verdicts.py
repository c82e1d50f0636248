"""The verdict on a job in numbers and words: pages, lists, the client and the command line all take it from here."""

import math
from typing import Self

from windtunnel.types.base import Response

STANDARD_ERRORS = 2.0
"""A gain is beyond noise where it is more than so many of its own standard errors."""


def number(value: float | None, digits: int = 4) -> str:
    """A value with so many significant digits, as people write it: 0.003, 1.2e-05, 12,345."""
    if value is None:
        return "–"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 1e-4 <= abs(value) < 1e6:
        places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{places}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits}g}"


def estimate(mean: float | None, stderr: float | None = None) -> str:
    """A mean and its standard error, rounded to the error's second digit: 0.1234 ± 0.0021."""
    if mean is None:
        return "–"
    if stderr is None or not math.isfinite(stderr) or stderr <= 0 or not math.isfinite(mean):
        return number(mean)
    places = max(0, 1 - math.floor(math.log10(stderr)))
    if places > 8:
        digits = 0 if mean == 0 else max(0, places + math.floor(math.log10(abs(mean))))
        return f"{mean:.{digits}e} ± {stderr:.1e}"
    return f"{mean:.{places}f} ± {stderr:.{places}f}"


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
    def known(self) -> bool:
        """True where a run at the start ended in a loss to hold the other against."""
        return math.isfinite(self.mean)

    @property
    def words(self) -> str:
        """The verdict: ``no gain beyond noise``, or by how much the loss is lower than at the start."""
        if not self.beyond_noise:
            return "no gain beyond noise"
        if not self.known:
            return "every run diverged at the start"
        return f"lower by {estimate(self.mean, self.stderr)}"

    @property
    def headline(self) -> str:
        """The verdict as a heading: ``There is no gain beyond noise``, or by how much the loss is lower, beyond noise."""
        if not self.beyond_noise:
            return "There is no gain beyond noise"
        if not self.known:
            return "Every run diverged at the start; with the values found, training works"
        return f"The loss is lower by {estimate(self.mean, self.stderr)}, beyond noise"


class ConstantAnswer(Response):
    """Validation loss of answering the same whatever the input, by the labels of the training part."""

    answer: str
    """The answer in words, such as ``the mean of the training targets``."""
    loss: float

    def words_on(self, loss: float) -> str:
        """Verdict on a loss that is no better, which begins with a semicolon; nothing on one that is better."""
        if loss < self.loss:
            return ""
        return f"; no better than always answering {self.answer}, {number(self.loss)}: nothing was learned"
