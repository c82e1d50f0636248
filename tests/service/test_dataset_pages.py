"""The pages of data sets: forms that work without JavaScript, and say what is wrong where it was typed."""

import html
import json
import re

import httpx
import numpy as np
import pytest

from store import keys
from windtunnel.types import JobSpec

GENERATOR = np.random.Generator(np.random.PCG64(0))
CSV = "a,b,kind\n" + "\n".join(f"{a},{b},{'yes' if a > b else 'no'}" for a, b in GENERATOR.normal(size=(90, 2)))
FORM = {"name": "points <b>", "target": "", "kind": "", "context": ""}
"""As a browser sends it: what is not filled in is empty."""


def send(client: httpx.Client, content: str = CSV, **fields: str) -> httpx.Response:
    headers = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    return client.post("/datasets", files={"file": ("points.csv", content)}, data=FORM | fields, headers=headers)


def text(answer: httpx.Response) -> str:
    assert answer.headers["content-type"].startswith("text/html"), answer.text
    return html.unescape(answer.text)


def form_text(page: str) -> str:
    found = re.search(r'<textarea id="spec".*?>(.*?)</textarea>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def test_upload_tune_and_delete_by_forms_alone(client, work):
    assert "No data set yet" in text(client.get("/datasets"))
    sent = send(client)
    assert sent.status_code == 303
    identity = sent.headers["location"].rpartition("/")[2]
    shown = client.get(sent.headers["location"])
    assert "points &lt;b&gt;" in shown.text and "<b>" not in shown.text
    assert "Classes: no, yes" in text(shown) and "<td>a</td>" in shown.text
    assert f'/?dataset={identity}#new"' in text(client.get("/datasets"))

    home = client.get("/", params={"dataset": identity})
    spec = json.loads(form_text(home.text))
    assert spec["task"] == identity and spec["target"] == {"width": 1024, "depth": 2, "steps": 2000}
    assert f'value="{identity}" selected' in home.text
    job = client.post("/v1/jobs", json=spec)
    assert job.status_code == 201
    plain = client.post("/v1/jobs", json={"task": identity}).json()["spec"]
    assert {**job.json()["spec"], "name": "", "target": None} == plain
    for path in ("/", f"/jobs/{job.json()['id']}", f"/?task={identity}", f"/datasets/{identity}"):
        assert "points <b>" in text(client.get(path)), path

    refused = client.post(f"/datasets/{identity}/delete", files={"x": (None, "")})
    assert refused.status_code == 409 and "is used by job_" in text(refused)
    for each in client.get("/v1/jobs").json()["items"]:
        client.post(f"/v1/jobs/{each['id']}/cancel")
    assert client.post(f"/datasets/{identity}/delete", files={"x": (None, "")}).headers["location"] == "/datasets"
    assert client.get(f"/datasets/{identity}").status_code == 404
    assert "was deleted" in text(client.get(f"/datasets/{identity}"))
    assert client.get("/", params={"dataset": identity}).status_code == 404


def test_what_is_wrong_is_said_in_the_form(client):
    answer = send(client, CSV.replace("yes", "", 1))
    assert answer.status_code == 422
    assert "the target, is empty in row" in text(answer) and 'action="/datasets"' in text(answer)
    assert "context says nothing of a file of format csv" in text(send(client, context="8"))
    assert send(client, target="nothing").status_code == 422
    assert client.get("/v1/datasets").json()["items"] == []


def test_the_page_shows_the_jobs_of_an_owner_with_a_key_and_of_no_other(client, sqlite):
    def key(owner):
        with sqlite.transaction() as session:
            return {"authorization": f"Bearer {keys.create(session, 'test', owner=owner).key}"}

    ann, bob = key("ann"), key("bob")
    places = {}
    for name, who in (("ann", ann), ("bob", bob)):
        identity = client.post("/v1/datasets", files={"file": ("a.csv", CSV)}, headers=who).json()["id"]
        made = client.post("/v1/jobs", json={"task": identity, "name": f"of {name}"}, headers=who)
        assert made.status_code == 201, made.text
        places[name] = (identity, made.json()["id"])
    shown = client.get(f"/datasets/{places['ann'][0]}", headers=ann).text
    assert places["ann"][1] in shown and "of ann" in shown and "of bob" not in shown
    assert client.get(f"/datasets/{places['ann'][0]}", headers=bob).status_code == 404


def test_the_forms_are_for_our_own_pages_only(client):
    identity = client.post("/v1/datasets", files={"file": ("a.csv", CSV)}).json()["id"]
    evil = {"origin": "http://evil.example"}
    assert client.post(f"/datasets/{identity}/delete", files={"x": (None, "")}, headers=evil).status_code == 403
    assert client.post(f"/datasets/{identity}/delete", json={}).status_code == 415
    assert client.get(f"/datasets/{identity}").status_code == 200


@pytest.mark.parametrize("path", ["/?dataset=digits", "/?dataset=ds_1"])
def test_a_choice_that_is_no_data_set_is_refused(client, path):
    assert client.get(path).status_code == 422


def test_the_form_begins_with_the_example_where_nothing_is_chosen(client):
    spec = JobSpec.model_validate_json(form_text(client.get("/?dataset=").text))
    assert spec.task == "digits"
