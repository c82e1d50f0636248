"""Jobs side by side: the API's answer, the page without JavaScript, its figures and its tables."""

import csv
import io
import math
import random

import pytest

from service.comparisons.importances import importances
from service.comparisons.service import curve_of, points_of, spec_differences
from tests.service.test_pages import page
from windtunnel.types import TriedPoints
from windtunnel.types.comparisons import Comparison, Points
from windtunnel.types.hyperparameters import coordinate


@pytest.fixture
def two(work):
    return work.succeeded(name="narrow"), work.succeeded(name="wide", model={"width": 128, "depth": 3}, seed=4)


def query(*ids):
    return "&".join(f"job={each}" for each in ids)


def test_two_jobs_side_by_side(client, two):
    answer = client.get(f"/v1/jobs/compare?{query(*two)}")
    assert answer.status_code == 200
    found = Comparison.model_validate(answer.json())
    assert [each.job.id for each in found.items] == list(two) and found.names == ["narrow", "wide"]
    assert {row.name: row.values for row in found.spec} == {
        "model.width": [64, 128],
        "model.depth": [2, 3],
        "seed": [0, 4],
    }
    told = {row.name: row.values for row in found.results}
    assert told["best loss"] == [0.25, 0.25] and told["test loss, standard error"] == [0.01, 0.01]
    assert told["learning_rate.hidden"] == [0.02, 0.02]
    assert found.items[0].curve.cost == [0.0, 4.0] and found.items[0].curve.best == [1.0, 0.5]
    assert not found.items[0].points.complete and found.items[0].points.losses == [1.0, 0.5]
    assert found.items[0].importances is None


def test_another_owners_job_a_missing_one_and_a_wrong_number_are_refused(client, two):
    assert client.get(f"/v1/jobs/compare?{query(two[0], 'job_' + '0' * 26)}").status_code == 404
    for wrong in ("", query("nothing"), query(*[f"job_{index:026d}" for index in range(9)])):
        assert client.get(f"/v1/jobs/compare?{wrong}").status_code == 422
    assert len(client.get(f"/v1/jobs/compare?{query(two[0], two[0])}").json()["items"]) == 1


def test_the_page_reads_without_javascript(client, two):
    found = page(client, f"/compare?{query(*two)}")
    for words in ("narrow", "wide", "best loss 0.250 ± 0.010", "model.width 64 128", "learning_rate.hidden 0.02 0.02"):
        assert words in found.text
    assert "it takes 20 points" in found.text
    boxes = [attrs for tag, attrs in page(client, "/").tags if tag == "input" and attrs.get("name") == "job"]
    assert [box["value"] for box in boxes] == list(reversed(two))
    assert ("form", "/compare") in [(tag, attrs.get("action")) for tag, attrs in page(client, "/").tags]


def test_the_page_says_how_to_choose_where_nothing_is_chosen(client):
    assert "No job is chosen" in page(client, "/compare").text


def test_a_name_is_text_in_page_figure_and_table(client, work):
    wild = work.succeeded(name="=<b>a</b>%{x}")
    answer = client.get(f"/compare?{query(wild)}")
    assert "<b>a</b>" not in answer.text
    figure = client.get(f"/compare/figures/curves.json?{query(wild)}").json()
    assert figure["data"][0]["name"] == "=&lt;b>a&lt;/b>&#37;{x}"
    assert "'=<b>a</b>%{x}" in client.get(f"/compare/results.csv?{query(wild)}").text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_are_drawn_or_left_out(client, work, two, theme):
    for name in ("curves", "points"):
        figure = client.get(f"/compare/figures/{name}.json?{query(*two)}&theme={theme}").json()
        assert {"narrow", "wide"} <= {trace.get("name") for trace in figure["data"]}
    assert client.get(f"/compare/figures/importances.json?{query(*two)}").status_code == 204
    assert client.get(f"/compare/figures/points.json?{query(work.queued())}").status_code == 204
    assert client.get(f"/compare/figures/nothing.json?{query(*two)}").status_code == 404


