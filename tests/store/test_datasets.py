"""Rows of data sets: the same content is the same row, nobody sees another's, and no job outlives its data."""

import threading
from datetime import UTC, datetime

import pytest

from store import datasets, held_jobs, jobs, leases
from store.database import Database
from store.errors import DatasetInUse, DatasetNotFound, DatasetsTooLarge, LeaseLost, TooManyDatasets
from store.identifiers import dataset_id
from windtunnel.tasks import TASKS
from windtunnel.types import Dataset, JobSpec, Scaling, TaskInfo, is_dataset


def dataset(content: str = "a", owner: str = "ann") -> Dataset:
    sha256 = content * 64
    identity = dataset_id(owner, sha256)
    task = TaskInfo(
        name=identity,
        title=content,
        features=2,
        classes=2,
        sources=("no", "yes"),
        train_examples=60,
        validation_examples=20,
        test_examples=20,
        source="a test",
    )
    return Dataset(
        id=identity,
        name=content,
        file="a.csv",
        format="csv",
        bytes=9,
        sha256=sha256,
        columns=["x", "y"],
        target="kind",
        task=task,
        scaling=Scaling(mean=[1 / 3, 0], deviation=[1, 2 / 7]),
        created_at=datetime.now(UTC),
    )


def keep(database: Database, which: Dataset, owner: str = "ann", limit: int = 10) -> tuple[Dataset, bool]:
    with database.transaction() as s:
        return datasets.keep(s, which, owner=owner, limit=limit)


def test_the_same_content_is_the_same_data_set_of_its_owner(database: Database) -> None:
    first, fresh = keep(database, dataset())
    assert fresh and is_dataset(first.id) and first.scaling == dataset().scaling
    assert keep(database, dataset()) == (first, False)
    theirs, fresh = keep(database, dataset(owner="bob"), owner="bob")
    assert fresh and theirs.id != first.id and theirs.sha256 == first.sha256
    with database.snapshot() as s:
        assert datasets.get(s, first.id, owner="ann") == first
        assert [each.id for each in datasets.listing(s, owner="ann")] == [first.id]
    with database.transaction() as s:
        for refused in (datasets.get, datasets.hold, datasets.delete):
            with pytest.raises(DatasetNotFound, match="none of yours"):
                refused(s, first.id, owner="bob")


def test_an_owner_has_no_more_than_the_limit(database: Database) -> None:
    keep(database, dataset("a"), limit=1)
    keep(database, dataset("a"), limit=1)
    with pytest.raises(TooManyDatasets, match="allowed: 1"):
        keep(database, dataset("b"), limit=1)
    keep(database, dataset("b", "bob"), owner="bob", limit=1)
    with database.transaction() as s:
        datasets.delete(s, dataset("a").id, owner="ann")
    keep(database, dataset("b"), limit=1)


def test_a_deleted_data_set_is_gone_but_for_what_came_from_it(database: Database) -> None:
    kept, _ = keep(database, dataset("c"))
    with database.transaction() as s:
        datasets.delete(s, kept.id, owner="ann")
    with database.transaction() as s:
        with pytest.raises(DatasetNotFound, match="was deleted"):
            datasets.get(s, kept.id, owner="ann")
        with pytest.raises(DatasetNotFound, match="was deleted"):
            jobs.submit(s, JobSpec(task=kept.id), owner="ann")
        assert datasets.listing(s, owner="ann") == []
        assert datasets.facts(s, [kept.id, "digits"]) == {kept.id: kept.task}
    assert kept.id not in TASKS and kept.id not in list(TASKS)
    revived, fresh = keep(database, dataset("c"))
    assert fresh and revived.id == kept.id


def test_a_worker_reads_the_data_set_of_the_job_that_it_holds(database: Database) -> None:
    kept, _ = keep(database, dataset("w"))
    with database.transaction() as s:
        lease = leases.claim(s, jobs.submit(s, JobSpec(task=kept.id), owner="ann").id, "worker", 60)
        assert lease is not None and held_jobs.dataset(s, lease).task == kept.task
        leases.release(s, lease, "test")
        with pytest.raises(LeaseLost):
            held_jobs.dataset(s, lease)


def test_jobs_are_of_their_owners_data_only(database: Database) -> None:
    kept, _ = keep(database, dataset())
    with database.transaction() as s, pytest.raises(DatasetNotFound, match="none of yours"):
        jobs.submit(s, JobSpec(task=kept.id), owner="bob")
    with database.transaction() as s, pytest.raises(DatasetNotFound):
        jobs.submit(s, JobSpec(task="ds_" + "0" * 26), owner="ann")


def test_a_deletion_beside_a_submission_waits_and_then_sees_the_job(database: Database) -> None:
    kept, _ = keep(database, dataset())
    outcome: list[Exception] = []

    def delete() -> None:
        try:
            with database.transaction() as s:
                datasets.delete(s, kept.id, owner="ann")
        except DatasetInUse as error:
            outcome.append(error)

    with database.transaction() as s:
        job = jobs.submit(s, JobSpec(task=kept.id), owner="ann")
        thread = threading.Thread(target=delete)
        thread.start()
    thread.join()
    assert [type(error) for error in outcome] == [DatasetInUse] and job.id in str(outcome[0])
    with database.transaction() as s:
        jobs.request_pause(s, job.id, owner="ann")
        with pytest.raises(DatasetInUse):
            datasets.delete(s, kept.id, owner="ann")
        jobs.request_cancel(s, job.id, owner="ann")
        datasets.delete(s, kept.id, owner="ann")


def test_rooms_beyond_32_bits_add_up_and_an_older_data_set_counts_by_its_file(database: Database) -> None:
    gib = 1 << 30
    keep(database, dataset("a").model_copy(update={"stored_bytes": 3 * gib}))
    keep(database, dataset("b").model_copy(update={"stored_bytes": 0, "bytes": 2 * gib}))
    keep(database, dataset("c", owner="bob").model_copy(update={"stored_bytes": 9 * gib}), owner="bob")
    more = dataset("d").model_copy(update={"stored_bytes": gib})

    def keep_within(most_bytes: int) -> bool:
        with database.transaction() as s:
            return datasets.keep(s, more, owner="ann", limit=10, most_bytes=most_bytes)[1]

    with pytest.raises(DatasetsTooLarge, match=f"{5 * gib:,}; allowed together: {6 * gib - 1:,}"):
        keep_within(6 * gib - 1)
    assert keep_within(6 * gib)
