"""The forms of the pages as a browser without JavaScript sends them: what they do, who may, and what is wrong with them."""

import html
import re
from datetime import UTC, datetime
from itertools import product

import httpx
import pytest

from service.app import create_app
from service.pages import laws as laws_pages
from service.pages.submitting import example_text
from service.serve import background
from store import keys
from store import workers as fleet

CSV = "N,D,loss\n" + "".join(
    f"{n},{d},{1.8 + 482 / n**0.35 + 2085 / d**0.37}\n" for n in (1e6, 1e7, 1e8) for d in (1e8, 1e9, 1e10)
)


def send(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """A form, as a page of this server sends it."""
    headers = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    return client.post(path, data=fields or {"do": ""}, headers=headers)


def text(answer: httpx.Response) -> str:
    assert answer.headers["content-type"].startswith("text/html"), answer.text
    return html.unescape(answer.text)


def opened(answer: httpx.Response) -> str:
    """The last part of the address that a form led on to."""
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


def state(client: httpx.Client, job_id: str) -> str:
    return client.get(f"/v1/jobs/{job_id}").json()["state"]


def test_a_job_is_estimated_and_then_started(client):
    estimated = send(client, "/jobs", spec=example_text(), do="estimate")
    assert estimated.status_code == 200
    told = re.search(r"About ([\d,]+) runs of the proxy and .* of memory, .* allowed; \d+ hyperparameters", text(estimated))
    runs = client.post("/v1/estimates", content=example_text(), headers={"content-type": "application/json"}).json()
    assert told and float(told[1].replace(",", "")) == pytest.approx(runs["run_equivalents"], rel=0.005)
    assert client.get("/v1/jobs").json()["items"] == []
    job_id = opened(send(client, "/jobs", spec=example_text().replace("\n", "\r\n"), do="start"))
    assert client.get(f"/v1/jobs/{job_id}").json()["name"] == "first flight"


BAD_SPECS = [
    ('{"task": "digits", "model": {"widht": 32}}', "did you mean 'width'?"),
    ('{"task": }', "This is not JSON: Expecting value at line 1, column 10"),
    ("", "This is not JSON"),
    ("1" * 5000, "This is not JSON"),
    ("[" * 100_000, "This is not JSON"),
    ('{"task": "digits", "model": {"width": 8192, "depth": 32}}', "the population needs"),
]


def test_a_spec_with_a_mistake_comes_back_as_it_was_typed(client):
    for spec, said in BAD_SPECS:
        for do, status in (("start", 422), ("estimate", 200)):
            answer = send(client, "/jobs", spec=spec, do=do)
            assert answer.status_code == status
            assert said in text(answer) and f">{html.escape(spec, quote=False)[:80]}" in answer.text.replace("&#34;", '"')
        assert client.get("/v1/jobs").json()["items"] == []


def test_a_job_too_many_is_refused_on_its_page(sqlite, settings):
    few = settings.model_copy(update={"max_jobs": 1})
    with background(create_app(few, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        first = opened(send(client, "/jobs", spec=example_text()))
        for path, fields in (("/jobs", {"spec": example_text()}), (f"/jobs/{first}/fork", {"seed": "1"})):
            answer = send(client, path, **fields)
            assert answer.status_code == 403 and "you have 1 jobs" in text(answer), text(answer)


def test_a_waiting_job_is_paused_resumed_and_cancelled_by_buttons(client, work):
    job_id = work.queued()
    for button, then in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("cancel", "cancelled")):
        assert opened(send(client, f"/jobs/{job_id}/{button}")) == job_id
        assert state(client, job_id) == then


def test_a_request_to_pause_can_be_taken_back(client, work):
    job_id = work.running().job_id
    send(client, f"/jobs/{job_id}/pause")
    assert f'action="/jobs/{job_id}/resume"' in client.get(f"/jobs/{job_id}").text
    send(client, f"/jobs/{job_id}/resume")
    assert not client.get(f"/v1/jobs/{job_id}").json()["pause_requested"]


def form_of(page: str, action: str) -> dict[str, str]:
    """The fields of a form as a browser sends them back untouched."""
    inner = page.split(f'action="{action}"', 1)[1].split("</form>", 1)[0]
    return {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="(.*?)"', inner)}


def test_a_fork_differs_in_what_was_changed_and_in_nothing_else(client, work):
    parent = work.queued(name="parent", search=[{"name": "weight_decay"}], outer={"budget": 100})
    fields = form_of(client.get(f"/jobs/{parent}").text, f"/jobs/{parent}/fork")
    fields |= {"name": "wider", "width": "128", "overrides": '{"optimizer": {"name": "sgd"}, "model": {"depth": 3}}'}
    made = client.get(f"/v1/jobs/{opened(send(client, f'/jobs/{parent}/fork', **fields))}").json()
    wanted = {"name": "wider", "model": {"width": 128, "depth": 3}, "optimizer": {"name": "sgd"}}
    same = client.post(f"/v1/jobs/{parent}/fork", json={"overrides": wanted}).json()
    assert made["spec"] == same["spec"]
    assert made["spec"]["outer"]["budget"] == 100


def test_a_fork_begins_at_the_best_of_a_parent_that_has_one(client, work):
    parent = work.succeeded(name="parent")
    assert 'name="from_best"' in client.get(f"/jobs/{parent}").text
    made = client.get(f"/v1/jobs/{opened(send(client, f'/jobs/{parent}/fork', seed='1', from_best='on'))}").json()
    best = client.get(f"/v1/jobs/{parent}/result").json()["best"]["hyperparameters"]
    assert made["spec"]["initial"] == pytest.approx(best)
    waiting = work.queued()
    assert 'name="from_best"' not in client.get(f"/jobs/{waiting}").text
    refused = send(client, f"/jobs/{waiting}/fork", from_best="on")
    assert refused.status_code == 409 and "has no result yet" in text(refused)


BAD_FORKS = [
    ({"width": "many"}, "width must be a whole number, got 'many'", "fork-width"),
    ({"width": "1"}, "/overrides/model/width", "fork-width"),
    ({"overrides": '{"model": '}, "this is not JSON: Expecting value at line 1, column 11", "fork-overrides"),
    ({"overrides": "[1]"}, "overrides must be an object", "fork-overrides"),
    ({"overrides": '{"metod": {}}'}, "did you mean 'method'?", "fork-overrides"),
]


def test_a_fork_with_a_mistake_comes_back_as_it_was_typed(client, work):
    parent = work.queued(name="parent")
    for fields, said, field in BAD_FORKS:
        answer = send(client, f"/jobs/{parent}/fork", seed="7", **fields)
        assert answer.status_code == 422 and said in text(answer)
        assert f'href="#{field}"' in answer.text and '<details class="card" open>' in answer.text
        assert 'value="7"' in answer.text and all(value in text(answer) for value in fields.values())
        assert len(client.get("/v1/jobs").json()["items"]) == 1


def test_a_plan_is_made_or_refused_by_a_form(client, work):
    job_id = work.succeeded()
    plan_id = opened(send(client, f"/jobs/{job_id}/plans", width="256", depth="2"))
    assert client.get(f"/v1/plans/{plan_id}").json()["width"] == 256
    refused = send(client, f"/jobs/{job_id}/plans", width="4")
    assert refused.status_code == 422 and "width 4 is below the proxy's" in text(refused)
    assert re.search(r'id="plan-width"[^>]*value="4"[^>]*aria-invalid="true"', refused.text)
    failed = work.succeeded(verdict="fail")
    assert send(client, f"/jobs/{failed}/plans", width="256").status_code == 409
    assert opened(send(client, f"/jobs/{failed}/plans", width="256", force="on")).startswith("plan_")
    assert send(client, f"/jobs/{work.queued()}/plans", width="256").status_code == 409


def test_a_table_is_fitted_by_a_form(client):
    fit_id = opened(send(client, "/laws", csv=CSV.replace("\n", "\r\n")))
    assert client.get(f"/v1/laws/fits/{fit_id}").json()["rows"] == 9
    wrong = send(client, "/laws", csv="N,loss\n1e6,low\n")
    assert wrong.status_code == 422 and "column 'loss', row 1 is 'low', no number" in text(wrong)
    assert "N,loss\n1e6,low\n</textarea>" in wrong.text


def seen(database, name, job_id=None):
    with database.transaction() as session:
        fleet.seen(session, name, host="here", device="cpu", threads=2, started_at=datetime.now(UTC), job_id=job_id)


def test_a_job_a_plan_and_a_fit_are_deleted_by_buttons_that_say_what_is_lost(client, work):
    job_id = work.succeeded()
    plan_id = opened(send(client, f"/jobs/{job_id}/plans", width="256"))
    other = opened(send(client, f"/jobs/{job_id}/plans", width="512"))
    fit_id = opened(send(client, "/laws", csv=CSV))
    for path, lost, back in (
        (f"/laws/{fit_id}", "keep the prediction", "/laws"),
        (f"/plans/{plan_id}", "can be made from it again", f"/jobs/{job_id}"),
        (f"/jobs/{job_id}", "result and checkpoints, and 1 plan", "/"),
    ):
        assert lost in text(client.get(path))
        gone = send(client, f"{path}/delete")
        assert gone.status_code == 303, (path, gone.text)
        assert gone.headers["location"] == back
        assert client.get(path).status_code == 404 and send(client, f"{path}/delete").status_code == 404
    assert client.get(f"/plans/{other}").status_code == 404


def test_a_job_that_lives_has_no_button_to_delete_it_and_is_not_deleted(client, work):
    job_id = work.queued()
    assert f"/jobs/{job_id}/delete" not in client.get(f"/jobs/{job_id}").text
    refused = send(client, f"/jobs/{job_id}/delete")
    assert refused.status_code == 409 and "cancel it" in refused.text
    assert state(client, job_id) == "queued"


def test_fits_past_the_first_page_are_found(client, monkeypatch):
    monkeypatch.setattr(laws_pages, "SHOWN_FITS", 1)
    first, second = (opened(send(client, "/laws", csv=CSV)) for _ in range(2))
    newest = text(client.get("/laws"))
    assert f"/laws/{second}" in newest and f"/laws/{first}" not in newest
    older = text(client.get(re.findall('rel="next" href="([^"#]*)', newest)[0]))
    assert f"/laws/{first}" in older and f"/laws/{second}" not in older and 'rel="next"' not in older


def test_the_fleet_says_what_each_worker_does_and_a_button_drains_it(client, work, sqlite):
    assert "No worker has reported" in text(client.get("/fleet"))
    seen(sqlite, "idle:1:2:0")
    seen(sqlite, "test-worker", work.running(name="in the air").job_id)
    work.queued(name="on the ground")
    shown = text(client.get("/fleet"))
    for words in ("in the air", "on the ground", "free", "busy", "Drain cpu on here"):
        assert words in shown, words
    assert send(client, "/fleet/drain", worker="test-worker").headers["location"] == "/fleet"
    draining = {each["id"]: each["draining"] for each in client.get("/v1/workers").json()["items"]}
    assert draining == {"idle:1:2:0": False, "test-worker": True}
    assert text(client.get("/fleet")).count('action="/fleet/drain"') == 1
    assert send(client, "/fleet/drain", worker="nobody").status_code == 404
    assert send(client, "/fleet/drain").status_code == 404


def test_without_an_operators_key_the_fleet_hides_others_jobs_and_refuses_to_drain(client, work, sqlite):
    seen(sqlite, "test-worker", work.running(name="secret flight").job_id)
    with sqlite.transaction() as session:
        plain = {"authorization": f"Bearer {keys.create(session, 'test', owner='ann').key}"}
        operator = {"authorization": f"Bearer {keys.create(session, 'test', owner='ann', operator=1).key}"}
    shown = text(client.get("/fleet", headers=plain))
    assert "a job of another owner" in shown and "secret flight" not in shown and "/fleet/drain" not in shown
    assert "1 of all owners" not in shown
    refused = client.post("/fleet/drain", data={"worker": "test-worker"}, headers=plain)
    assert refused.status_code == 403 and "Only operators may do this" in text(refused)
    shown = text(client.get("/fleet", headers=operator))
    assert "secret flight" not in shown and "/fleet/drain" in shown and "of 1 of all owners" in shown


def test_the_first_key_is_made_shown_once_used_and_revoked(client):
    assert "This server has no keys yet" in text(client.get("/keys"))
    made = send(client, "/keys", name="laptop <b>")
    key = re.search(r'<pre id="made-key" tabindex="0">(wt_[\w-]{43})</pre>', made.text)
    assert key and "shown this once" in text(made) and "<b>" not in made.text
    assert "Secure" not in made.headers["set-cookie"] and "HttpOnly" in made.headers["set-cookie"]
    assert made.headers["cache-control"] == "no-store"
    shown = client.get("/keys")  # the cookie signs in
    assert key[1] not in shown.text and "in use here" in shown.text
    assert httpx.get(f"{client.base_url}/keys").status_code == 401
    second = send(client, "/keys", name="desk")
    assert "set-cookie" not in second.headers
    desk = next(each for each in client.get("/v1/keys").json()["items"] if each["name"] == "desk")
    assert send(client, f"/keys/{desk['id']}/revoke").headers["location"] == "/keys"
    assert "Revoked" in text(client.get("/keys"))
    own = next(each for each in client.get("/v1/keys").json()["items"] if each["name"] != "desk")
    assert send(client, f"/keys/{own['id']}/revoke").headers["location"] == "/sign-in"
    assert client.get("/keys").status_code == 401


BAD_NAMES = ["", " ", "x" * 201, "a\nb"]


def test_a_key_needs_a_name(client):
    for name in BAD_NAMES:
        answer = send(client, "/keys", name=name)
        assert answer.status_code == 422 and "/name" in answer.text
        assert client.get("/v1/keys").json()["items"] == []


FORGED = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


def test_a_form_of_another_site_does_nothing(client, work, sqlite):
    job_id = work.queued()
    seen(sqlite, "w")
    sent = {
        "/jobs": {"spec": example_text()},
        **{
            f"/jobs/{job_id}/{action}": {"seed": "1"} for action in ("cancel", "pause", "resume", "delete", "fork", "plans")
        },
        "/laws": {"csv": CSV},
        "/fleet/drain": {"worker": "w"},
        "/keys": {"name": "mine"},
        "/keys/key_00000000000000000000000000/revoke": {},
    }
    for headers, (path, fields) in product(FORGED, sent.items()):
        answer = client.post(path, data=fields or {"do": ""}, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "foreign-origin"), path
    assert [job["state"] for job in client.get("/v1/jobs").json()["items"]] == ["queued"]
    assert client.get("/v1/keys").json()["items"] == []
    assert not client.get("/v1/workers").json()["items"][0]["draining"]


def test_the_api_itself_takes_no_form_and_the_pages_take_nothing_else(client, work):
    job_id = work.queued()
    for path in ("/v1/jobs", f"/v1/jobs/{job_id}/cancel", f"/v1/jobs/{job_id}/fork", "/v1/keys", "/v1/workers/w/drain"):
        assert client.post(path, data={"a": "b"}).status_code == 415, path
    for path in ("/jobs", f"/jobs/{job_id}/cancel", "/keys", "/fleet/drain"):
        assert client.post(path, json={}).status_code == 415, path
    assert client.post(f"/jobs/{job_id}/figures/loss.json", data={"a": "b"}).status_code == 415
