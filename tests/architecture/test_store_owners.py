"""Public functions of the store on owned rows take the owner, or the lease that stands for the right to them."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

import store
from store.deliveries import Attempt
from store.leases import Lease

FENCED = (Lease, Attempt)
"""The right of a worker to a job, of a server to a delivery: each names its epoch, and a later one voids it."""

WITHOUT_OWNER = {
    "dialect.insert_or_ignore": "writes the row that it is given",
    "dialect.upsert": "writes the rows that it is given",
    "dialect.take_turns": "locks a name, and reads and writes no row",
    "events.append": "joins a transaction that holds the job already, as its owner or under its lease",
    "jobs.as_jobs": "makes jobs of rows that a query has found for their owner or under their lease",
    "datasets.facts": "tells what the data sets of jobs are that a query has found for their owner or under their lease",
    "keys.find": "tells who the owner is, by the secret that only they have",
    "keys.used": "notes the use of keys that were found by their secrets",
    "keys.any_made": "says whether anybody has a key",
    "keys.everybodys": "is for whoever has the database itself, and says so in its name",
    "keys.revoke_anybodys": "is for whoever has the database itself, and says so in its name",
    "removal.ended_before": "picks what the server no longer keeps, whosever it is",
    "sessions.find": "tells who the owner is, by the secret that only their browser has",
    "sessions.end": "ends the session of whoever has its secret",
    "leases.claim": "gives a worker a waiting job, whosever it is",
    "leases.reap": "takes back what nobody holds any more, whosever it is",
    "leases.running": "lists the leases of the whole fleet for its workers",
    "outbox.due": "picks whose job is next: it is about all owners",
    "deliveries.claim": "picks whose message is next: it is about all owners",
    "deliveries.any_due": "says whether there is any message to send",
    "checkpoints.newest_first": "reads where the files of a job lie, for the worker that holds it",
    "measures.measure": "counts the whole fleet, for operators",
    "workers.seen": "is about a worker, which nobody owns",
    "workers.free": "is about workers, which nobody owns",
    "workers.request_drain": "is about a worker, which nobody owns",
    "workers.computes": "is about a worker, which nobody owns",
    "workers.measured": "is about a worker, which nobody owns",
    "workers.gone": "is about a worker, which nobody owns",
    "workers.listing": "is about workers, which nobody owns; the service hides whose jobs they run",
}
"""Public function with a session and no owner -> why not. It ..."""


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function of the store that begins with a session, by module and name."""
    for found in pkgutil.iter_modules(store.__path__):
        module = importlib.import_module(f"store.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                first = next(iter(inspect.signature(function).parameters.values()), None)
                if first is not None and first.annotation is Session:
                    yield f"{found.name}.{name}", function


ALL = dict(functions())


@pytest.mark.parametrize("name", sorted(set(ALL) - set(WITHOUT_OWNER)))
def test_a_function_on_owned_rows_requires_their_owner_by_name(name: str) -> None:
    parameters = inspect.signature(ALL[name]).parameters
    if any(each.annotation in FENCED for each in parameters.values()):
        return
    assert "owner" in parameters, f"store.{name} takes no owner; say in WITHOUT_OWNER why, if it needs none"
    owner = parameters["owner"]
    assert owner.kind is inspect.Parameter.KEYWORD_ONLY and owner.default is inspect.Parameter.empty
    assert owner.annotation is str


def test_every_exception_is_one() -> None:
    assert set(WITHOUT_OWNER) <= set(ALL)
    for name in WITHOUT_OWNER:
        parameters = inspect.signature(ALL[name]).parameters
        assert "owner" not in parameters and not any(each.annotation in FENCED for each in parameters.values()), name
