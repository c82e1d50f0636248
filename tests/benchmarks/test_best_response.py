"""The best-response benchmark measures what it says: same box, same fresh seeds, costs that the job would book."""

import pytest
import torch

from benchmarks import best_response
from benchmarks.page import PAGE
from benchmarks.stored import RESULTS, read
from hpo.estimators.facts.registry import response_facts
from windtunnel.types import JobSpec

SMALL = {
    "task": "digits",
    "model": {"width": 8, "depth": 1},
    "optimizer": {"learning_rate": 0.01, "weight_decay": 0.0},
    "inner": {"steps": 12, "batch_size": 32, "seeds": 1},
    "search": [{"name": "l2"}, {"name": "dropout"}],
}


def test_the_stored_measurement_is_whole_and_the_page_shows_it() -> None:
    """So ``make bench`` prints the table without measuring anything again."""
    rows = read(RESULTS / "best-response.csv")
    assert {(row["task"], row["method"], int(row["replicate"])) for row in rows} == set(best_response.cells())
    _, _, rest = PAGE.read_text().partition("<!-- best-response: begin -->\n")
    assert rest.partition("\n<!-- best-response: end -->")[0].splitlines() == best_response.table(rows)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_response, "JOBS", {"digits": SMALL})
    monkeypatch.setattr(best_response, "START", {"l2": 1e-3, "dropout": 0.1})
    monkeypatch.setattr(best_response, "POINTS", 3)


@pytest.mark.usefixtures("short")
def test_every_method_gives_the_rows_of_its_title() -> None:
    found = {method: [row[0] for row in best_response.measured(("digits", method, 0))] for method in best_response.METHODS}
    assert {(method, what) for method, whats in found.items() for what in whats} == set(best_response.TITLES)


@pytest.mark.usefixtures("short")
def test_the_contenders_cost_what_is_compared() -> None:
    rows = {method: next(iter(best_response.measured(("digits", method, 0)))) for method in ("delta_stn", "random", "tpe")}
    spec = best_response.problem_of("digits").spec
    cost = response_facts("delta_stn").run_cost(spec, 1)
    assert rows["delta_stn"][3] == round(cost) and rows["random"][3] == 3 * 12
    assert rows["tpe"][3] == round(cost / 12) * 12


@pytest.mark.usefixtures("short")
def test_fresh_seeds_are_nobodys() -> None:
    problem = best_response.problem_of("digits")
    fresh, tried = (
        problem.draw(best_response.seeds(purpose, 1, 1)) for purpose in (best_response.FRESH, best_response.TRIED)
    )
    assert not torch.equal(fresh.noise, tried.noise)


@pytest.mark.usefixtures("short")
def test_no_regularisation_is_none() -> None:
    (row,) = best_response.measured(("digits", "none", 0))
    spec = JobSpec.model_validate({**SMALL, "search": [{"name": "learning_rate"}]})
    assert all(
        spec.start_value(name) is None for name in ("l2", "dropout", "label_smoothing", "input_noise", "augmentation")
    )
    assert row[3] == 0
