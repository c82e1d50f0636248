"""Records the answers in the OpenAPI document: a real server with a real worker, every request example, one small job.

``python -m benchmarks.api_examples`` writes service/examples/answers.json. Long lists are cut to their beginning.
"""

import json
import re
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from service import examples
from service.app import create_app
from service.examples import FORM, JSON, Example
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

FILE = Path(examples.__file__).parent / "answers.json"
ITEMS = 3
"""Number of items that a list keeps at most."""
DIGITS = 6
SECRETS = {"key": "wt_" + "0" * 43, "secret": "whsec_" + "0" * 43 + "="}
"""Field that holds a secret -> value shown in its place."""
LAST = ("POST /v1/keys", "DELETE /v1/keys/{key_id}", "POST /v1/workers/{worker_id}/drain")
"""Routes to call last: after them the server stops answering, or running jobs."""


def send(client: httpx.Client, method: str, path: str, example: Example | None, **more: Any) -> httpx.Response:
    """The answer to one request, made from its example."""
    match example:
        case None:
            return client.request(method, path, **more)
        case Example(_, value, media_type) if media_type == FORM:
            fields = dict(value)
            content = fields.pop("file")
            return client.request(method, path, files={"file": (fields["name"], content)}, data=fields, **more)
        case Example(_, value, media_type):
            content = json.dumps(value) if media_type == JSON else value
            return client.request(method, path, content=content, headers={"content-type": media_type}, **more)


def shown(value: Any, name: str = "") -> Any:
    """A value as an example shows it: lists cut, secrets replaced."""
    match value:
        case dict():
            return {key: shown(each, key) for key, each in value.items()}
        case list():
            return [shown(each) for each in value[:ITEMS]]
        case float():
            return float(f"{value:.{DIGITS}g}")
        case str() if name in SECRETS:
            return SECRETS[name]
        case str():
            return re.sub(re.escape(socket.gethostname()), "tunnel", value)
        case _:
            return value


def record(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Route -> its answer, for every route that answers with JSON."""
    document = client.get("/openapi.json").json()
    found: dict[str, dict[str, Any]] = {}
    ids: dict[str, str] = {}

    def keep(name: str, example: Example | None = None, path: str | None = None) -> Any:
        method, _, template = name.partition(" ")
        answer = send(client, method, (path or template).format(**ids), example)
        answer.raise_for_status()
        if answer.headers.get("content-type", "").startswith(JSON):
            found[name] = {str(answer.status_code): shown(answer.json())}
            return answer.json()
        return None

    def requests(name: str) -> Mapping[str, Example]:
        method, _, path = name.partition(" ")
        return examples.REQUESTS[(method, path)]

    job = keep("POST /v1/jobs", requests("POST /v1/jobs")["with a target"])
    ids["job_id"] = job["id"]
    with client.stream("GET", f"/v1/jobs/{job['id']}/events", timeout=600) as events:
        for line in events.iter_lines():
            if line.startswith("event:"):
                print(line, flush=True)
    for name, of in (("datasets", "dataset_id"), ("laws/fits", "fit_id"), ("webhooks", "webhook_id")):
        ids[of] = keep(f"POST /v1/{name}", next(iter(requests(f"POST /v1/{name}").values())))["id"]
    for (method, path), some in examples.REQUESTS.items():
        if f"{method} {path}" not in found and f"{method} {path}" not in LAST:
            made = keep(f"{method} {path}", list(some.values())[-1 if "fork" in path else 0])
            if path.startswith("/v1/jobs/") and path.endswith("/plans"):
                ids["plan_id"] = made["id"]
    ids["worker_id"] = client.get("/v1/workers").json()["items"][0]["id"]
    waiting = client.post("/v1/jobs", json={"task": "digits", "name": "to be stopped"}).json()["id"]
    for act in ("pause", "resume", "cancel"):
        keep(f"POST /v1/jobs/{{job_id}}/{act}", path=f"/v1/jobs/{waiting}/{act}")
    names = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    reads = [name for name in names if name.startswith("GET ") and name != "GET /metrics"]
    client.headers["accept"] = JSON
    for name in reads + [name for name in names if name.endswith("/ping")]:
        keep(name, path=f"/v1/jobs/compare?job={job['id']}" if name == "GET /v1/jobs/compare" else None)
    made = keep("POST /v1/keys", requests("POST /v1/keys")["named"])
    ids["key_id"] = client.post("/v1/keys", json={"name": "old"}, headers=bearer(made["key"])).json()["id"]
    client.headers.update(bearer(made["key"]))
    keep("DELETE /v1/keys/{key_id}")
    keep("POST /v1/workers/{worker_id}/drain")
    return dict(sorted(found.items()))


def bearer(key: str) -> dict[str, str]:
    """Headers that carry an API key."""
    return {"authorization": f"Bearer {key}"}


def main() -> None:
    """Record the answers and write them."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(data_dir=Path(folder), webhook_poll=60)
        schema.upgrade(settings.url)
        database = Database(settings.url)
        dispatcher = LocalDispatcher(database, WorkerSettings(data_dir=Path(folder), threads=1, poll=0.1))
        app = create_app(settings, database=database, dispatcher=dispatcher)
        with background(app) as url, httpx.Client(base_url=url, timeout=300) as client:
            found = record(client)
        database.dispose()
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(found)} answers in {FILE}")


if __name__ == "__main__":
    main()
