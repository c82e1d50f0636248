"""The Laws page: complete without JavaScript, its figures, and its refusals."""

import html

import numpy as np
import pytest

from hpo.laws.fit import fit_laws
from windtunnel.types.laws import LawColumns, LawFitRequest, as_columns
from windtunnel.types.scaling import ScalingPoint, ScalingReport, table_rows

N, D = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 5)))
LOSS = 1.8172 + 482.01 / N**0.3478 + 2085.43 / D**0.3658
CSV = "N,D,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in zip(N, D, LOSS, strict=True))


@pytest.fixture
def fit(client) -> dict:
    headers = {"content-type": "text/csv"}
    return client.post("/v1/laws/fits?name=%3Cmine%3E", content=CSV, headers=headers).json()


def text(client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    return html.unescape(answer.text)


def test_the_page_spends_a_budget_without_any_fit_and_is_linked_from_everywhere(client) -> None:
    assert '<a href="/laws"' in client.get("/").text
    page = text(client, "/laws")
    assert "Kaplan" in page and "Hoffmann" in page and "Why they differ" in page and "1e+21 FLOPs, as given" in page
    assert "None yet." in page


def test_a_fit_is_listed_and_shown_with_intervals_the_miss_and_what_was_refused(client, fit) -> None:
    assert f'/laws/{fit["id"]}"' in text(client, "/laws")
    assert "<mine>" not in client.get(f"/laws/{fit['id']}").text
    page = text(client, f"/laws/{fit['id']}")
    assert "L = E + A / N^alpha + B / D^beta" in page and "a miss of" in page and "90 % interval" in page
    assert "the table has no column batch_size" in page or "the table has no column steps" in page
    assert "yours: hoffmann</th>" in text(client, f"/laws?flops=1e20&fit={fit['id']}")


def test_every_figure_is_drawn(client, fit) -> None:
    for law in fit["laws"]:
        assert len(client.get(f"/laws/{fit['id']}/figures/{law['law']}.json").json()["data"]) >= 3
    for name in ("frontier", "iso_flops"):
        light, dark = (
            client.get(f"/laws/figures/{name}.json?flops=1e20&fit={fit['id']}&theme={theme}").json()
            for theme in ("light", "dark")
        )
        assert light["data"] == dark["data"] and light["layout"]["font"] != dark["layout"]["font"]
    assert client.get("/laws/figures/nothing.json").status_code == 404
    assert client.get(f"/laws/{fit['id']}/figures/nothing.json").status_code == 404


def test_what_is_wrong_is_told_as_a_page(client) -> None:
    assert "flops_per_second" in text(client, "/laws?flops=&seconds=60", 422)
    text(client, "/laws/law_1", 404)
    assert "no fit 'law_1'" in text(client, "/laws?fit=law_1", 422)


@pytest.fixture(scope="module")
def grid() -> ScalingReport:
    """What a job with ``transfer.scaling`` found, whose runs at one size diverged."""
    runs = zip(np.tile(range(6), 5), N, D, LOSS, strict=True)
    points = [
        ScalingPoint(
            width=8 << at, steps=int(d) // 10**6, parameters=int(n), tokens=int(d), loss=loss, stderr=0.001, seeds=2
        )
        for at, n, d, loss in runs
    ]
    broken = ScalingPoint(width=512, steps=100, parameters=10**10, tokens=10**8, loss=None, stderr=0.0, seeds=0)
    columns = LawColumns.model_validate(as_columns(table_rows(points, 1e6)))
    laws, refusals = fit_laws(LawFitRequest(columns=columns, laws=["hoffmann", "loss_tokens"]), columns)
    _, more = fit_laws(LawFitRequest(columns=LawColumns(parameters=[1e6, 1e7], loss=[2.0, 1.0])))
    return ScalingReport(points=[*points, broken], laws=laws, refusals=[*refusals, *more], run_equivalents=31.25)


def test_a_jobs_grid_is_on_its_page_without_javascript(client, work, grid) -> None:
    job_id = work.succeeded(scaling=grid)
    page = text(client, f"/jobs/{job_id}")
    assert "7 widths" in page and "31.25 runs of the proxy" in page
    for law in grid.laws:
        assert law.formula in page and f"{law.constants[0].value:.4g}"[:4] in page
        assert f"{100 * law.held_out.miss:+.2f} %" in page
    assert "90 % interval" in page and ">diverged</td>" in page and grid.refusals[0].message in page
    assert f"windtunnel laws fit {job_id}" in page
    for law in grid.laws:
        drawn = client.get(f"/jobs/{job_id}/figures/scaling/{law.law}.json").json()
        assert len(drawn["data"]) >= 3
    assert client.get(f"/jobs/{job_id}/figures/scaling/nothing.json").status_code == 404
    assert "<h2>Scaling laws</h2>" not in text(client, f"/jobs/{work.succeeded()}")


def test_a_plan_is_made_by_a_fit_that_its_jobs_page_offers(client, work, grid) -> None:
    job_id = work.succeeded(scaling=grid)
    assert 'name="law_fit"' not in text(client, f"/jobs/{job_id}")
    kept = client.post("/v1/laws/fits", json={"jobs": [job_id], "name": "grid"}).json()
    assert f'<option value="{kept["id"]}">grid</option>' in text(client, f"/jobs/{job_id}")
    plan = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 256, "law_fit": kept["id"], "force": True}).json()
    assert plan["predicted_loss"]["fit"] == kept["id"] and plan["predicted_loss"]["law"] == "hoffmann"


def test_a_jobs_grid_is_kept_and_a_plan_made_by_it_by_forms_alone(client, work, grid) -> None:
    job_id = work.succeeded(scaling=grid)
    kept = client.post("/laws", data={"job": job_id})
    assert kept.status_code == 303
    fit_id = kept.headers["location"].rpartition("/")[2]
    made = client.post(f"/jobs/{job_id}/plans", data={"width": "256", "law_fit": fit_id, "force": "on"})
    plan = client.get(f"/v1/plans/{made.headers['location'].rpartition('/')[2]}").json()
    assert plan["predicted_loss"]["fit"] == fit_id
    wrong = client.post(f"/jobs/{job_id}/plans", data={"width": "4", "law_fit": fit_id})
    assert wrong.status_code == 422 and f'<option value="{fit_id}" selected>' in wrong.text
    assert client.post("/laws", data={"job": work.succeeded()}).status_code == 422
    assert client.post("/laws", data={"job": "nobody"}).status_code == 422
