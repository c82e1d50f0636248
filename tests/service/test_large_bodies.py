"""Bodies that are large but legal are answered soon, with a few mistakes named and the others counted."""

import json
import time
from collections.abc import Callable

import httpx
import pytest

SOON = 3.0
"""Seconds, on a machine that does other things. What took the square of the number of mistakes took minutes."""


def wide(count: int) -> dict[str, int]:
    """An object with so many fields that nobody knows."""
    return {f"field{number}": number for number in range(count)}


BODIES: dict[str, tuple[str, object, int]] = {
    "fields": ("/v1/jobs", {"task": "digits", **wide(40_000)}, 40_000),
    "fields of a part": ("/v1/jobs", {"task": "digits", "model": wide(40_000)}, 40_000),
    "a few hundred fields of each item": ("/v1/jobs", {"task": "digits", "search": [wide(300)] * 32}, 32 * 300),
    "fields below the limit": ("/v1/jobs", {"task": "digits", **wide(90)}, 90),
    "starts": ("/v1/jobs", {"task": "digits", "initial": dict.fromkeys(map(str, range(9000)), "x")}, 9000),
    "items": ("/v1/jobs", {"task": "digits", "search": [{"name": "x"}] * 60_000}, 1),
    "lines of a schedule": (
        "/v1/jobs",
        {"task": "digits", "regularization": {"schedule": {f"l2.{number}": [0.1, 0.1] for number in range(20_000)}}},
        1,
    ),
    "fields of a key": ("/v1/keys", {"name": "a", **wide(40_000)}, 40_000),
    "fields of a webhook": ("/v1/webhooks", {"url": "https://a.example/", **wide(40_000)}, 40_000),
    "events of a webhook": ("/v1/webhooks", {"url": "https://a.example/", "events": ["job.x"] * 60_000}, 1),
    "fields of an allocation": ("/v1/laws/allocations", {"flops": 1e21, **wide(40_000)}, 40_000),
    "columns of a table": ("/v1/laws/fits", {"columns": wide(100_000)}, 100_000),
}


@pytest.mark.parametrize("case", BODIES)
def test_many_mistakes_are_answered_soon_the_first_ones_named_and_all_counted(client: httpx.Client, case: str) -> None:
    path, body, mistakes = BODIES[case]
    content = json.dumps(body, separators=(",", ":"))
    began = time.monotonic()
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert time.monotonic() - began < SOON
    assert answer.status_code == 422
    problem = answer.json()
    assert len(problem["errors"]) == min(mistakes, 20)
    assert len(answer.content) < 40_000
    if mistakes > 1:
        assert f"and {mistakes - 1:,} more" in problem["detail"]


def test_named_fields_of_very_many_are_told_as_those_of_a_few(client: httpx.Client) -> None:
    def told(count: int) -> list[dict[str, object]]:
        return client.post("/v1/jobs", json={"task": "digits", "model": wide(count)}).json()["errors"]

    assert told(10_000) == told(90)
    first = told(10_000)[0]
    assert (first["pointer"], first["given"]) == ("/model/field0", 0)
    assert "unknown field 'field0'" in str(first["message"])


def test_names_of_a_megabyte_are_cut_in_what_comes_back(client: httpx.Client) -> None:
    for body in ({"task": "x" * 900_000}, {"task": "digits", "y" * 900_000: 1}, {"task": "digits", "name": "n" * 900_000}):
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 422
        assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs", '{"task": "digits", "x": ' + "[" * 200_000 + "]" * 200_000 + "}"),
        ("/v1/jobs", '{"task": "digits", "x": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}"),
        ("/v1/estimates", '{"task": "digits", "seed": ' + "9" * 5000 + "}"),
        ("/v1/laws/fits", '{"columns": ' + "[" * 200_000 + "]" * 200_000 + "}"),
        ("/v1/laws/fits", '{"columns": {"parameters": [' + "9" * 5000 + "]}}"),
        ("/v1/laws/fits", '{"columns": {"parameters": [' + "9" * 4000 + "]}}"),
        ("/v1/laws/allocations", '{"flops": ' + "9" * 4000 + "}"),
        ("/v1/jobs", b'{"task": "\xff"}'),
    ],
)
def test_brackets_in_brackets_and_numbers_without_end_are_refused_by_reason(
    client: httpx.Client, path: str, body: str
) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert "error parsing" not in answer.text


@pytest.mark.parametrize("digits", [400, 4200, 5000, 100_000])
def test_overrides_of_a_fork_may_hold_no_number_without_end(client: httpx.Client, work, digits: int) -> None:
    body = '{"overrides": {"seed": ' + "9" * digits + "}}"
    answer = client.post(f"/v1/jobs/{work.queued()}/fork", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_table_with_millions_of_headings_is_refused_soon(client: httpx.Client) -> None:
    began = time.monotonic()
    answer = client.post("/v1/laws/fits", content="x," * 2_000_000 + "y\n1\n", headers={"content-type": "text/csv"})
    assert time.monotonic() - began < SOON
    assert "allowed: at most 1,000" in answer.json()["detail"]


def test_a_table_that_bounds_no_constant_is_refused(client: httpx.Client) -> None:
    columns = {
        "parameters": [1e6 * 1.001**row for row in range(20_000)],
        "tokens": [1e9 * 1.0002 ** (row * 7 % 20_000) for row in range(20_000)],
        "loss": [2.5 + 3 / (row + 1) for row in range(20_000)],
    }
    answer = client.post("/v1/laws/fits", json={"columns": columns, "held_out": False})
    assert answer.status_code in (201, 422)


@pytest.mark.parametrize("origin", ["http://[", "http://]", "[", "http://[::1", "null", "http://", "http://a b"])
def test_a_malformed_origin_is_a_foreign_one(client: httpx.Client, origin: str) -> None:
    answer = client.post("/v1/jobs", json={"task": "digits"}, headers={"origin": origin})
    assert answer.status_code == 403
    assert answer.json()["type"] == "foreign-origin"


def test_a_form_with_a_hundred_thousand_fields_is_refused(client: httpx.Client) -> None:
    answer = client.post("/jobs", content="a=b&" * 100_000, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400


@pytest.mark.parametrize("call", ["plans", "fork"])
def test_a_job_that_is_not_there_is_not_found_whatever_the_body_says(client: httpx.Client, call: str) -> None:
    assert client.post(f"/v1/jobs/job_{'0' * 26}/{call}", json={"mistake": 1}).status_code == 404


def test_other_callers_are_answered_while_large_bodies_are_refused(client: httpx.Client, in_background: Callable) -> None:
    content = json.dumps({"task": "digits", "search": [{"name": "x"}] * 60_000})

    def send() -> None:
        for _ in range(4):
            client.post("/v1/jobs", content=content, headers={"content-type": "application/json"})

    waits = []
    with in_background(send):
        for _ in range(20):
            began = time.monotonic()
            assert client.get("/v1/jobs?limit=1").status_code == 200
            waits.append(time.monotonic() - began)
    assert sorted(waits)[-2] < 1.0


@pytest.mark.parametrize(
    "more", ["9" * 5000, '{"seed": ' + "9" * 5000 + "}", "[" * 20_000, '{"a":' * 2000 + "1" + "}" * 2000, "{"]
)
def test_the_forms_field_for_more_overrides_takes_no_json_without_end(client: httpx.Client, work, more: str) -> None:
    answer = client.post(f"/jobs/{work.queued()}/fork", data={"overrides": more})
    assert answer.status_code == 422
