"""Lists of jobs: every order goes through all pages once, counts agree with what is listed; labels are kept and found."""

import itertools

import pytest

from service.jobs.schemas import JobsQuery
from store.errors import InvalidCursor
from store.paging import decode_place, encode_place
from tests.service.test_pages import page
from windtunnel.types.jobs import JobSort

SORTS = JobSort.__args__


def walk(client, **query):
    found, cursor = [], None
    while True:
        answer = client.get("/v1/jobs", params=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


def test_every_order_goes_through_all_jobs_once_on_either_database(either, work_on_either):
    work = work_on_either
    made = [work.queued(name="b"), work.succeeded(name="A"), work.running(name="c").job_id, work.queued(task="synthetic")]
    made += [work.succeeded(name="a"), work.failed(name="Ö, 'quoted'")]
    values = {
        "created": lambda job: job["id"],
        "name": lambda job: job["name"].lower(),
        "task": lambda job: job["spec"]["task"],
        "state": lambda job: job["state"],
        "loss": lambda job: job["best"]["loss"] if job["best"] else None,
        "cost": lambda job: job["progress"]["run_equivalents"],
    }
    assert set(values) == set(SORTS)
    for sort, order in itertools.product(SORTS, ("asc", "desc")):
        found = walk(either, sort=sort, order=order, limit=2)
        assert sorted(job["id"] for job in found) == sorted(made), (sort, order)
        keys = [values[sort](job) for job in found]
        known = [key for key in keys if key is not None]
        assert keys[: len(known)] == known, "a job without a value comes last"
        if sort != "name":  # the database's own idea of an alphabet
            assert known == sorted(known, reverse=order == "desc"), (sort, order)


def test_the_newest_come_first_and_every_other_order_begins_with_the_least():
    assert [JobsQuery(sort=sort).way for sort in SORTS] == ["desc"] + ["asc"] * (len(SORTS) - 1)
    assert JobsQuery(sort="loss", order="desc").way == "desc"


@pytest.mark.parametrize(
    "cursor",
    [
        "!", "W10",
        encode_place("cost", "asc", 1.0, "job_" + "0" * 26),
        encode_place("loss", "desc", 1.0, "job_" + "0" * 26),
        encode_place("loss", "asc", "1", "job_" + "0" * 26),
        encode_place("loss", "asc", float("nan"), "job_" + "0" * 26),
        encode_place("loss", "asc", 1.0, "job_"),
    ],
)  # fmt: skip
def test_a_cursor_of_another_order_or_of_nobody_is_refused(client, cursor):
    with pytest.raises(InvalidCursor):
        decode_place(cursor, "loss", "asc")
    assert client.get("/v1/jobs", params={"sort": "loss", "cursor": cursor}).status_code == 422


def test_labels_are_changed_one_by_one_and_the_spec_stays(either, work_on_either):
    job_id = work_on_either.succeeded(name="first")
    path = f"/v1/jobs/{job_id}"
    changed = either.patch(path, json={"name": "second", "tags": ["Paper", "b", "paper"], "notes": "one\ntwo"}).json()
    assert (changed["name"], changed["tags"], changed["notes"]) == ("second", ["b", "paper"], "one\ntwo")
    assert changed["spec"]["name"] == "first"
    assert either.patch(path, json={"notes": ""}).json()["tags"] == ["b", "paper"]
    assert either.patch(path, json={}).json() == either.get(path).json()
    other = work_on_either.queued(name="other")
    either.patch(f"/v1/jobs/{other}", json={"tags": ["paper-2", "100%"]})
    for asked, found in (("paper", [job_id]), ("PAPER-2", [other]), ("pape", []), ("100%", [other]), ("1%", [])):
        assert [job["id"] for job in walk(either, tag=asked)] == found, asked
    assert {job["id"] for job in walk(either, search="pape")} == {job_id, other}
    assert either.patch(path, json={"tags": []}).json()["tags"] == []


@pytest.mark.parametrize(
    "wrong",
    [{"tags": ["a b"]}, {"tags": [""]}, {"tags": ["x" * 41]}, {"tags": [str(n) for n in range(21)]}, {"name": "x" * 201},
     {"name": "a\x00"}, {"notes": "x" * 10_001}, {"notes": "\x00"}, {"state": "failed"}, {"tags": "paper"}],
)  # fmt: skip
def test_a_wrong_label_is_refused_by_its_field(client, work, wrong):
    job_id = work.queued(name="kept")
    answer = client.patch(f"/v1/jobs/{job_id}", json=wrong)
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"].startswith("/" + next(iter(wrong)))
    assert client.get(f"/v1/jobs/{job_id}").json()["name"] == "kept"
    assert client.patch("/v1/jobs/job_" + "0" * 26, json={}).status_code == 404


def test_the_list_counts_states_and_its_headings_sort(client, work):
    for state in (work.succeeded, work.succeeded, work.queued, work.failed):
        state(name="flight")
    work.queued(task="synthetic")
    found = page(client, "/?search=flight&state=queued")
    assert "4 jobs · 1 queued · 2 succeeded · 1 failed" in found.text
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a" and attrs.get("class") == "sort"]
    assert len(links) == 6 and all("search=flight" in link and "state=queued" in link for link in links)
    by_loss = next(link for link in links if "sort=loss" in link)
    sorted_page = page(client, by_loss)
    assert [attrs["aria-sort"] for tag, attrs in sorted_page.tags if "aria-sort" in attrs] == ["ascending"]


def test_labels_are_written_on_the_page(client, work):
    job_id = work.succeeded(name="first")
    form = {"content-type": "application/x-www-form-urlencoded"}
    path = f"/jobs/{job_id}/labels"
    answer = client.post(path, content="name=second&tags=b%2C+A&notes=%3Cb%3E+1%0D%0A2", headers=form)
    assert answer.status_code == 303 and answer.headers["location"] == f"/jobs/{job_id}"
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["name"], job["tags"], job["notes"]) == ("second", ["a", "b"], "<b> 1\n2")
    shown = client.get(f"/jobs/{job_id}").text
    assert "&lt;b&gt; 1" in shown and "?tag=a" in shown
    wrong = client.post(path, content=f"name={'x' * 201}&tags=kept&notes=too", headers=form)
    assert wrong.status_code == 422 and 'value="kept"' in wrong.text and "/name" in wrong.text
    assert client.post(path, content="", headers=form).status_code == 303
    assert client.get(f"/v1/jobs/{job_id}").json()["tags"] == []
