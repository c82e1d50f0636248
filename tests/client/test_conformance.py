"""One suite for every client: blocking and awaited, over HTTP and with a server of its own in this process."""

import asyncio
import hashlib
import json
import pathlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
import pytest

from windtunnel import (
    AsyncClient,
    Client,
    ConnectionFailed,
    InvalidRequest,
    JobCancelled,
    JobSpec,
    NotFinished,
    NotFound,
    OuterStep,
    Pacing,
    TransferPlan,
    TuneResult,
    ValidationFailed,
    WaitTimeout,
)
from windtunnel.client import ForkRefused, JobNotEnded, LawRefused, _plan
from windtunnel.client._async import plan as _async_plan
from windtunnel.tasks import TASKS
from windtunnel.types import Finishing, Queued, Started, Succeeded
from windtunnel.types.listings import listed_estimators, listed_hyperparameters

QUICK = Pacing(poll=0.05)
SMALL = {
    "task": "digits",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 8, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
}
"""A job of a few seconds."""


class Driver(ABC):
    """Drives one client, so that a test reads the same for both twins."""

    client: Any
    spec: dict[str, Any]
    """A small job of the suite."""

    @abstractmethod
    def __call__(self, asked: Any) -> Any:
        """What a call gives."""

    @abstractmethod
    def each(self, asked: Any) -> Iterator[Any]:
        """What an iterator gives, one by one."""


class Blocking(Driver):
    """A client whose calls give values."""

    def __init__(self, client: Any, spec: dict[str, Any]) -> None:
        self.client, self.spec = client, spec

    def __call__(self, asked: Any) -> Any:
        return asked

    def each(self, asked: Any) -> Iterator[Any]:
        return iter(asked)


