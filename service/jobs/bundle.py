"""Everything about a job in one zip: to read it elsewhere, to run it again, and to see that nothing was changed since.

The same state of a job gives the same bytes: entries stand in a fixed order, with the time at which the job was made.
"""

import hashlib
import io
import json
import zipfile
from typing import Any

from sqlalchemy.orm import Session

import windtunnel
from store import jobs, metrics, plans
from store.events import history
from windtunnel.types import Job

EVERY_POINT = 2**31 - 1

README = """A job of Windtunnel and all that was recorded of it.

spec.json      send it to POST /v1/jobs to run it again: same seed, same versions and same threads give the same numbers
job.json       where it stood when this was made
events.jsonl   its log, an event a line
metrics.json   every series, every point
attempts.json  who worked on it, when, and how that ended
result.json    what it found; only where it succeeded, with the versions, threads and digests in `provenance`
plans/         the transfer plans made from it
versions.json  of the server that wrote this, and of the packages that computed the result
manifest.json  SHA-256 and size of every other file
"""


def bundle(s: Session, job_id: str, *, owner: str) -> bytes:
    """The zip of a job of the owner. Raises JobNotFound."""
    job, result = jobs.get(s, job_id, owner=owner), jobs.result(s, job_id, owner=owner)
    found = None if result is None else result.model_dump(mode="json")
    log = [event.model_dump_json() for event in history(s, job_id, owner=owner)]
    files = {
        "README.txt": README,
        "spec.json": _json(job.spec.model_dump(mode="json")),
        "job.json": _json(job.model_dump(mode="json")),
        "events.jsonl": "".join(f"{line}\n" for line in log),
        "metrics.json": _json(
            [each.model_dump(mode="json") for each in metrics.points(s, job_id, None, EVERY_POINT, owner=owner)]
        ),
        "attempts.json": _json([each.model_dump(mode="json") for each in jobs.attempts(s, job_id, owner=owner)]),
        "versions.json": _json(
            {"windtunnel": windtunnel.__version__, "computed_with": found["provenance"]["versions"] if found else None}
        ),
    }
    if found is not None:
        files["result.json"] = _json(found)
    for plan in plans.of_job(s, job_id, owner=owner):
        files[f"plans/{plan.id}.json"] = _json(plan.model_dump(mode="json"))
    content = {name: text.encode() for name, text in files.items()}
    sums = {name: {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)} for name, body in content.items()}
    manifest = {"job_id": job_id, "files": sums}
    return _zip(job, {**content, "manifest.json": _json(manifest).encode()})


def _zip(job: Job, files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{job.id}/{name}", job.created_at.timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, files[name])
    return written.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
