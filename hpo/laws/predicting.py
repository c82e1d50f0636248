"""Evaluates a fitted law at given sizes, with the 90 % interval of its value."""

import math
from collections.abc import Sequence

import numpy as np

from hpo.laws.forms import FORMS, Array, Form
from hpo.laws.intervals import interval
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
    return banded(FORMS[law.law], np.array(law.theta), np.array(law.draws), law.widening, x)


def banded(form: Form, theta: Array, resampled: Array, widening: float, x: Array) -> list[LawPrediction]:
    """Values at centred logarithms x [inputs, points] of the inputs, with 90 % intervals from the resamples."""
    centre = form.value(theta[None], x)[0][0]
    spread = form.value(resampled, x)[0]
    found = []
    for index, value in enumerate(centre):
        low, high = interval(float(value), spread[:, index], widening)
        found.append(LawPrediction(value=math.exp(value), low=_exp(low), high=_exp(high)))
    return found


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