class Awaited(Driver):
    """A client whose calls are awaited, on one event loop."""

    def __init__(self, client: Any, spec: dict[str, Any], runner: asyncio.Runner) -> None:
        self.client, self.spec, self._runner = client, spec, runner

    def __call__(self, asked: Any) -> Any:
        async def awaited() -> Any:
            return await asked

        return self._runner.run(awaited())

    def each(self, asked: Any) -> Iterator[Any]:
        end = object()
        while (item := self(anext(asked, end))) is not end:
            yield item


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the local clients keep their jobs, one after the other: the second finds those of the first."""
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module", params=["HTTP", "HTTP, awaited", "local", "local, awaited"])
def drive(request: pytest.FixtureRequest, folder: pathlib.Path) -> Iterator[Driver]:
    """A client of a server with one worker and without keys, and how to drive it."""
    # Over HTTP the job is that of the fixture ``finished``, which other tests need too.
    known = request.getfixturevalue("finished").spec.model_dump(mode="json") if "HTTP" in request.param else SMALL
    match request.param:
        case "HTTP":
            with Client(request.getfixturevalue("service"), pacing=QUICK) as client:
                yield Blocking(client, known)
        case "local":
            with Client.local(folder, threads=1, pacing=QUICK) as client:
                yield Blocking(client, SMALL)
        case "HTTP, awaited":
            with asyncio.Runner() as runner:
                client = AsyncClient(request.getfixturevalue("service"), pacing=QUICK)
                yield Awaited(client, known, runner)
                runner.run(client.close())
        case "local, awaited":
            with asyncio.Runner() as runner:
                client = runner.run(AsyncClient.local(folder, threads=1, pacing=QUICK))
                yield Awaited(client, SMALL, runner)
                runner.run(client.close())


@pytest.fixture
def job(drive: Driver) -> Any:
    """A small job that has succeeded."""
    job = drive(drive.client.jobs.create(drive.spec, idempotency_key="finished"))
    drive(job.wait(120, progress=False))
    return job


def test_the_server_is_ready_and_tells_what_can_be_asked_for(drive):
    client = drive.client
    assert drive(client.ready()) is None
    assert {task.name: task for task in drive(client.tasks())} == TASKS
    assert drive(client.estimators()) == listed_estimators()
    assert drive(client.hyperparameters()) == listed_hyperparameters()
    assert "cosine" in {schedule.name for schedule in drive(client.schedules())}
    assert client.base_url in repr(client)


def test_a_job_is_followed_to_its_result(drive, job):
    steps = list(drive.each(job.follow()))
    assert [step.outer_step for step in steps] == [0, 1, 2]
    assert all(isinstance(step, OuterStep) for step in steps)
    events = list(drive.each(job.events()))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert list(drive.each(job.events(after=3))) == events[3:]
    assert {type(event.details) for event in events} == {Queued, Started, OuterStep, Finishing, Succeeded}
    assert events[1].details.worker and events[-1].details.test.mean > 0
    for event in events:
        assert event.details.model_dump(mode="json", exclude_unset=True) == event.data
    result = drive(job.result())
    assert isinstance(result, TuneResult) and drive(result.steps()) == steps
    assert result == drive(job.outcome()) == drive(job.wait(progress=False))
    assert [wire.state for wire in drive.each(job.watch())] == ["succeeded"]


def test_a_result_plots_and_plans(drive, job):
    result = drive(job.result())
    assert isinstance(drive(result.plot()), go.Figure)
    assert isinstance(drive(result.plot("loss")), go.Figure)
    with pytest.raises(InvalidRequest, match="tuning, loss"):
        drive(result.plot("pie"))
    plan = drive(result.plan(width=64, steps=100, force=True))
    assert isinstance(plan, TransferPlan) and (plan.width, plan.job_id) == (64, job.id)
    assert drive(drive.client.plans.get(plan.id)) == plan
    compile(drive(plan.to("torch")), "plan.py", "exec")
    assert plan.id in drive(job.refresh()).plans
    with pytest.raises(ValidationFailed) as caught:
        drive(job.plan(width=8))
    assert [error.pointer for error in caught.value.errors] == ["/width"]


def test_what_came_from_no_client_says_where_the_server_is_needed(drive, job):
    result = drive(job.result())
    lying = type(result).model_validate_json(result.model_dump_json())
    assert lying.model_dump() == result.model_dump()
    with pytest.raises(InvalidRequest, match=r"client\.jobs\.get"):
        drive(lying.plan(width=32))


def test_jobs_wait_go_on_and_are_cancelled(drive):
    jobs = drive.client.jobs
    long = SMALL | {"outer": {"steps": 500}}
    # The one worker has the first, so that the second is queued.
    running = drive(jobs.create(long))
    while drive(running.refresh()).state != "running":
        QUICK.sleep(QUICK.poll)
    queued = drive(jobs.create(long | {"name": "second"}))
    with pytest.raises(WaitTimeout, match="goes on"):
        drive(queued.wait(0, progress=False))
    with pytest.raises(NotFinished):
        drive(queued.result())
    assert drive(queued.pause()).state == "paused" == drive(jobs.get(queued.id)).state
    assert drive(queued.resume()).state == "queued"
    assert drive(jobs.pause(queued.id)).state == "paused"
    assert drive(jobs.resume(queued.id)).state == "queued"
    assert drive(jobs.cancel(queued.id)).state == "cancelled" == drive(queued.refresh()).state
    assert queued.id in {each.id for each in drive.each(jobs.list(state="cancelled", task="digits"))}
    drive(running.cancel())
    with pytest.raises(JobCancelled, match=running.id):
        drive(running.wait(60, progress=False))


def test_a_job_is_forked(drive, job):
    child = drive(job.fork(model={"width": 32}, outer=None, idempotency_key="forked"))
    assert (child.spec.model.width, child.spec.model.depth, child.spec.outer) == (32, 2, JobSpec(task="digits").outer)
    again = drive(drive.client.jobs.fork(job.id, {"model": {"width": 32}, "outer": None}, idempotency_key="forked"))
    assert again.id == child.id != job.id
    best = drive(job.fork(from_best=True, seed=1))
    assert best.spec.initial == job.best.hyperparameters
    with pytest.raises(ForkRefused, match="weight_decay"):
        drive(job.fork(from_best=True, search=[{"name": "learning_rate"}]))
    with pytest.raises(ValidationFailed) as caught:
        drive(job.fork(model={"width": -3}))
    assert [error.pointer for error in caught.value.errors] == ["/overrides/model/width"]
    with pytest.raises(InvalidRequest, match="not both"):
        drive(job.fork({"seed": 1}, seed=2))
    for each in (child, best):
        drive(each.cancel())


def test_a_job_is_bundled(drive, job, tmp_path):
    written = drive(job.bundle(tmp_path))
    assert written == tmp_path / f"{job.id}.zip" and list(tmp_path.iterdir()) == [written]
    with zipfile.ZipFile(written) as bundle:
        content = {name.removeprefix(f"{job.id}/"): bundle.read(name) for name in bundle.namelist()}
    sums = json.loads(content["manifest.json"])["files"]
    assert set(sums) == set(content) - {"manifest.json"}
    assert all(hashlib.sha256(content[name]).hexdigest() == entry["sha256"] for name, entry in sums.items())
    assert JobSpec.model_validate_json(content["spec.json"]) == job.spec
    assert drive(job.bundle(str(tmp_path / "again.zip"))).read_bytes()[:2] == b"PK"
    with pytest.raises(InvalidRequest, match="cannot write"):
        drive(job.bundle(tmp_path / "nowhere" / "a.zip"))


def test_one_key_makes_one_job(drive, job):
    assert drive(drive.client.jobs.create(drive.spec, idempotency_key="finished")).id == job.id


def test_an_estimate_takes_a_spec_or_its_fields(drive):
    estimate = drive.client.estimate
    assert drive(estimate(task="digits")) == drive(estimate({"task": "digits"}))
    with pytest.raises(InvalidRequest, match="not both"):
        drive(estimate({"task": "digits"}, task="digits"))


def test_bad_fields_are_named(drive):
    for ask in (drive.client.jobs.create, drive.client.estimate):
        with pytest.raises(ValidationFailed) as caught:
            drive(ask(task="digits", model={"width": -3}, widht=3))
        assert {error.pointer for error in caught.value.errors} == {"/model/width", "/widht"}


def test_what_is_not_there_is_not_found(drive):
    client = drive.client
    asks = [
        client.jobs.get, client.jobs.cancel, client.jobs.pause, client.jobs.resume, client.plans.get,
        client.jobs.fork, client.jobs.delete, client.plans.delete, client.laws.delete, client.datasets.get,
        client.datasets.delete, client.laws.get, client.workers.drain,
        client.keys.revoke, client.webhooks.get, client.webhooks.delete, client.webhooks.ping,
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(NotFound, match="nothing_like_it"):
            drive(ask("nothing_like_it"))
        with pytest.raises(InvalidRequest, match="empty"):
            drive(ask(""))


def test_a_data_set_comes_and_goes(drive, tmp_path):
    datasets = drive.client.datasets
    table = tmp_path / "table.csv"
    table.write_text("a,target\n" + "".join(f"{row},{row % 2}\n" for row in range(100)))
    dataset = drive(datasets.upload(table))
    assert drive(datasets.upload(table)).id == dataset.id
    assert [each.id for each in drive(datasets.list())] == [dataset.id]
    assert drive(datasets.get(dataset.id)).columns == ["a"]
    assert drive(drive.client.estimate(task=dataset)).memory.fits
    assert drive(datasets.find("table")) == drive(datasets.find(dataset.id[-5:])) == drive(datasets.get(dataset.id))
    assert drive(drive.client.estimate(task="table")) == drive(drive.client.estimate(task=dataset))
    job = drive(drive.client.jobs.create(task="table", inner={"steps": 50_000}))
    assert (job.spec.task, job.wire.task_title) == (dataset.id, "table")
    drive(job.cancel())
    fork = drive(job.fork(task=dataset.id[-5:], seed=1))
    drive(fork.cancel())
    listed = [each.id for each in drive.each(drive.client.jobs.list(task="table"))]
    counted = drive(drive.client.jobs.counts(task="table"))
    assert sum(counted.values()) == len(listed) and set(counted) <= {"running", "cancelled"}
    assert listed[:2] == [fork.id, job.id]  # the other twin had the same before
    for left in (fork, job):
        with pytest.raises(JobCancelled):
            drive(left.wait(timeout=60, progress=False))
    table.write_text(table.read_text() + "100,0\n")
    other = drive(datasets.upload(table))
    for ask in (
        datasets.find,
        lambda name: drive.client.estimate(task=name),
        lambda name: drive.client.jobs.create(task=name),
    ):
        with pytest.raises(InvalidRequest, match=f"{other.id}.*{dataset.id}"):
            drive(ask("table"))
    drive(datasets.delete(other.id))
    with pytest.raises(ValidationFailed, match="no task"):
        drive(drive.client.jobs.create(task="nothing like it"))
    assert drive(datasets.delete(dataset.id)) is None
    assert drive(datasets.list()) == []
    with pytest.raises(InvalidRequest, match="cannot read"):
        drive(datasets.upload(tmp_path / "none.csv"))


def test_laws_are_fitted_kept_and_spent_by(drive):
    laws = drive.client.laws
    powers = range(4, 10)
    table = {"parameters": [10.0**n for n in powers], "loss": [2 + 100 * 10 ** (-0.3 * n) for n in powers]}
    fit = drive(laws.fit(columns=table))
    assert drive(laws.get(fit.id)) == fit
    assert fit.id in {each.id for each in drive.each(laws.list())}
    assert drive(laws.allocate(flops=1e21)).allocations
    assert drive(laws.delete(fit.id)) is None
    with pytest.raises(NotFound):
        drive(laws.get(fit.id))
    with pytest.raises(LawRefused):
        drive(laws.fit(columns={name: values[:2] for name, values in table.items()}))
    with pytest.raises(InvalidRequest, match="exactly one table"):
        drive(laws.fit())


def test_plans_are_listed_page_by_page_and_deleted(drive, job, monkeypatch):
    for part in (_async_plan, _plan):
        monkeypatch.setattr(part, "PAGE", 2)
    made = [drive(job.plan(width=16 * n, force=True)) for n in (2, 3, 4)]
    listed = list(drive.each(drive.client.plans.of_job(job.id)))
    assert listed[-3:] == made
    assert drive(listed[-1].to("yaml")).count(made[2].id)
    drive(made[0].delete())
    drive(drive.client.plans.delete(made[1].id))
    assert [each.id for each in drive.each(drive.client.plans.of_job(job.id))] == [
        each.id for each in [*listed[:-3], made[2]]
    ]
    with pytest.raises(NotFound):
        drive(made[0].delete())
    alone = type(made[0]).model_validate_json(made[2].model_dump_json())
    with pytest.raises(InvalidRequest, match="did not come from a client"):
        drive(alone.delete())


def test_a_job_is_deleted_once_it_has_ended(drive):
    jobs = drive.client.jobs
    fresh = drive(jobs.create({**drive.spec, "inner": {**drive.spec["inner"], "steps": 50_000}}))
    with pytest.raises(JobNotEnded, match="cancel it"):
        drive(fresh.delete())
    drive(fresh.cancel())
    with pytest.raises(JobCancelled):
        drive(fresh.wait(timeout=60, progress=False))
    assert drive(fresh.delete()) is None
    with pytest.raises(NotFound):
        drive(jobs.get(fresh.id))


def test_there_is_a_worker_and_there_are_no_keys(drive, job):
    assert job.id is not None
    assert [worker.draining for worker in drive(drive.client.workers.list())] == [False]
    assert drive(drive.client.keys.list()) == []


def test_a_webhook_comes_and_goes(drive):
    webhooks = drive.client.webhooks
    made = drive(webhooks.create("https://example.com/hook", events=["job.failed"], name="chat"))
    assert made.secret.startswith("whsec_") and made.events == ["job.failed"]
    assert [each.id for each in drive(webhooks.list())] == [made.id]
    assert drive(webhooks.get(made.id)).deliveries == []
    assert drive(webhooks.delete(made.id)) is None
    assert drive(webhooks.list()) == []
    with pytest.raises(ValidationFailed, match="loopback"):
        drive(webhooks.create("http://127.0.0.1:1/"))


def test_a_download_is_whole_or_not_there(script, scripted, job_json, tmp_path, time):
    script.answer(200, job_json)
    job = scripted.jobs.get("job_1")
    script.steps.clear()
    there = tmp_path / "a.zip"
    there.write_bytes(b"before")
    script.stream("PK", complete=False)
    with pytest.raises(ConnectionFailed):
        job.bundle(there)
    assert time.slept == [0.5, 1]
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.zip", b"before")]
    script.steps.clear()
    script.stream("PK", complete=False).stream("PK whole", complete=True)
    assert job.bundle(there).read_bytes() == b"PK whole"
    assert len(list(tmp_path.iterdir())) == 1
