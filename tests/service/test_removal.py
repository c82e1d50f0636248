"""Jobs, plans and fits can be deleted, by their owner or by age, and what may be made of them is limited and paged."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, update

from service.app import create_app
from service.retention import DAY, Janitor
from service.serve import background
from store import jobs, keys
from store.database import Database
from store.dialect import now
from store.keys import LOCAL
from store.tables import jobs as table
from store.tables import metadata

RUNS = {
    "parameters": [10.0**power for power in range(4, 10)],
    "loss": [2 + 100 * 10 ** (-0.3 * power) for power in range(4, 10)],
}


def rows(database: Database, job_id: str) -> dict[str, int]:
    """Table -> number of its rows that belong to the job, where there are any."""
    found = {}
    with database.snapshot() as s:
        for name, each in metadata.tables.items():
            column = each.c.id if name == "jobs" else each.c.get("job_id")
            if column is not None and name != "workers":
                found[name] = s.scalar(select(func.count()).select_from(each).where(column == job_id))
    return {name: count for name, count in found.items() if count}


def with_files(data_dir: Path, job_id: str) -> Path:
    folder = data_dir / "jobs" / job_id / "1-2"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder.parent


def test_a_job_that_has_ended_is_deleted_with_all_that_was_recorded_of_it(
    either, database, work_on_either, settings
) -> None:
    job, other = work_on_either.succeeded(), work_on_either.succeeded()
    before = rows(database, other)
    plan = either.post(f"/v1/jobs/{job}/plans", json={"width": 256}).json()["id"]
    files, kept = with_files(settings.data_dir, job), with_files(settings.data_dir, other)
    assert {"jobs", "events", "metrics", "attempts", "plans"} <= set(rows(database, job))
    assert either.delete(f"/v1/jobs/{job}").status_code == 204
    assert rows(database, job) == {} and not files.exists()
    for path in (f"/v1/jobs/{job}", f"/v1/plans/{plan}", f"/jobs/{job}"):
        assert either.get(path).status_code == 404
    assert either.delete(f"/v1/jobs/{job}").status_code == 404
    assert rows(database, other) == before and kept.exists()


def test_a_job_that_lives_is_not_deleted(either, work_on_either) -> None:
    paused = work_on_either.queued()
    either.post(f"/v1/jobs/{paused}/pause")
    for job in (work_on_either.queued(), work_on_either.running().job_id, paused):
        refused = either.delete(f"/v1/jobs/{job}")
        assert (refused.status_code, refused.json()["type"]) == (409, "job-not-ended")
        assert "cancel it" in refused.json()["detail"]
        assert either.get(f"/v1/jobs/{job}").status_code == 200


def test_an_idempotency_key_goes_with_its_job(either) -> None:
    key = {"idempotency-key": "once"}
    first = either.post("/v1/jobs", json={"task": "digits"}, headers=key).json()["id"]
    either.post(f"/v1/jobs/{first}/cancel")
    assert either.delete(f"/v1/jobs/{first}").status_code == 204
    second = either.post("/v1/jobs", json={"task": "diabetes"}, headers=key)
    assert second.status_code == 201 and second.json()["id"] != first


def test_plans_come_page_by_page_and_can_be_deleted(either, work_on_either) -> None:
    job = work_on_either.succeeded()
    made = [either.post(f"/v1/jobs/{job}/plans", json={"width": 64 * size}).json()["id"] for size in range(2, 7)]
    seen, cursor = [], None
    while True:
        page = either.get(f"/v1/jobs/{job}/plans", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= 2
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made
    assert either.delete(f"/v1/plans/{made[0]}").status_code == 204
    assert either.delete(f"/v1/plans/{made[0]}").status_code == 404
    assert either.get(f"/v1/jobs/{job}").json()["plans"] == made[1:]


def test_plans_and_fits_of_an_owner_are_limited(database, settings, work_on_either) -> None:
    small = settings.model_copy(update={"max_plans": 1, "max_fits": 1})
    job = work_on_either.succeeded()
    with background(create_app(small, database=database)) as url, httpx.Client(base_url=url, timeout=10) as client:
        calls = {"/v1/laws/fits": {"columns": RUNS, "laws": ["loss_parameters"]}, f"/v1/jobs/{job}/plans": {"width": 256}}
        for path, body in calls.items():
            first, second = client.post(path, json=body), client.post(path, json=body)
            assert (first.status_code, second.status_code, second.json()["type"]) == (201, 403, "quota"), path
            assert client.delete(first.headers["location"]).status_code == 204
            assert client.post(path, json=body).status_code == 201
        assert client.post(f"/jobs/{job}/plans", data={"width": "256"}).status_code == 403
        assert (
            client.post(
                "/laws",
                data={
                    "csv": "parameters,loss\n"
                    + "\n".join(
                        map(
                            ",".join,
                            [(str(size), str(loss)) for size, loss in zip(RUNS["parameters"], RUNS["loss"], strict=True)],
                        )
                    )
                },
            ).status_code
            == 403
        )


def test_a_fit_is_deleted(either) -> None:
    fit = either.post("/v1/laws/fits", json={"columns": RUNS, "laws": ["loss_parameters"]}).json()["id"]
    assert either.delete(f"/v1/laws/fits/{fit}").status_code == 204
    assert either.get(f"/v1/laws/fits/{fit}").status_code == 404
    assert either.delete(f"/v1/laws/fits/{fit}").status_code == 404


def test_jobs_that_ended_long_ago_go_by_themselves_and_others_stay(database, settings, work_on_either) -> None:
    old, young, lives = work_on_either.succeeded(), work_on_either.failed(), work_on_either.queued()
    files = with_files(settings.data_dir, old)
    with database.transaction() as s:
        s.execute(update(table).where(table.c.id.in_([old, lives])).values(created_at=now() - 9 * DAY))
        s.execute(update(table).where(table.c.id == old).values(finished_at=now() - 8 * DAY))
    janitor = Janitor(database, settings.model_copy(update={"keep_jobs_days": 7.0}))
    assert (janitor.turn(), janitor.turn()) == (1, 0)
    assert not files.exists()
    with database.snapshot() as s:
        assert {job.id for job in jobs.page(s, owner=LOCAL).items} == {young, lives}


@pytest.mark.parametrize("days", [0.0, 1.0])
def test_a_server_deletes_old_jobs_only_where_it_is_told_to(days, database, settings, work_on_either) -> None:
    job = work_on_either.succeeded()
    with database.transaction() as s:
        s.execute(update(table).values(finished_at=now() - 100 * DAY))
    app = create_app(settings.model_copy(update={"keep_jobs_days": days}), database=database)
    with background(app) as url:
        httpx.get(f"{url}/healthz")
    # The thread's first look is over when the server has stopped.
    assert bool(rows(database, job)) == (days == 0)


def test_a_stranger_deletes_nothing(either, database, work_on_either) -> None:
    job = work_on_either.succeeded()
    with database.transaction() as s:
        key = keys.create(s, "test", owner="bob").key
    assert either.delete(f"/v1/jobs/{job}", headers={"authorization": f"Bearer {key}"}).status_code == 404
    assert rows(database, job)
