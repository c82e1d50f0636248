"""Best sizes read off runs agree with the closed form of the law that made the runs."""

import numpy as np
import pytest

from hpo.laws.profiles import profiles
from hpo.laws.published import BESIROGLU as H
from windtunnel.types.laws import SizeProfile

BUDGETS = np.geomspace(1e18, 1e22, 6)
TOTAL = H.alpha + H.beta
G = (H.alpha * H.of_parameters / (H.beta * H.of_tokens)) ** (1 / TOTAL)
EXPONENT = H.beta / TOTAL


def best(compute: float) -> float:
    """N = G (C/6)^(beta/(alpha+beta)) (Hoffmann et al. 2022, equation 4)."""
    return float(G * (compute / 6) ** EXPONENT)


def iso_table(noise: float = 0.0, seed: int = 0, jitter: float = 0.0) -> dict[str, np.ndarray]:
    """Seven sizes about the best one at each of six budgets."""
    generator = np.random.default_rng(seed)
    compute = np.repeat(BUDGETS, 7)
    n = np.array([best(c) for c in compute]) * np.tile(np.geomspace(0.4, 2.5, 7), len(BUDGETS))
    loss = H.floor + H.of_parameters / n**H.alpha + H.of_tokens / (compute / 6 / n) ** H.beta
    return {
        "parameters": n,
        "compute": compute * (1 + jitter * generator.uniform(-1, 1, len(n))),
        "loss": loss * np.exp(noise * generator.standard_normal(len(n))),
    }


def of(table: dict[str, np.ndarray], method: str) -> SizeProfile:
    return next(each for each in profiles(table)[0] if each.method == method)


@pytest.mark.parametrize("jitter", [0.0, 1e-6, 0.01])
def test_iso_flop_profiles_find_the_closed_form(jitter: float) -> None:
    found = of(iso_table(jitter=jitter), "iso_flop")
    assert len(found.points) == len(BUDGETS)
    for point in found.points:
        assert point.parameters == pytest.approx(best(point.compute), rel=0.03)
        assert point.tokens == pytest.approx(point.compute / 6 / point.parameters)
    assert found.exponent == pytest.approx(EXPONENT, abs=0.005)
    assert found.at(1e24) == pytest.approx(best(1e24), rel=0.1)


def test_nine_of_ten_intervals_of_the_profiles_hold_the_closed_form() -> None:
    held = exponents = 0
    for seed in range(60):
        found = of(iso_table(noise=0.001, seed=seed), "iso_flop")
        exponents += found.low <= EXPONENT <= found.high
        held += sum(point.low <= best(point.compute) <= point.high for point in found.points) / len(found.points)
    assert 0.8 <= held / 60 <= 1 and 0.85 <= exponents / 60 <= 1


def test_the_envelope_of_loss_curves_finds_the_closed_form() -> None:
    sizes = np.geomspace(1e7, 1e10, 13)
    n, c = (column.ravel() for column in np.meshgrid(sizes, np.geomspace(1e16, 1e24, 60)))
    loss = H.floor + H.of_parameters / n**H.alpha + H.of_tokens / (c / 6 / n) ** H.beta
    found = of({"parameters": n, "compute": c, "loss": loss}, "envelope")
    assert len(found.points) >= 9
    assert found.exponent == pytest.approx(EXPONENT, abs=0.02)
    for point in found.points:
        assert point.parameters == pytest.approx(best(point.compute), rel=0.15)


def test_tables_without_profiles_say_why() -> None:
    none, reasons = profiles({name: column[:6] for name, column in iso_table().items()})
    assert none == [] and "at least 3 best sizes" in reasons[0]
    assert profiles({"loss": np.ones(3)}) == ([], [])
