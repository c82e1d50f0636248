"""A row of another owner is not there: a stranger asks every function of the store that takes an owner."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

import store
from store import (
    datasets,
    deliveries,
    events,
    identifiers,
    jobs,
    keys,
    law_fits,
    leases,
    measures,
    metrics,
    plans,
    removal,
    sessions,
    webhooks,
)
from store.database import Database
from store.errors import (
    DatasetNotFound,
    JobNotFound,
    KeyNotFound,
    LawFitNotFound,
    PlanNotFound,
    StoreError,
    WebhookNotFound,
)
from store.tables import metadata
from windtunnel.types import Dataset, JobSpec, TransferPlan, TuneResult
from windtunnel.types.datasets import Scaling
from windtunnel.types.labels import JobLabels
from windtunnel.types.laws import LawFit
from windtunnel.types.tasks import TaskInfo

OWNER, STRANGER = "ann", "bob"

CREATING = {
    "jobs.submit",
    "datasets.keep",
    "keys.create",
    "webhooks.create",
    "law_fits.save",
    "deliveries.enqueue",
    "plans.insert_plan",
}
"""Functions that make a row of the owner and look at no other: for a stranger they make the stranger's own."""

Ask = Callable[[Session, dict[str, str], str], Any]

NOT_FOUND: dict[str, tuple[Ask, type[StoreError]]] = {
    "jobs.get": (lambda s, ids, owner: jobs.get(s, ids["job"], owner=owner), JobNotFound),
    "jobs.result": (lambda s, ids, owner: jobs.result(s, ids["job"], owner=owner), JobNotFound),
    "jobs.attempts": (lambda s, ids, owner: jobs.attempts(s, ids["job"], owner=owner), JobNotFound),
    "jobs.request_cancel": (lambda s, ids, owner: jobs.request_cancel(s, ids["waiting"], owner=owner), JobNotFound),
    "jobs.request_pause": (lambda s, ids, owner: jobs.request_pause(s, ids["waiting"], owner=owner), JobNotFound),
    "plans.briefs": (lambda s, ids, owner: plans.briefs(s, ids["job"], owner=owner), JobNotFound),
    "jobs.label": (lambda s, ids, owner: jobs.label(s, ids["job"], JobLabels(name="x"), owner=owner), JobNotFound),
    "jobs.resume": (lambda s, ids, owner: jobs.resume(s, ids["waiting"], owner=owner), JobNotFound),
    "events.after": (lambda s, ids, owner: events.after(s, ids["job"], 0, owner=owner), JobNotFound),
    "events.history": (lambda s, ids, owner: events.history(s, ids["job"], owner=owner), JobNotFound),
    "metrics.points": (lambda s, ids, owner: metrics.points(s, ids["job"], owner=owner), JobNotFound),
    "plans.get": (lambda s, ids, owner: plans.get(s, ids["plan"], owner=owner), PlanNotFound),
    "plans.of_job": (lambda s, ids, owner: plans.of_job(s, ids["job"], owner=owner), JobNotFound),
    "plans.save": (
        lambda s, ids, owner: plans.save(
            s, plans.get(s, ids["plan"], owner=OWNER).model_copy(update={"id": identifiers.plan_id()}), owner=owner
        ),
        JobNotFound,
    ),
    "jobs.check": (lambda s, ids, owner: jobs.check(s, ids["job"], owner=owner), JobNotFound),
    "removal.remove_job": (lambda s, ids, owner: removal.remove_job(s, ids["job"], owner=owner), JobNotFound),
    "plans.page": (lambda s, ids, owner: plans.page(s, ids["job"], owner=owner, limit=9), JobNotFound),
    "plans.remove": (lambda s, ids, owner: plans.remove(s, ids["plan"], owner=owner), PlanNotFound),
    "law_fits.remove": (lambda s, ids, owner: law_fits.remove(s, ids["fit"], owner=owner), LawFitNotFound),
    "sessions.begin": (lambda s, ids, owner: sessions.begin(s, ids["key"], owner=owner, seconds=9), KeyNotFound),
    "law_fits.get": (lambda s, ids, owner: law_fits.get(s, ids["fit"], owner=owner), LawFitNotFound),
    "datasets.get": (lambda s, ids, owner: datasets.get(s, ids["dataset"], owner=owner), DatasetNotFound),
    "datasets.hold": (lambda s, ids, owner: datasets.hold(s, ids["dataset"], owner=owner), DatasetNotFound),
    "datasets.delete": (lambda s, ids, owner: datasets.delete(s, ids["dataset"], owner=owner), DatasetNotFound),
    "keys.revoke": (lambda s, ids, owner: keys.revoke(s, ids["key"], owner=owner), KeyNotFound),
    "webhooks.get": (lambda s, ids, owner: webhooks.get(s, ids["webhook"], owner=owner), WebhookNotFound),
    "webhooks.remove": (lambda s, ids, owner: webhooks.remove(s, ids["webhook"], owner=owner), WebhookNotFound),
    "deliveries.ping": (lambda s, ids, owner: deliveries.ping(s, ids["webhook"], owner=owner), WebhookNotFound),
}
"""Function -> how to ask it for the owner's rows, and the error that a stranger gets."""

