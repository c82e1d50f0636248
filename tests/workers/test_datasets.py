"""A worker and the data set of its job: standardised as stored, checked by its digest, sought in the shared folder."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hpo.errors import InvalidData
from service.datasets.options import Upload, UploadOptions
from service.datasets.storage import remove, store
from service.settings import ServiceSettings
from store import events, jobs
from store.database import Database
from store.files import FILE
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import Dataset, JobSpec
from workers.datasets import data_of
from workers.run_slice import Pulse, run
from workers.settings import WorkerSettings

Claimed = Callable[[JobSpec | str], Lease]

GENERATOR = np.random.Generator(np.random.PCG64(0))
POINTS = GENERATOR.normal(5, 3, size=(200, 2))
CLASSES = (POINTS[:, 0] > 5).astype(int)


def keep(database: Database, settings: WorkerSettings, labels: object = CLASSES) -> Dataset:
    file = io.BytesIO()
    np.savez(file, inputs=POINTS, labels=labels)
    given = ServiceSettings(data_dir=settings.data_dir)
    spooled = Path(settings.data_dir / "upload")
    spooled.write_bytes(file.getvalue())
    with spooled.open("rb") as opened:
        return store(database, given, "local", Upload(opened, "points.npz", "npz", UploadOptions()))[0]


def spec_of(dataset: Dataset) -> JobSpec:
    given = {"inner": {"steps": 8, "batch_size": 16, "seeds": 2}, "outer": {"steps": 1, "finish_seeds": 2}}
    return JobSpec.of({"task": dataset.id, "model": {"width": 8}, **given}, dataset.task)


def test_inputs_are_standardised_by_the_training_part(sqlite: Database, settings: WorkerSettings, claimed: Claimed) -> None:
    dataset = keep(sqlite, settings)
    data = data_of(spec_of(dataset), sqlite, claimed(spec_of(dataset)), settings.data_dir)
    assert data is not None and data.sha256 == dataset.sha256
    train = data.train.inputs.double()
    assert torch.allclose(train.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(train.std(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-6)
    assert data.test.inputs.mean(0).abs().max() > 1e-3, "the test part is scaled by the training part's numbers"
    assert dataset.scaling is not None
    mean, deviation = (torch.tensor(values) for values in (dataset.scaling.mean, dataset.scaling.deviation))
    parts = (data.train, data.validation, data.test)
    raw = torch.cat([part.inputs * deviation + mean for part in parts])
    assert sorted(raw[:, 0].tolist()) == pytest.approx(sorted(POINTS[:, 0]), abs=1e-4)
    for part in parts:
        back = part.inputs[:, 0] * deviation[0] + mean[0]
        assert torch.equal(part.labels, (back > 5).long()) and torch.equal(part.sources, part.labels)


def test_targets_are_standardised_too(sqlite: Database, settings: WorkerSettings, claimed: Claimed) -> None:
    dataset = keep(sqlite, settings, POINTS.sum(1))
    data = data_of(spec_of(dataset), sqlite, claimed(spec_of(dataset)), settings.data_dir)
    assert data is not None and data.train.labels.dtype == torch.float32
    assert float(data.train.labels.mean()) == pytest.approx(0, abs=1e-6)
    assert float(data.train.labels.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_other_tasks_say_themselves_where_their_data_are(
    sqlite: Database, settings: WorkerSettings, claimed: Claimed
) -> None:
    spec = JobSpec(task="digits")
    assert data_of(spec, sqlite, claimed(spec), settings.data_dir) is None


def test_a_damaged_file_is_known_by_its_digest(sqlite: Database, settings: WorkerSettings, claimed: Claimed) -> None:
    dataset = keep(sqlite, settings)
    path = settings.data_dir / "datasets" / dataset.id / FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=f"expected {dataset.sha256}: the file is damaged"):
        data_of(spec_of(dataset), sqlite, claimed(spec_of(dataset)), settings.data_dir)


def test_a_job_whose_data_are_elsewhere_fails_and_says_what_to_share(
    sqlite: Database,
    settings: WorkerSettings,
    tmp_path: Path,
    claimed: Claimed,
    pulse: Pulse,
) -> None:
    dataset = keep(sqlite, settings)
    lease = claimed(spec_of(dataset))
    run(settings.model_copy(update={"data_dir": tmp_path / "other"}), lease, pulse)
    with sqlite.snapshot() as s:
        job = jobs.get(s, lease.job_id, owner=LOCAL)
    assert job.failure is not None and job.failure.type == "invalid_data"
    assert "workers share the data folder" in (job.failure.hint or "")


def test_a_job_goes_on_from_its_checkpoint_with_the_same_data(
    sqlite: Database, settings: WorkerSettings, claimed: Claimed, pulse: Pulse
) -> None:
    lease = claimed(spec_of(keep(sqlite, settings)))
    run(settings, lease, pulse)
    with sqlite.snapshot() as s:
        assert "succeeded" in [event.type for event in events.history(s, lease.job_id, owner=LOCAL)]
    remove(sqlite, ServiceSettings(data_dir=settings.data_dir), "local", spec_of_job(sqlite, lease))


def spec_of_job(database: Database, lease: Lease) -> str:
    with database.snapshot() as s:
        return jobs.get(s, lease.job_id, owner=LOCAL).spec.task
