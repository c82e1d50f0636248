"""Refuses laws that a table of runs does not determine, before or after the fit, and says what to do."""

import numpy as np

from hpo.errors import Refused
from hpo.laws.forms import Array, Form
from hpo.laws.grouping import groups
from windtunnel.types.laws import LawConstant, LawName, LawRefusal, RefusalReason

SPARE_POINTS = 2
"""Least number of rows beyond the number of constants: with fewer, residuals mean nothing."""
DECADE = 10.0


class LawRefused(Refused):
    """The law cannot be fitted to this table; the message says why."""

    def __init__(self, law: LawName, reason: RefusalReason, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.law, self.reason = law, reason

    @property
    def refusal(self) -> LawRefusal:
        """The refusal as a wire type."""
        return LawRefusal(law=self.law, reason=self.reason, message=self.message, hint=self.hint or "")


def check_points(form: Form, values: Array, runs: Array | None = None, *, allow_narrow: bool = False) -> list[str]:
    """Refuse a table with too few rows or runs, or too narrow a range of an input; return what was overridden.

    Args:
        form: the law.
        values: inputs, not logarithms, [inputs, rows].
        runs: label of the run of each row, [rows]; None: each row is a run of its own.
        allow_narrow: fit in spite of a narrow range, and say so.

    Raises:
        LawRefused: too few rows or sizes, or an input spans one decade or less.
    """
    least = len(form.coordinates) + SPARE_POINTS
    if values.shape[1] < least:
        raise LawRefused(
            form.name,
            "too_few_points",
            f"{form.formula} has {len(form.coordinates)} constants, and the table has {values.shape[1]} rows for it",
            f"give at least {least} runs",
        )
    several = least if runs is None else len(np.unique(runs))
    if several <= len(form.coordinates):
        raise LawRefused(
            form.name,
            "too_few_points",
            f"the {values.shape[1]} rows are points of {several} run{'' if several == 1 else 's'}, and {form.formula} has "
            f"{len(form.coordinates)} constants: the points of one run share its luck",
            f"give at least {len(form.coordinates) + 1} runs; leave the column run out if every row is a run of its own",
        )
    overridden = []
    for name, column in zip(form.inputs, values, strict=True):
        sizes = int(groups(column).max()) + 1
        if sizes < 3:
            raise LawRefused(
                form.name,
                "too_few_points",
                f"{name} takes {sizes} value{'' if sizes == 1 else 's'} only",
                f"run at least 3 different {name}",
            )
        span = float(column.max() / column.min())
        # A loss itself never spans a decade; what it spans decides the width of the interval, and so the last check.
        if name != "loss" and span <= DECADE:
            if allow_narrow:
                overridden.append(
                    f"{name} spans a factor {span:.3g} only, and a power law needs more than one decade: fitted all the "
                    "same, as you asked; outside of that range it is a guess"
                )
                continue
            raise LawRefused(
                form.name,
                "too_narrow",
                f"{name} spans a factor {span:.3g}, from {column.min():.4g} to {column.max():.4g}",
                "a power law needs more than one decade; run smaller or larger ones, or fit all the same with allow_narrow",
            )
    return overridden


def check_warmup(law: LawName, steps: Array | None, warmup: Array | None) -> None:
    """Refuse a table with a row that ends within its warmup.

    Raises:
        LawRefused: a row does.
    """
    if steps is None or warmup is None:
        return
    early = np.flatnonzero(steps <= warmup)
    if len(early):
        row = int(early[0])
        raise LawRefused(
            law,
            "in_warmup",
            f"row {row + 1} has {steps[row]:.4g} steps of which {warmup[row]:.4g} are warmup"
            + (f"; so have {len(early) - 1} more" if len(early) > 1 else ""),
            "leave rows out that end within the warmup: their loss is not yet what the law is about",
        )


def check_identified(form: Form, constants: list[LawConstant]) -> None:
    """Refuse a fit whose exponents cannot be told from 0.

    Raises:
        LawRefused: an exponent's interval contains 0 or is infinite.
    """
    for each in constants:
        if each.kind == "exponent" and not (each.low > 0 and np.isfinite(each.high)):
            raise LawRefused(
                form.name,
                "unidentified",
                f"{each.name} is {each.value:.3g}, and its 90 % interval, {each.low:.3g} to {each.high:.3g}, spans 0: "
                "these runs do not say how the loss goes with it",
                "give runs over a wider range, or more seeds of each, so that the trend stands out of the noise",
            )
