"""``client.jobs`` against the real service, and its retries against a scripted one."""

import json

import pytest

from windtunnel import InvalidRequest, JobSpec, ModelSpec, NotFound, Target, ValidationFailed
from windtunnel.client import _jobs
from windtunnel.types import CosineSchedule, SearchItem


def cancelled(job):
    assert job.cancel().state == "cancelled"
    return job


def test_a_task_alone_is_a_job(idle):
    job = cancelled(idle.jobs.create(task="digits"))
    assert job.spec == JobSpec(task="digits")
    assert idle.jobs.get(job.id).state == "cancelled"


def test_a_spec_can_be_given_by_fields_as_a_mapping_or_as_a_model(idle):
    fields = {"task": "digits", "name": "three ways", "model": {"width": 32}, "schedule": {"name": "cosine", "floor": 0.2}}
    model = JobSpec(task="digits", name="three ways", model=ModelSpec(width=32), schedule=CosineSchedule(floor=0.2))
    jobs = [idle.jobs.create(**fields), idle.jobs.create(fields), idle.jobs.create(model)]
    assert [cancelled(job).spec for job in jobs] == [model] * 3


def test_models_may_stand_inside_of_fields(idle):
    search = [SearchItem(name="learning_rate")]
    job = cancelled(
        idle.jobs.create(task="digits", target=Target(width=128), search=search, schedule=CosineSchedule(floor=0.2))
    )
    assert job.spec.target == Target(width=128)
    assert job.spec.search == tuple(search)
    assert job.spec.schedule == CosineSchedule(floor=0.2)


def test_a_job_waits_until_it_is_resumed_by_its_id_or_by_itself(idle):
    job = idle.jobs.create(task="digits")
    assert job.pause().state == "paused" == idle.jobs.get(job.id).state
    assert idle.jobs.resume(job.id).state == "queued" == job.refresh().state
    assert idle.jobs.pause(job.id).resume().state == "queued"
    assert cancelled(job).pause().resume().state == "cancelled"


def test_nobody_is_drained_by_a_wrong_name(idle):
    assert idle.workers.list() == []
    with pytest.raises(NotFound, match="nobody"):
        idle.workers.drain("nobody")


def test_the_spec_of_a_job_can_be_submitted_again(idle):
    job = cancelled(idle.jobs.create(task="digits", search=[{"name": "weight_decay", "low": 0.1}]))
    assert cancelled(idle.jobs.create(job.spec)).spec == job.spec


def test_a_spec_and_fields_at_once_are_refused(idle):
    with pytest.raises(InvalidRequest, match="not both"):
        idle.jobs.create({"task": "digits"}, name="x")


def test_every_bad_field_is_named_with_what_is_allowed(idle):
    before = [job.id for job in idle.jobs.list()]
    with pytest.raises(ValidationFailed) as caught:
        idle.jobs.create(task="digits", model={"width": -3}, widht=3)
    assert {error.pointer for error in caught.value.errors} == {"/model/width", "/widht"}
    assert "allowed" in str(caught.value)
    assert [job.id for job in idle.jobs.list()] == before


def test_list_is_newest_first_over_pages_and_can_be_narrowed(idle, monkeypatch):
    monkeypatch.setattr(_jobs, "PAGE", 2)
    made = [cancelled(idle.jobs.create(task="breast-cancer", name=str(number))).id for number in range(5)]
    assert [job.id for job in idle.jobs.list(task="breast-cancer", state="cancelled")] == made[::-1]
    assert list(idle.jobs.list(task="breast-cancer", state="succeeded")) == []
    assert [job.id for job in idle.jobs.list(search="CANCER")] == made[::-1]
    with pytest.raises(ValidationFailed, match="state"):
        list(idle.jobs.list(state="done"))


def test_an_unknown_job_is_not_found(idle):
    for ask in (idle.jobs.get, idle.jobs.cancel):
        with pytest.raises(NotFound, match="job_none"):
            ask("job_none")


def test_cancelling_twice_is_the_same_as_once(idle):
    job = cancelled(idle.jobs.create(task="digits"))
    assert idle.jobs.cancel(job.id).state == "cancelled"


def test_one_key_makes_one_job(idle):
    jobs = [idle.jobs.create(task="digits", idempotency_key="same") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    cancelled(jobs[0])
    with pytest.raises(ValidationFailed, match="same"):
        idle.jobs.create(task="synthetic", idempotency_key="same")


def test_the_retries_of_one_call_share_a_key_and_two_calls_do_not(script, scripted, job_json):
    script.drop().problem(503).answer(201, job_json)
    scripted.jobs.create(task="digits")
    scripted.jobs.create(task="digits")
    keys = [seen.headers["idempotency-key"] for seen in script.requests]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert {seen.body for seen in script.requests} == {json.dumps({"task": "digits"}).encode()}


def test_a_job_is_found_by_the_end_of_its_id_where_no_other_ends_so(idle, scripted, script):
    job = cancelled(idle.jobs.create(task="digits", name="lone"))
    assert idle.jobs.find(job.id).id == idle.jobs.find(job.id[-8:].upper()).id == job.id
    with pytest.raises(NotFound):
        idle.jobs.find("zzzz")
    wire = job.wire.model_dump(mode="json")
    twins = [{**wire, "id": f"job_{start * 20}abcdef", "name": name} for start, name in (("1", "first"), ("2", "second"))]
    elsewhere = {**wire, "id": f"job_{'3' * 26}", "name": "abcdef"}  # found by its name, which is no id
    script.answer(200, {"items": [elsewhere, *twins], "next_cursor": None})
    with pytest.raises(InvalidRequest, match=r"several jobs end with abcdef: job_1{20}abcdef \(first\), job_2{20}abcdef"):
        scripted.jobs.find("abcdef")
    assert scripted.jobs.find("1abcdef").name == "first"


def test_jobs_are_compared_by_handle_or_by_id(idle):
    jobs = [cancelled(idle.jobs.create(task="digits", model={"width": width})) for width in (16, 32)]
    found = idle.jobs.compare(jobs[0], jobs[1].id)
    assert [each.job.id for each in found.items] == [job.id for job in jobs]
    assert [(row.name, row.values) for row in found.spec] == [("model.width", [16, 32])]
    with pytest.raises(ValidationFailed):
        idle.jobs.compare()
    with pytest.raises(NotFound):
        idle.jobs.compare(jobs[0], "job_" + "0" * 26)