EMPTY: dict[str, Ask] = {
    "jobs.page": lambda s, _, owner: jobs.page(s, owner=owner).items,
    "events.newest": lambda s, _, owner: events.newest(s, owner=owner),
    "jobs.counts": lambda s, _, owner: jobs.counts(s, owner=owner),
    "jobs.owned": lambda s, ids, owner: jobs.owned(s, [ids["job"]], owner=owner),
    "law_fits.page": lambda s, _, owner: law_fits.page(s, owner=owner).items,
    "plans.latest": lambda s, _, owner: plans.latest(s, owner=owner, limit=10)[0],
    "datasets.listing": lambda s, _, owner: datasets.listing(s, owner=owner),
    "keys.listing": lambda s, _, owner: keys.listing(s, owner=owner),
    "webhooks.listing": lambda s, _, owner: webhooks.listing(s, owner=owner),
    "deliveries.newest_first": lambda s, ids, owner: deliveries.newest_first(s, ids["webhook"], 10, owner=owner),
    "measures.states_of": lambda s, _, owner: [n for n in measures.states_of(s, owner=owner).values() if n],
}
"""Function -> how to list the owner's rows with it: a stranger's list is empty."""


def owned_functions() -> set[str]:
    """Every function of the store that begins with a session and takes an owner."""
    found = set()
    for each in pkgutil.iter_modules(store.__path__):
        module = importlib.import_module(f"store.{each.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            parameters = inspect.signature(function).parameters
            first = next(iter(parameters.values()), None)
            session_first = first is not None and first.annotation is Session
            if session_first and "owner" in parameters and function.__module__ == module.__name__ and name[0] != "_":
                found.add(f"{each.name}.{name}")
    return found


@pytest.fixture
def ids(
    database: Database,
    tune_result: TuneResult,
    make_plan: Callable[[str, str], TransferPlan],
) -> dict[str, str]:
    """One row of the owner of each kind."""
    sha256, plan_id, fit_id = "0" * 64, identifiers.plan_id(), identifiers.law_fit_id()
    dataset_id = identifiers.dataset_id(OWNER, sha256)
    now = datetime.now(UTC)
    with database.transaction() as s:
        webhook = webhooks.create(s, owner=OWNER, name="", url="https://example.com/", events=["job.queued"], most=9)
        job = jobs.submit(s, JobSpec(task="digits"), owner=OWNER)
        lease = leases.claim(s, job.id, "worker", 60)
        assert lease is not None
        metrics.record(s, lease, 0, {"loss": 1.0})
        leases.succeed(s, lease, tune_result)
        plans.save(s, make_plan(plan_id, job.id), owner=OWNER)
        waiting = jobs.submit(s, JobSpec(task="digits"), owner=OWNER)
        key = keys.create(s, "laptop", owner=OWNER)
        task = TaskInfo(
            name=dataset_id,
            kind="classification",
            title="a",
            features=2,
            classes=2,
            sources=("no", "yes"),
            train_examples=60,
            validation_examples=20,
            test_examples=20,
            source="a test",
        )
        kept = Dataset(
            id=dataset_id,
            name="a",
            file="a.csv",
            format="csv",
            bytes=9,
            sha256=sha256,
            columns=["x", "y"],
            target="kind",
            task=task,
            scaling=Scaling(mean=[0, 0], deviation=[1, 1]),
            created_at=now,
        )
        datasets.keep(s, kept, owner=OWNER, limit=9)
        fit = LawFit(
            id=fit_id, name="", created_at=now, rows=0, columns=[], ignored_columns=[], laws=[], refusals=[], seconds=0.0
        )
        law_fits.save(s, fit, owner=OWNER)
    return {
        "job": job.id,
        "waiting": waiting.id,
        "plan": plan_id,
        "fit": fit_id,
        "dataset": dataset_id,
        "key": key.id,
        "webhook": webhook.id,
    }


def rows(database: Database) -> dict[str, list[Any]]:
    with database.snapshot() as s:
        return {table.name: sorted(map(repr, s.execute(table.select()))) for table in metadata.sorted_tables}


def test_every_function_with_an_owner_is_asked_here() -> None:
    assert owned_functions() == CREATING | set(NOT_FOUND) | set(EMPTY)


def test_a_strangers_row_is_not_found_and_not_changed(database: Database, ids: dict[str, str]) -> None:
    before = rows(database)
    for ask, error in NOT_FOUND.values():
        with database.transaction() as s, pytest.raises(error):
            ask(s, ids, STRANGER)
    for name, ask_for_all in EMPTY.items():
        with database.transaction() as s:
            assert not ask_for_all(s, ids, STRANGER), name
    assert rows(database) == before


def test_the_owner_is_answered_by_each_of_them(database: Database, ids: dict[str, str]) -> None:
    for name, ask_for_all in EMPTY.items():
        with database.transaction() as s:
            assert ask_for_all(s, ids, OWNER), name
    # Last, and in this order: nothing is there after them, and no session begins with a key that was revoked.
    ending = ("keys.revoke", "datasets.delete", "webhooks.remove", "law_fits.remove", "plans.remove", "removal.remove_job")
    for name in sorted(NOT_FOUND, key=lambda each: ending.index(each) if each in ending else -1):
        with database.transaction() as s:
            NOT_FOUND[name][0](s, ids, OWNER)


def test_the_same_idempotency_key_of_a_stranger_makes_the_strangers_own_job(database: Database) -> None:
    spec = JobSpec(task="digits")
    with database.transaction() as s:
        first = jobs.submit(s, spec, owner=OWNER, idempotency_key="k")
        theirs = jobs.submit(s, spec, owner=STRANGER, idempotency_key="k")
        assert first.id != theirs.id
        with pytest.raises(JobNotFound):
            jobs.get(s, first.id, owner=STRANGER)
