"""The routes of scaling laws: CSV and JSON in, fits kept and listed, tables that are none refused by row and column."""

import csv
import io
import time

import numpy as np
import pytest

from windtunnel.run_tables import read_csv
from windtunnel.types.scaling import ScalingPoint, ScalingReport

CSV = {"content-type": "text/csv"}
N, D = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 5)))
LOSS = 1.8172 + 482.01 / N**0.3478 + 2085.43 / D**0.3658


def table(**columns: object) -> str:
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


RUNS = table(note=[f"run {row}" for row in range(len(N))], N=N, D=D, loss=LOSS)


def test_a_csv_of_runs_becomes_a_fit_that_is_kept_and_listed(either) -> None:
    answer = either.post("/v1/laws/fits?name=mine&laws=hoffmann&laws=loss_parameters", content=RUNS, headers=CSV)
    assert answer.status_code == 201, answer.text
    fit = answer.json()
    assert answer.headers["location"] == f"/v1/laws/fits/{fit['id']}"
    assert either.get(answer.headers["location"]).json() == fit
    assert (fit["name"], fit["rows"], fit["ignored_columns"]) == ("mine", 30, ["note"])
    assert [law["law"] for law in fit["laws"]] == ["loss_parameters", "hoffmann"]
    constants = {each["name"]: each["value"] for each in fit["laws"][1]["constants"]}
    assert constants["alpha"] == pytest.approx(0.3478, rel=1e-3)
    assert abs(fit["laws"][1]["held_out"]["miss"]) < 1e-3
    (listed,) = either.get("/v1/laws/fits").json()["items"]
    assert (listed["id"], listed["laws"]) == (fit["id"], ["loss_parameters", "hoffmann"])


def test_json_columns_give_the_same_fit_and_pages_go_on(client) -> None:
    columns = {"parameters": N.tolist(), "tokens": D.tolist(), "loss": LOSS.tolist()}
    as_json = client.post("/v1/laws/fits", json={"columns": columns, "laws": ["hoffmann"]}).json()
    as_csv = client.post("/v1/laws/fits?laws=hoffmann", content=RUNS, headers=CSV).json()
    assert as_json["laws"][0]["constants"] == as_csv["laws"][0]["constants"]
    first = client.get("/v1/laws/fits?limit=1").json()
    second = client.get(f"/v1/laws/fits?limit=1&cursor={first['next_cursor']}").json()
    assert [page["items"][0]["id"] for page in (first, second)] == [as_csv["id"], as_json["id"]]
    assert second["next_cursor"] is None


