"""Checkpoint files: whole or not there, and a damaged one is known as such."""

import json
from pathlib import Path

import pytest

from store.checkpoints import Checkpoint
from store.leases import Lease
from workers import checkpoints
from workers.checkpoints import BadCheckpoint, Written

LEASE = Lease("job_1", 2, "worker", 3)
FILES = {"state.safetensors": bytes(range(256)), "state.json": b'{"a": 1}'}
SPEC = "5" * 64


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return checkpoints.write(tmp_path, LEASE, 7, FILES, SPEC)


def pointer(written: Written) -> Checkpoint:
    return Checkpoint(1, LEASE.job_id, LEASE.epoch, 7, written.path, written.manifest_sha256)


def test_what_is_written_is_read_back(tmp_path: Path, written: Written) -> None:
    assert written.path == "jobs/job_1/2-7"
    assert checkpoints.read(tmp_path, pointer(written), 3, SPEC) == FILES
    assert [path.name for path in (tmp_path / "jobs/job_1").iterdir()] == ["2-7"]


def test_the_manifest_says_what_made_it(tmp_path: Path, written: Written) -> None:
    manifest = json.loads((tmp_path / written.path / "manifest.json").read_text())
    assert (manifest["job"], manifest["epoch"], manifest["outer_step"], manifest["threads"]) == ("job_1", 2, 7, 3)
    assert manifest["spec_sha256"] == SPEC
    assert {"python", "torch", "windtunnel"} <= manifest["versions"].keys()


def test_an_unfinished_try_is_replaced(tmp_path: Path, written: Written) -> None:
    (tmp_path / "jobs/job_1/2-7.aside").mkdir()
    again = checkpoints.write(tmp_path, LEASE, 7, {"state.json": b"other"}, SPEC)
    assert checkpoints.read(tmp_path, pointer(again), 3, SPEC) == {"state.json": b"other"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "state.safetensors").write_bytes(bytes(100)), "state.safetensors has 100 bytes"),
        (lambda folder: (folder / "state.json").write_bytes(b'{"a": 2}'), "state.json has 8 bytes that do not match"),
        (lambda folder: (folder / "state.json").unlink(), "state.json cannot be read: No such file"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{}"), "manifest.json is not the one"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_the_reason(tmp_path: Path, written: Written, damage, reason: str) -> None:
    damage(tmp_path / written.path)
    with pytest.raises(BadCheckpoint, match=reason):
        checkpoints.read(tmp_path, pointer(written), 3, SPEC)


def test_a_checkpoint_of_other_circumstances_is_refused(tmp_path: Path, written: Written) -> None:
    with pytest.raises(BadCheckpoint, match="another job spec"):
        checkpoints.read(tmp_path, pointer(written), 3, "6" * 64)
    with pytest.raises(BadCheckpoint, match="computed with 3 threads, this job has 1"):
        checkpoints.read(tmp_path, pointer(written), 1, SPEC)


def test_a_sweep_takes_only_what_earlier_epochs_left_unrecorded(tmp_path: Path) -> None:
    job = tmp_path / "jobs/job_1"
    for name in ("1-3", "1-4", "1-5.aside", "2-4", "2-5.aside", "3-0"):
        (job / name).mkdir(parents=True)
    checkpoints.sweep(tmp_path, LEASE, {"jobs/job_1/1-4"})
    assert sorted(path.name for path in job.iterdir()) == ["1-4", "2-4", "2-5.aside", "3-0"]
    checkpoints.sweep(tmp_path, Lease("job_of_no_folder", 1, "worker"), set())


def test_removing_what_is_gone_is_fine(tmp_path: Path, written: Written) -> None:
    for _ in range(2):
        checkpoints.remove(tmp_path, written.path)
    assert not (tmp_path / written.path).exists()
