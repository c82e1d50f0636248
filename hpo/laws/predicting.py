"""What a fitted law says at a size, with the 90 % interval of the law's value there."""

import math
from collections.abc import Sequence

import numpy as np

from hpo.laws.forms import FORMS, Array, Form
from hpo.laws.intervals import interval
from windtunnel.types.laws import LawPoint, LawPrediction, LawResult


def predict(law: LawResult, at: LawPoint) -> LawPrediction:
    """The law at one point.

    Raises:
        ValueError: the point lacks an input of the law.
    """
    values = [getattr(at, name) for name in law.inputs]
    if None in values:
        raise ValueError(f"{law.law} is asked at {', '.join(law.inputs)}; got {values}")
    return along(law, [[float(value)] for value in values])[0]


def along(law: LawResult, inputs: Sequence[Sequence[float]]) -> list[LawPrediction]:
    """The law at many points, one list an input."""
    x = np.log(np.array(inputs)) - np.array(law.centre)[:, None]
    return banded(FORMS[law.law], np.array(law.theta), np.array(law.draws), law.widening, x)


def banded(form: Form, theta: Array, resampled: Array, widening: float, x: Array) -> list[LawPrediction]:
    """Predictions at centred logarithms x, [inputs, points]."""
    centre = form.value(theta[None], x)[0][0]
    spread = form.value(resampled, x)[0]
    found = []
    for index, value in enumerate(centre):
        low, high = interval(float(value), spread[:, index], widening)
        found.append(LawPrediction(value=math.exp(value), low=_exp(low), high=_exp(high)))
    return found


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