def spelled(delimiter: str, decimal: str, group: str, end: str = "\n") -> str:
    """The same runs with sizes as whole numbers, as another program writes them."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerow(["Model Size", "Training Tokens", "note, or none", "loss"])
    for n, d, loss in zip(N, D, LOSS, strict=True):
        numbers = [f"{each:,.0f}".replace(",", group) for each in (n, d)]
        writer.writerow([*numbers, "a; b, c", f"{loss:.12f}".replace(".", decimal)])
    return file.getvalue()


@pytest.mark.parametrize(
    ("delimiter", "decimal", "group", "end"),
    [
        (";", ".", "", "\n"),
        ("\t", ".", "", "\r\n"),
        ("|", ".", ",", "\n"),
        (";", ",", ".", "\n"),
        (",", ".", ",", "\n"),
        (",", ",", "", "\n"),
        (";", ",", " ", "\r\n\r\n"),
    ],
)
def test_runs_mean_the_same_however_they_are_spelled(delimiter, decimal, group, end) -> None:
    columns, ignored = read_csv("\ufeff" + spelled(delimiter, decimal, group, end))
    assert ignored == ["note, or none"]
    assert columns["parameters"] == [float(f"{n:.0f}") for n in N]
    assert columns["tokens"] == [float(f"{d:.0f}") for d in D]
    assert columns["loss"] == [float(f"{loss:.12f}") for loss in LOSS]


def test_a_column_of_runs_ties_rows_together_and_its_names_may_be_anything(client) -> None:
    names = [f"no. {row % 10}, 1.000" for row in range(len(N))]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["run name", "N", "D", "loss"], *zip(names, N, D, LOSS, strict=True)])
    fit = client.post("/v1/laws/fits?laws=hoffmann", content=text.getvalue(), headers=CSV).json()
    assert fit["columns"] == ["parameters", "tokens", "loss", "run"] and fit["ignored_columns"] == []
    assert "10 runs" in fit["laws"][0]["interval"]
    bare = client.post("/v1/laws/fits?laws=hoffmann", content="run,N,D,loss\n,1,2,3\n", headers=CSV).json()
    assert bare["errors"][0]["pointer"] == "/1/run" and "name the run of every row" in bare["errors"][0]["message"]


@pytest.mark.parametrize("sign", [";", "|", "\t"])
def test_a_line_that_tells_the_separator_is_believed(sign) -> None:
    found, _ = read_csv(f"\ufeffsep={sign}\r\n" + "N,D,loss\r\n1e6,2e8,3.5\r\n".replace(",", sign))
    assert found == {"parameters": [1e6], "tokens": [2e8], "loss": [3.5]}


def test_the_headings_of_a_published_table_of_runs_are_understood() -> None:
    columns, ignored = read_csv("Training FLOP,Model Size,Training Tokens,loss,x\n6e18,1e8,1e10,3.1,9\n")
    assert columns == {"compute": [6e18], "parameters": [1e8], "tokens": [1e10], "loss": [3.1]} and ignored == ["x"]


def test_a_refusal_names_the_headings_that_were_left_aside(client) -> None:
    text = table(N=N, seen=D, loss=LOSS)
    one = client.post("/v1/laws/fits?laws=loss_tokens", content=text, headers=CSV).json()
    assert one["detail"] == "loss_tokens: the table has no column tokens; add a column tokens (left aside: 'seen')"
    none = client.post("/v1/laws/fits", content=table(N=[1, 2], seen=[1, 2], loss=[3, 2]), headers=CSV).json()
    assert none["detail"].endswith("(left aside: 'seen')")


@pytest.mark.parametrize(
    ("text", "pointer", "message"),
    [
        ("N,loss\n50,000,000,3.9\n", "/1", "row 1 has 4 cells, the last of them '3.9', and the table has 2 columns"),
        ("N;loss\n5,000;3\n", "", "column 'N', row 1, has '5,000', which is 5000 where"),
        ("N;loss\n5;3,5\n6;2.5\n", "", "column 'loss', row 2, has '2.5', with a decimal point, and column 'loss', row 1,"),
        ("N,loss\n1_000,3\n", "/1/N", "column 'N', row 1 is '1_000', no number"),
        ("a,b;c,d\np,q;r,s\n", "", "may be separated by comma or semicolon"),
        ("size (N)\tlos\n1\t2\n", "/0", "did you mean 'loss'?; found: 'size (N)', 'los'."),
        (table(N=[1e6, 2e6], loss=["low", 3]), "/1/loss", "column 'loss', row 1 is 'low', no number"),
        (table(N=[1e6, 2e6], loss=[3, "nan"]), "/2/loss", "column 'loss', row 2 is nan"),
        (table(N=[1e6, -2e6], loss=[3, 2]), "/2/N", "column 'N', row 2 is -2e+06"),
        (table(N=[1e6, ""], loss=[3, 2]), "/2/N", "column 'N', row 2 is empty"),
        (table(size=[1, 2], los=[3, 2]), "/0", "no heading is one of parameters, tokens, loss"),
        (table(N=[1e6], parameters=[1e6], loss=[3]), "/0/parameters", "both stand for parameters"),
        ("N,loss\n", "", "headings and no row"),
        ("", "/0", "no heading"),
        ('N,loss\n1,"2\n', "", "this is no CSV"),
    ],
)
def test_a_table_that_is_none_is_refused_by_row_and_column(client, text, pointer, message) -> None:
    answer = client.post("/v1/laws/fits", content=text or "\n", headers=CSV)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert message in error["message"]


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"columns": {"loss": [1, "x"]}}, "/columns/loss/1", "row 2 is 'x', no number"),
        ({"columns": {"tokens": [1, 2], "loss": [1]}}, "/columns/loss", "loss has 1 rows"),
        ({}, "/columns", "neither was given"),
        ({"columns": {"loss": [1.0]}, "jobs": ["job_1"]}, "/columns", "both were given"),
        ({"columns": {"los": [1.0]}}, "/columns/los", "did you mean 'loss'?"),
        ({"jobs": ["job_1"]}, "/jobs/0", "there is no job 'job_1'"),
    ],
)
def test_json_that_is_no_table_is_refused_by_field(client, body, pointer, message) -> None:
    answer = client.post("/v1/laws/fits", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert message in answer.json()["errors"][0]["message"]


def test_a_law_that_the_table_cannot_answer_for_is_a_problem_with_its_reason(client) -> None:
    answer = client.post("/v1/laws/fits?laws=loss_tokens", content=table(N=N, loss=LOSS), headers=CSV)
    assert (answer.status_code, answer.json()["type"]) == (422, "law-refused")
    assert answer.json()["detail"] == "loss_tokens: the table has no column tokens; add a column tokens"
    nothing = client.post("/v1/laws/fits", content=table(N=[1, 2], loss=[3, 2]), headers=CSV).json()
    assert nothing["type"] == "law-refused" and "loss_parameters: " in nothing["detail"]


def test_options_of_a_csv_do_not_go_with_json_and_broken_json_is_named(client) -> None:
    answer = client.post("/v1/laws/fits?name=x", json={"columns": {"loss": [1.0]}})
    assert answer.json()["errors"][0]["pointer"] == "/name"
    broken = client.post("/v1/laws/fits", content="{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["type"]) == (400, "malformed-json")
    half = client.post("/v1/laws/fits?critical_batch_tokens=1e6", content=RUNS, headers=CSV)
    assert half.json()["errors"][0]["pointer"] == "/critical_batch_exponent"


def test_a_hundred_thousand_rows_are_answered_within_five_seconds(client) -> None:
    generator, rows = np.random.default_rng(0), 100_000
    n, d = 10 ** generator.uniform(6, 10, rows), 10 ** generator.uniform(8, 12, rows)
    loss = (1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658) * np.exp(0.02 * generator.standard_normal(rows))
    file = io.StringIO()
    np.savetxt(file, np.stack([n, d, loss], axis=1), fmt="%.8g", delimiter=",", header="N,D,loss", comments="")
    began = time.process_time()
    answer = client.post("/v1/laws/fits", content=file.getvalue(), headers=CSV)
    assert answer.status_code == 201, answer.text
    assert time.process_time() - began < 5
    assert answer.json()["rows"] == rows


def test_csv_goes_nowhere_else_and_other_bodies_stay_small(client) -> None:
    assert client.post("/v1/laws/allocations", content="a", headers=CSV).status_code == 415
    assert client.post("/v1/jobs", content="a", headers=CSV).status_code == 415
    assert client.post("/v1/jobs", json={"name": "x" * (1 << 20)}).status_code == 413
    assert client.post("/v1/laws/fits", content="x" * ((16 << 20) + 1), headers=CSV).status_code == 413


def test_finished_jobs_are_rows_of_one_table(client, work) -> None:
    ids = [work.succeeded(model={"width": width}) for width in (8, 16, 32, 64, 128)]
    answer = client.post("/v1/laws/fits", json={"jobs": ids, "laws": ["loss_parameters"]})
    # All of these have the same loss.
    assert answer.json()["type"] == "law-refused" and "spans 0" in answer.json()["detail"]
    grid = [
        ScalingPoint(width=8, steps=10, parameters=int(n), tokens=int(d), loss=float(loss), stderr=0.0, seeds=2)
        for n, d, loss in zip(N, D, LOSS, strict=True)
    ]
    job_id = work.succeeded(scaling=ScalingReport(points=grid, laws=[], refusals=[], run_equivalents=1.0))
    fit = client.post("/v1/laws/fits", json={"jobs": [job_id], "laws": ["hoffmann"]}).json()
    assert fit["rows"] == len(grid)
    waiting = client.post("/v1/laws/fits", json={"jobs": [*ids, work.queued()]}).json()
    assert waiting["errors"][0]["pointer"] == "/jobs/5" and "has no result" in waiting["errors"][0]["message"]


def test_allocation_of_a_budget_by_both_laws_and_by_a_fit_of_ones_own(client) -> None:
    fit = client.post("/v1/laws/fits?laws=hoffmann", content=RUNS, headers=CSV).json()
    plan = client.post("/v1/laws/allocations", json={"flops": 1e21, "fit": fit["id"]}).json()
    assert [each["law"] for each in plan["allocations"]] == ["Kaplan", "Hoffmann", "yours: hoffmann"]
    assert plan["allocations"][0]["parameters"] > plan["allocations"][1]["parameters"] and plan["why"]
    unknown = client.post("/v1/laws/allocations", json={"flops": 1e21, "fit": "law_1"}).json()
    assert unknown["errors"][0]["pointer"] == "/fit"
    for missing in ("/v1/laws/fits/law_1", "/v1/laws/fits/law_00000000000000000000000000"):
        assert client.get(missing).status_code == 404
    none = client.post("/v1/laws/allocations", json={})
    assert none.json()["errors"][0]["message"] == "no budget was given; give exactly one of flops, seconds, money"


def test_a_floor_above_a_run_is_refused_by_route_page_and_plan(client, work) -> None:
    spoilt = LOSS.copy()
    spoilt[3] = 1.5
    fit = client.post("/v1/laws/fits?laws=hoffmann", content=table(N=N, D=D, loss=spoilt), headers=CSV).json()
    answer = client.post("/v1/laws/allocations", json={"flops": 1e21, "fit": fit["id"]})
    assert (answer.status_code, answer.json()["type"]) == (422, "law-refused")
    assert "its floor" in answer.json()["detail"] and "no run falls below a floor" in answer.json()["detail"]
    page = client.get(f"/laws?flops=1e21&fit={fit['id']}")
    assert page.status_code == 422 and "no run falls below a floor" in page.text
    job_id = work.succeeded()
    wanted = {"width": 64, "steps": 20, "law_fit": fit["id"], "force": True}
    plan = client.post(f"/v1/jobs/{job_id}/plans", json=wanted)
    assert (plan.status_code, plan.json()["type"]) == (422, "law-refused"), plan.text
    good = client.post("/v1/laws/fits?laws=hoffmann&laws=loss_parameters_tokens", content=RUNS, headers=CSV).json()
    far = {**wanted, "width": 65536, "steps": 1_000_000, "law_fit": good["id"]}
    made = client.post(f"/v1/jobs/{job_id}/plans", json=far).json()["predicted_loss"]
    assert made["residual"] == good["laws"][-1]["residual"] and made["held_out_miss"] is not None
    # One of the two forms has no floor: far beyond the runs they part.
    assert made["warnings"][0].startswith("hoffmann and loss_parameters_tokens disagree")
    assert made["run_low"] <= made["low"] <= made["value"] <= made["high"] <= made["run_high"]