def test_tables_are_read_back(client, two):
    def rows(name):
        answer = client.get(f"/compare/{name}.csv?{query(*two)}")
        assert answer.headers["content-type"].startswith("text/csv")
        return list(csv.reader(io.StringIO(answer.text)))

    assert rows("spec")[0] == ["name", *two] and ["model.width", "64", "128"] in rows("spec")
    curves = rows("curves")
    assert curves[0] == ["job", "outer step", "cost", "loss", "best loss"] and [two[0], "1", "4.0", "0.5", "0.5"] in curves
    points = rows("points")
    assert len(points) == 5 and float(points[1][points[0].index("learning_rate.input")]) == 0.01
    assert client.get(f"/compare/nothing.csv?{query(*two)}").status_code == 404


def test_the_curve_never_rises_and_begins_where_a_loss_is_known(work):
    losses = [None, 2.0, 3.0, None, 1.0]
    steps = [work.outer_step(number).model_copy(update={"loss": loss}) for number, loss in enumerate(losses)]
    assert curve_of(steps).best == [None, 2.0, 2.0, 2.0, 1.0]


def test_points_are_those_that_the_steps_tried_else_where_they_stand(work):
    labels = work.outer_step(0).hyperparameters
    tried = TriedPoints(hyperparameters={label: [1.0, 2.0] for label in labels}, losses=[0.5, None])
    first, second = work.outer_step(0).model_copy(update={"tried": tried}), work.outer_step(1)
    mixed = points_of([first, second])
    assert mixed.losses == [0.5, None, second.loss] and not mixed.complete
    assert points_of([first]).complete and not points_of([]).complete


def test_the_order_of_a_search_is_no_difference(client, work):
    search = [{"name": "learning_rate", "scope": "global"}, {"name": "weight_decay", "scope": "global"}]
    ids = [work.queued(search=search), work.queued(search=search[::-1]), work.queued(search=search[:1])]
    read = [client.get(f"/v1/jobs/{each}").json() for each in ids]
    jobs = Comparison.model_validate(client.get(f"/v1/jobs/compare?{query(*ids)}").json())
    assert [each["id"] for each in read] == [each.job.id for each in jobs.items]
    assert spec_differences([each.job for each in jobs.items[:2]]) == []
    differ = {row.name: row.values for row in jobs.spec}
    assert differ["search.weight_decay"] == ["yes", "yes", None]


def points(loss, count=60, **ranges) -> Points:
    draw = random.Random(0)
    columns = {label: [draw.uniform(*ends) for _ in range(count)] for label, ends in ranges.items()}
    rows = [{label: column[row] for label, column in columns.items()} for row in range(count)]
    return Points(hyperparameters=columns, losses=[loss(row) for row in rows], complete=True)


def test_the_hyperparameter_that_decides_is_the_important_one():
    ranges = {"learning_rate": (1e-3, 1.0), "beta1": (0.5, 0.99), "dropout": (0.05, 0.5)}
    for name, ends in ranges.items():
        middle = coordinate(name, sum(ends) / 2)
        found = importances(points(lambda row, n=name, m=middle: (coordinate(n, row[n]) - m) ** 2, 200, **ranges))
        assert next(iter(found)) == name and found[name] > 0.6
        assert math.isclose(sum(found.values()), 1.0)


def test_importances_count_points_with_a_loss_only():
    ranges = {"learning_rate": (1e-3, 1.0), "weight_decay": (1e-3, 1.0)}
    whole = points(lambda row: row["learning_rate"], 20, **ranges)
    assert importances(whole) is not None
    assert importances(whole.model_copy(update={"losses": [None, *whole.losses[1:]]})) is None
    still = importances(points(lambda row: row["learning_rate"], 30, learning_rate=(1e-3, 1.0), weight_decay=(0.1, 0.1)))
    assert still == {"learning_rate": 1.0, "weight_decay": 0.0}
