"""Repeated data: the published law's own statements, its limits, and a fit that gets its constants back."""

import numpy as np
import pytest

from hpo.laws.fit import fit_laws
from hpo.laws.published import BESIROGLU, HOFFMANN
from hpo.laws.repeating import DATA_HALF_LIFE, Repeated, repeated_tokens, worth
from windtunnel.run_tables import read_csv
from windtunnel.types.laws import LawFitRequest

U = np.array([1e9])


def epochs(count: float) -> float:
    """Worth of so many epochs, in epochs of fresh data."""
    return float(worth(count * U, U, DATA_HALF_LIFE)[0] / U[0])


def test_the_worth_of_epochs_is_what_the_paper_says() -> None:
    assert epochs(0.5) == 0.5 and epochs(1) == pytest.approx(1)
    assert epochs(4) > 0.9 * 4  # "up to 4 epochs ... almost as good as new data"
    # After R* repetitions 1 - 1/e of their value is taken, and the next is worth 1/e.
    assert epochs(1 + DATA_HALF_LIFE) == pytest.approx(1 + DATA_HALF_LIFE * (1 - np.exp(-1)))
    step = 1e-4
    slope = (epochs(1 + DATA_HALF_LIFE + step) - epochs(1 + DATA_HALF_LIFE - step)) / (2 * step)
    assert slope == pytest.approx(np.exp(-1), rel=1e-6)
    assert epochs(1e4) == pytest.approx(1 + DATA_HALF_LIFE)


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU])
def test_fresh_data_and_a_model_that_it_feeds_have_hoffmanns_loss(law) -> None:
    repeated = Repeated(law)
    small = repeated.best_parameters(1e9) / 2
    assert repeated.at(small, 1e9, 1e9) == pytest.approx(law.at(small, 1e9), rel=1e-12)
    # The size that is best for the compute of its run with that many fresh tokens: moving along equal compute costs.
    size, tokens = repeated.best_parameters(2e10), 2e10
    best = law.at(size, tokens)
    for factor in (0.9, 1.1):
        assert law.at(size * factor, tokens / factor) > best
    # Repeats help, and less than fresh tokens; more parameters than the data feed are worth less than they are.
    assert law.at(size, 4 * tokens) < repeated.at(size, 4 * tokens, tokens) < best
    assert repeated.at(5 * size, tokens, tokens) > law.at(5 * size, tokens)


def table(repeats: float) -> dict[str, list[float]]:
    """Runs without noise of Hoffmann's law in worth of tokens, ``repeats`` epochs each."""
    n, d = (part.ravel() for part in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6)))
    distinct = d / repeats
    loss = [HOFFMANN.at(size, seen) for size, seen in zip(n, worth(d, distinct, DATA_HALF_LIFE), strict=True)]
    return {"parameters": n.tolist(), "tokens": d.tolist(), "unique_tokens": distinct.tolist(), "loss": loss}


def test_a_fit_of_repeated_runs_gets_the_law_of_fresh_ones_and_says_so() -> None:
    columns = table(20.0)
    columns["tokens"][:6], columns["unique_tokens"][:6] = columns["tokens"][:6], columns["tokens"][:6]
    rows = range(6)
    columns["loss"][:6] = [HOFFMANN.at(columns["parameters"][row], columns["tokens"][row]) for row in rows]
    (law,), _ = fit_laws(LawFitRequest.model_validate({"columns": columns, "laws": ["hoffmann"]}))
    constants = {each.name: each.value for each in law.constants}
    assert constants["alpha"] == pytest.approx(0.34, abs=1e-3) and constants["beta"] == pytest.approx(0.28, abs=1e-3)
    assert constants["E"] == pytest.approx(1.69, abs=5e-3)
    assert any("30 of 36 rows repeat their data, up to 20 epochs" in note for note in law.notes)
    blind = {name: values for name, values in columns.items() if name != "unique_tokens"}
    (unaware,), _ = fit_laws(LawFitRequest.model_validate({"columns": blind, "laws": ["hoffmann"]}))
    assert unaware.residual > 5 * law.residual


def test_nothing_is_said_of_fresh_data_and_a_csv_may_have_the_column() -> None:
    same, said = repeated_tokens(U, 2 * U)
    assert said == "" and same is U
    found, _ = read_csv("N,D,unique_tokens,loss\n1e6,1e9,1e8,3\n2e6,1e9,1e8,2.9\n")
    assert found["unique_tokens"] == [1e8, 1e8]
