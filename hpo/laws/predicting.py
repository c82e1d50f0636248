"""Evaluates a fitted law at given sizes, with the 90 % interval of its value."""

import math
from collections.abc import Sequence

import numpy as np

from hpo.laws.forms import FORMS, Array, Form
from hpo.laws.intervals import bands, run_bands
from windtunnel.types.laws import LawPoint, LawPrediction, LawResult


def predict(law: LawResult, at: LawPoint) -> LawPrediction:
    """Value of the law at one point, with its 90 % interval.

    Raises:
        ValueError: the point lacks an input of the law.
    """
    values = [getattr(at, name) for name in law.inputs]
    if None in values:
        raise ValueError(f"{law.law} is asked at {', '.join(law.inputs)}; got {values}")
    return along(law, [[float(value)] for value in values])[0]


def along(law: LawResult, inputs: Sequence[Sequence[float]]) -> list[LawPrediction]:
    """Values of the law at many points, with 90 % intervals; ``inputs`` has one list per input."""
    x = np.log(np.array(inputs)) - np.array(law.centre)[:, None]
    return banded(FORMS[law.law], np.array(law.theta), np.array(law.draws), law.widening, x, np.array(law.scatter))


def banded(
    form: Form, theta: Array, resampled: Array, widening: float, x: Array, scattered: Array | None = None
) -> list[LawPrediction]:
    """Values at centred logarithms x [inputs, points] of the inputs, with 90 % intervals from the resamples.

    With the quantiles ``scattered`` of the runs' residuals also the interval of a single run.
    """
    centre = form.value(theta[None], x)[0][0]
    spread = form.value(resampled, x)[0]
    known = spread[np.isfinite(spread).all(axis=1)]
    if len(known) < len(spread) / 2:
        return [LawPrediction(value=math.exp(value), low=0.0, high=math.inf) for value in centre]
    ends = list(bands(centre, known, widening))
    if scattered is not None and len(scattered):
        ends += run_bands(known, centre, widening, scattered)
    names = ("low", "high", "run_low", "run_high")[: len(ends)]
    return [
        LawPrediction(value=_exp(value), **dict(zip(names, map(_exp, found), strict=True)))
        for value, *found in zip(centre.tolist(), *(each.tolist() for each in ends), strict=True)
    ]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
