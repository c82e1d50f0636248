"""Data sets as their callers see them: list, read, delete, for routes and pages. An upload begins in receiving.py."""

from service.caller import Caller
from service.datasets import storage
from service.settings import ServiceSettings
from store import datasets
from store.database import Database
from windtunnel.types import Dataset


def listing(database: Database, caller: Caller) -> list[Dataset]:
    """The caller's data sets, newest first, without their columns and scaling."""
    with database.snapshot() as session:
        return datasets.listing(session, owner=caller.owner)


def get(database: Database, caller: Caller, dataset_id: str) -> Dataset:
    """One data set of the caller. Raises DatasetNotFound."""
    with database.snapshot() as session:
        return datasets.get(session, dataset_id, owner=caller.owner)


def delete(database: Database, settings: ServiceSettings, caller: Caller, dataset_id: str) -> None:
    """Delete a data set of the caller and its files.

    Raises:
        DatasetNotFound: the caller has none of that id.
        DatasetInUse: a job that has not ended reads it.
    """
    storage.remove(database, settings, caller.owner, dataset_id)
