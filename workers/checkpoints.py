"""Checkpoint files: a folder for each outer step with the study's files and a manifest of their digests. Never pickle.

A folder is complete or not there: it is written aside, synced, renamed, and its parent synced.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from store.checkpoints import Checkpoint
from store.files import flush
from store.leases import Lease

MANIFEST = "manifest.json"

PACKAGES = ("windtunnel", "torch", "numpy", "safetensors")
"""Packages whose versions a manifest names."""


class BadCheckpoint(Exception):
    """The files are not what was written; the message says how."""


@dataclass(frozen=True)
class Written:
    """A checkpoint that is safe on disk and that the database does not know of."""

    path: str
    """The folder, relative to the data folder, with forward slashes."""
    manifest_sha256: str


def write(data_dir: Path, lease: Lease, outer_step: int, files: Mapping[str, bytes], spec_sha256: str) -> Written:
    """Write ``<data_dir>/jobs/<job>/<epoch>-<outer step>/``, replacing what an unfinished try left there.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    manifest = {
        "job": lease.job_id,
        "epoch": lease.epoch,
        "outer_step": outer_step,
        "threads": lease.threads,
        "spec_sha256": spec_sha256,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "files": {name: {"sha256": _sha256(content), "bytes": len(content)} for name, content in files.items()},
    }
    described = json.dumps(manifest, indent=1, sort_keys=True).encode()
    path = f"jobs/{lease.job_id}/{lease.epoch}-{outer_step}"
    folder = data_dir / path
    aside = folder.with_name(folder.name + ".aside")
    for leftover in (folder, aside):
        if leftover.exists():
            shutil.rmtree(leftover)
    aside.mkdir(parents=True)
    for name, content in {**files, MANIFEST: described}.items():
        _write_synced(aside / name, content)
    flush(aside)
    aside.rename(folder)
    flush(folder.parent)
    return Written(path, _sha256(described))


def read(data_dir: Path, checkpoint: Checkpoint, threads: int, spec_sha256: str) -> dict[str, bytes]:
    """The study's files, each checked against the manifest, and the manifest against the database.

    Raises:
        BadCheckpoint: a file is missing or altered, or belongs to another job spec or thread count.
    """
    folder = data_dir / checkpoint.path
    described = _read(folder / MANIFEST)
    if _sha256(described) != checkpoint.manifest_sha256:
        raise BadCheckpoint(f"{MANIFEST} is not the one that was written")
    manifest = json.loads(described)
    if manifest["spec_sha256"] != spec_sha256:
        raise BadCheckpoint("it was made from another job spec")
    if manifest["threads"] != threads:
        raise BadCheckpoint(f"it was computed with {manifest['threads']} threads, this job has {threads}")
    files = {}
    for name, facts in manifest["files"].items():
        files[name] = _read(folder / name)
        if _sha256(files[name]) != facts["sha256"]:
            raise BadCheckpoint(
                f"{name} has {len(files[name])} bytes that do not match its digest; {facts['bytes']} were written"
            )
    return files


def remove(data_dir: Path, path: str) -> None:
    """Delete one checkpoint's folder; one that is gone is fine."""
    shutil.rmtree(data_dir / path, ignore_errors=True)


def sweep(data_dir: Path, lease: Lease, kept: Collection[str]) -> None:
    """Delete what earlier epochs of the job left unfinished or unrecorded; ``kept`` are the paths that the database has.

    Only earlier epochs: a process that has lost its lease must not delete what its successor writes.
    """
    job = data_dir / "jobs" / lease.job_id
    if not job.is_dir():
        return
    for folder in job.iterdir():
        epoch = folder.name.partition("-")[0]
        if epoch.isdigit() and int(epoch) < lease.epoch and f"jobs/{lease.job_id}/{folder.name}" not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
