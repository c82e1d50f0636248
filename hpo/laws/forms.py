"""Laws as functions with derivatives, in logarithms and for many coordinate vectors at once.

A form takes coordinates theta [batch, p] and centred logarithms x [inputs, rows] of the law's inputs, and returns the
logarithm of its prediction, [batch, rows], with the derivative, [batch, rows, p]. Exponents are coordinates themselves,
so that an interval may reach 0 and be refused; scales are coordinates in logarithms.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.types.laws import LawName

Array = NDArray[np.float64]
Kind = Literal["exponent", "scale", "floor"]

EXPONENTS = np.array([0.03, 0.08, 0.15, 0.3, 0.5, 0.8, 1.2])
"""Exponents of the starts, for each input."""
LEAST_SHARE = 1e-3
"""Least share of a start's term in the loss: a term at 0 would have no derivative and stay there."""


@dataclass(frozen=True)
class Constant:
    """A constant in the formula of a law. A scale is held as its logarithm; a floor, which may be 0, is not."""

    name: str
    kind: Kind
    values: Array
    """Values of the constant, [batch]; logarithms for a scale."""


class Form(ABC):
    """A law as a function of coordinates and inputs."""

    name: LawName
    formula: str
    inputs: tuple[str, ...]
    """Columns of the law's inputs, in the order of x."""
    target: str = "loss"
    coordinates: tuple[str, ...]

    @abstractmethod
    def value(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """(log of the prediction [batch, rows], its derivative in theta [batch, rows, p]); NaN for an invalid theta."""

    def expanded(self, theta: Array) -> Array:
        """Coordinates theta [p] or [batch, p] as those of the registered form of this name."""
        return theta

    @abstractmethod
    def starts(self, x: Array, y: Array) -> Array:
        """Coordinates to begin at, [starts, p], for logarithms y [rows] of the target."""

    @abstractmethod
    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """Constants of the formula at theta [batch, p]; ``centre`` [inputs] holds the mean logarithms of the inputs."""


class PowerForm(Form):
    """Power law of one input: log y = c - a x."""

    coordinates = ("c", "a")

    def __init__(self, name: LawName, formula: str, column: str, letter: str) -> None:
        self.name, self.formula, self.inputs, self.letter = name, formula, (column,), letter

    def value(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """(values, derivatives) of the line in x."""
        c, a = theta[:, :1], theta[:, 1:]
        derivative = np.stack([np.ones((len(theta), x.shape[1])), np.broadcast_to(-x[0], (len(theta), x.shape[1]))], axis=2)
        return c - a * x[0], derivative

    def starts(self, x: Array, y: Array) -> Array:
        """The one start of least squares: a line has one optimum."""
        slope = float(x[0] @ (y - y.mean()) / (x[0] @ x[0]))
        return np.array([[y.mean() - slope * x[0].mean(), -slope]])

    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """Exponent and scale of the power law, from c = a (log scale - centre)."""
        c, a = theta.T
        return [
            Constant(f"alpha_{self.letter}", "exponent", a),
            Constant(f"{self.letter}_c", "scale", _ratio(c, a) + centre[0]),
        ]


class CriticalBatchForm(PowerForm):
    """Critical batch size of a loss: log B_crit = log B_star - log L / alpha_B."""

    target = "critical_batch"

    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """alpha_B and B_star: the line's slope is -1 / alpha_B, and its value at log L = 0 is log B_star."""
        c, a = theta.T
        return [Constant("alpha_B", "exponent", _ratio(np.ones_like(a), a)), Constant("B_star", "scale", c + a * centre[0])]


class JointForm(Form):
    """Kaplan's L(N, D): log L = a_D log(exp((k_N - a_N n) / a_D) + exp(k_D / a_D - d)), k = a log(scale) at the centre."""

    name: LawName = "loss_parameters_tokens"
    formula = "L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D"
    inputs = ("parameters", "tokens")
    coordinates = ("k_N", "a_N", "k_D", "a_D")

    def value(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """(values, derivatives); the derivatives are made of the softmax weights of the two terms."""
        k_n, a_n, k_d, a_d = (theta[:, i : i + 1] for i in range(4))
        is_law = a_d > 1e-4
        a_d = np.where(is_law, a_d, 1.0)
        first, second = (k_n - a_n * x[0]) / a_d, k_d / a_d - x[1]
        total = np.logaddexp(first, second)
        share, rest = np.exp(first - total), np.exp(second - total)
        by_a_d = total - share * first - rest * k_d / a_d
        return np.where(is_law, a_d * total, np.nan), np.stack([share, -x[0] * share, rest, by_a_d], axis=2)

    def starts(self, x: Array, y: Array) -> Array:
        """One start per pair of exponents, by least squares: L^(1/a_D) is linear in its two coefficients."""
        found = []
        for a_n in EXPONENTS:
            for a_d in EXPONENTS:
                powered = (y - y.mean()) / a_d
                terms = np.stack([-(a_n / a_d) * x[0], -x[1]])
                first, second = _relative_terms(terms, powered)
                found.append([a_d * first + y.mean(), a_n, a_d * second + y.mean(), a_d])
        return np.array(found)

    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """Exponents and scales of N and D, from k = a (log scale - centre)."""
        k_n, a_n, k_d, a_d = theta.T
        return [
            Constant("alpha_N", "exponent", a_n),
            Constant("N_c", "scale", _ratio(k_n, a_n) + centre[0]),
            Constant("alpha_D", "exponent", a_d),
            Constant("D_c", "scale", _ratio(k_d, a_d) + centre[1]),
        ]


class SumForm(Form):
    """Sum of two power laws, with or without a floor: log L = log(exp(a - alpha x_0) + exp(b - beta x_1) [+ exp(e)])."""

    def __init__(self, name: LawName, formula: str, inputs: tuple[str, str], *, floor: bool) -> None:
        self.name, self.formula, self.inputs, self.floor = name, formula, inputs, floor
        self.coordinates = ("a", "alpha", "b", "beta", "e") if floor else ("a", "alpha", "b", "beta")

    def value(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """(values, derivatives); the derivatives are made of the softmax weights of the terms."""
        first = theta[:, :1] - theta[:, 1:2] * x[0]
        second = theta[:, 2:3] - theta[:, 3:4] * x[1]
        total = np.logaddexp(first, second)
        if self.floor:
            total = np.logaddexp(total, theta[:, 4:5])
        p, q = np.exp(first - total), np.exp(second - total)
        parts = [p, -x[0] * p, q, -x[1] * q]
        if self.floor:
            parts.append(np.exp(theta[:, 4:5] - total))
        return total, np.stack(parts, axis=2)

    def starts(self, x: Array, y: Array) -> Array:
        """One start per pair of exponents, by least squares: the loss is linear in the other coefficients."""
        found = []
        for alpha in EXPONENTS:
            for beta in EXPONENTS:
                rows = [-alpha * x[0], -beta * x[1]]
                terms = np.stack([*rows, np.zeros_like(y)] if self.floor else rows)
                solved = _relative_terms(terms, y)
                found.append([solved[0], alpha, solved[1], beta, *solved[2:]])
        return np.array(found)

    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """Exponents of the terms with their factors and the floor (A, B, E), or with their scales (N_c, S_c)."""
        a, alpha, b, beta = theta.T[:4]
        if self.floor:
            return [
                Constant("E", "floor", np.exp(np.clip(theta[:, 4], -700, 700))),
                Constant("A", "scale", a + alpha * centre[0]),
                Constant("alpha", "exponent", alpha),
                Constant("B", "scale", b + beta * centre[1]),
                Constant("beta", "exponent", beta),
            ]
        return [
            Constant("alpha_N", "exponent", alpha),
            Constant("N_c", "scale", _ratio(a, alpha) + centre[0]),
            Constant("alpha_S", "exponent", beta),
            Constant("S_c", "scale", _ratio(b, beta) + centre[1]),
        ]


class StepsForm(Form):
    """Steps to one loss at batch size B: S = S_min + E_min / B, as log S = log(exp(s) + exp(e - log B))."""

    name: LawName = "critical_batch"
    formula = "S = S_min + E_min / B"
    inputs = ("batch_size",)
    target = "steps"
    coordinates = ("s", "e")

    def value(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """(values, derivatives) of the sum of the two terms."""
        first, second = np.broadcast_arrays(theta[:, :1], theta[:, 1:] - x[0])
        total = np.logaddexp(first, second)
        return total, np.stack([np.exp(first - total), np.exp(second - total)], axis=2)

    def starts(self, x: Array, y: Array) -> Array:
        """The one start of least squares: S is linear in S_min and E_min."""
        return np.array([_relative_terms(np.stack([np.zeros_like(y), -x[0]]), y)])

    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """S_min, E_min and B_crit = E_min / S_min."""
        s, e = theta.T
        return [
            Constant("S_min", "scale", s),
            Constant("E_min", "scale", e + centre[0]),
            Constant("B_crit", "scale", e - s + centre[0]),
        ]


FORMS: Mapping[LawName, Form] = {
    form.name: form
    for form in (
        PowerForm("loss_parameters", "L = (N_c / N)^alpha_N", "parameters", "N"),
        PowerForm("loss_tokens", "L = (D_c / D)^alpha_D", "tokens", "D"),
        JointForm(),
        SumForm(
            "loss_parameters_steps",
            "L = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S",
            ("parameters", "steps_min"),
            floor=False,
        ),
        PowerForm("loss_compute", "L = (C_c / C_min)^alpha_C", "compute_min", "C"),
        CriticalBatchForm("critical_batch", "B_crit = B_star / L^(1 / alpha_B)", "loss", "B"),
        SumForm("hoffmann", "L = E + A / N^alpha + B / D^beta", ("parameters", "tokens"), floor=True),
    )
}


def _ratio(above: Array, below: Array) -> Array:
    """``above / below``; NaN where an exponent ``below`` is 0, as there is no such scale."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below == 0, np.nan, above / np.where(below == 0, 1.0, below)), dtype=np.float64)


def _relative_terms(terms: Array, y: Array) -> list[float]:
    """Logarithms of positive coefficients c with sum_i c_i exp(terms_i) near exp(y), by least squares of the ratio."""
    design = np.exp(np.clip(terms - y, -50, 50)).T
    solved: Any = np.linalg.lstsq(design, np.ones(len(y)), rcond=None)[0]
    shares = np.maximum(solved * design.mean(axis=0), LEAST_SHARE)
    return [float(value) for value in np.log(shares / design.mean(axis=0))]
