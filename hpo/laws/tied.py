"""Ties the two exponents of a law of two sizes: alpha = beta, one constant fewer to tell from the noise."""

import numpy as np

from hpo.laws.forms import Array, Constant, Form


class TiedForm(Form):
    """A law of two sizes with one exponent for both; coordinates are those of the law without its second exponent."""

    def __init__(self, form: Form, first: int, second: int) -> None:
        self.form, self.first, self.second = form, first, second
        self.name, self.inputs, self.target = form.name, form.inputs, form.target
        names = form.coordinates
        self.formula = f"{form.formula}, one exponent for both sizes"
        self.coordinates = names[:second] + names[second + 1 :]

    def expanded(self, theta: Array) -> Array:
        """Coordinates of the law with both exponents, the second equal to the first."""
        return np.insert(theta, self.second, theta[..., self.first], axis=-1)

    def value(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """(values, derivatives) of the law; the exponent moves both terms."""
        value, derivative = self.form.value(self.expanded(theta), x)
        tied = np.delete(derivative, self.second, axis=2)
        tied[:, :, self.first] += derivative[:, :, self.second]
        return value, tied

    def starts(self, x: Array, y: Array) -> Array:
        """Starts of the law whose exponents are equal."""
        found = self.form.starts(x, y)
        return np.delete(found[found[:, self.first] == found[:, self.second]], self.second, axis=1)

    def constants(self, theta: Array, centre: Array) -> list[Constant]:
        """Constants of the law; both exponents are the same."""
        return self.form.constants(self.expanded(theta), centre)


def has_two_exponents(form: Form) -> bool:
    """Whether a law has an exponent for each of two sizes."""
    return len(_exponents(form)) == 2


def tied_form(form: Form) -> TiedForm:
    """The law with its two exponents tied.

    Raises:
        ValueError: the law has one exponent.
    """
    places = _exponents(form)
    if len(places) != 2:
        raise ValueError(f"{form.formula} has {len(places)} exponent, and two are tied")
    return TiedForm(form, *places)


def _exponents(form: Form) -> list[int]:
    """Places of the exponents among the coordinates."""
    theta = np.arange(1.0, len(form.coordinates) + 1)[None]
    found = [float(each.values[0]) for each in form.constants(theta, np.zeros(len(form.inputs))) if each.kind == "exponent"]
    return [int(value) - 1 for value in found] if len(form.inputs) == 2 else [0]
