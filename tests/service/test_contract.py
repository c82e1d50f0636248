"""The life of a job through the API, the same on SQLite and on PostgreSQL."""

import json


def test_life_of_a_job(either, work_on_either):
    work = work_on_either
    made = either.post("/v1/jobs", json={"task": "digits", "name": "flight é ✈"}, headers={"Idempotency-Key": "a"})
    job_id = made.json()["id"]
    assert made.status_code == 201
    assert (
        either.post("/v1/jobs", json={"task": "digits", "name": "flight é ✈"}, headers={"Idempotency-Key": "a"}).json()
        == made.json()
    )
    assert either.post("/v1/jobs", json={"task": "digits"}, headers={"Idempotency-Key": "a"}).status_code == 422
    tag = either.get(f"/v1/jobs/{job_id}").headers["etag"]
    assert either.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag}).status_code == 304

    with either.stream("GET", f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}) as answer:
        lines = answer.iter_lines()
        assert "event: queued" in lines
        lease = work.claim(job_id)
        for number in range(4):
            work.step(lease, number)
        work.succeed(lease)
        seen = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["seq"] for event in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert seen[-1]["type"] == "succeeded"

    listed = either.get(f"/v1/jobs/{job_id}/events", headers={"accept": "application/json"}).json()["items"]
    assert listed == seen
    assert either.get(f"/v1/jobs/{job_id}/metrics?series=loss&max_points=2").json()["items"][0]["steps"] == [0, 3]
    assert either.get(f"/v1/jobs/{job_id}/result").json()["best"]["test"]["mean"] == 0.25
    plan = either.post(f"/v1/jobs/{job_id}/plans", json={"width": 256})
    assert plan.status_code == 201
    assert either.get(plan.headers["location"]).json() == plan.json()

    for path in ("/", f"/jobs/{job_id}", f"/plans/{plan.json()['id']}"):
        page = either.get(path)
        assert page.status_code == 200
        assert "flight é ✈" in page.text


def test_pages_of_jobs_are_stable(either, work_on_either):
    made = [work_on_either.queued() for _ in range(5)]
    first = either.get("/v1/jobs?limit=2").json()
    work_on_either.queued()
    second = either.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert either.get("/v1/jobs?cursor=am9iXwA").status_code == 422
    assert [job["id"] for job in first["items"] + second["items"]] == made[:0:-1]


def test_cancelled_job_stays_cancelled(either, work_on_either):
    job_id = work_on_either.queued()
    for _ in range(2):
        assert either.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert either.get(f"/v1/jobs/{job_id}/result").json()["state"] == "cancelled"


def test_bytes_that_a_database_refuses_never_reach_it(either, work_on_either):
    job_id = work_on_either.queued()
    assert either.get("/v1/jobs/%00").status_code == 404
    assert either.get("/v1/plans/%00").status_code == 404
    assert either.get("/v1/jobs?task=%00").status_code == 422
    assert either.get(f"/v1/jobs/{job_id}/metrics?series=a%00").status_code == 422
    for name in ("a\0", "\ud800", "a\nb"):
        body = json.dumps({"task": "digits", "name": name})
        answer = either.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/name"
