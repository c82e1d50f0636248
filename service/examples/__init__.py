"""Examples of the OpenAPI document: a request for every body, and an answer for every route that answers with JSON.

Requests are written here; answers were recorded from a real server by ``python -m benchmarks.api_examples``, which sends
these requests. Tests send them again, and hold both against their schemas.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

JSON, CSV, FORM = "application/json", "text/csv", "multipart/form-data"


class Example(NamedTuple):
    """One request that is good as it stands."""

    summary: str
    value: Any
    media_type: str = JSON


_RUNS = {
    "parameters": [1e4, 3e4, 1e5, 3e5, 1e6, 3e6],
    "loss": [8.310, 6.538, 5.162, 4.274, 3.585, 3.140],
}
_AS_CSV = "parameters,loss\n" + "".join(
    f"{size:.0f},{loss}\n" for size, loss in zip(_RUNS["parameters"], _RUNS["loss"], strict=True)
)
_HOUSES = "rooms,age,price\n" + "".join(f"{2 + row % 5},{3 * row},{90 + 31 * (row % 5) - row}\n" for row in range(50))

_FLIGHT = {
    "name": "first flight",
    "task": "digits",
    "model": {"width": 32},
    "inner": {"steps": 60, "seeds": 2},
    "method": {"estimator": "reverse"},
    "outer": {"steps": 2},
    "target": {"width": 256},
}

REQUESTS: dict[tuple[str, str], dict[str, Example]] = {
    ("POST", "/v1/jobs"): {
        "smallest": Example("A task is enough", {"task": "digits"}),
        "with a target": Example("A small job that makes the plan of a model of width 256 when it ends", _FLIGHT),
    },
    ("PATCH", "/v1/jobs/{job_id}"): {
        "all": Example(
            "Another name, tags and notes", {"name": "second flight", "tags": ["paper"], "notes": "the best so far"}
        ),
        "tags": Example("All tags taken away", {"tags": []}),
    },
    ("POST", "/v1/jobs/{job_id}/fork"): {
        "same again": Example("The same spec once more", {}),
        "other size": Example("With another seed and a wider model", {"overrides": {"seed": 1, "model": {"width": 128}}}),
        "from the best": Example(
            "Begun at the parent's best hyperparameters, without looking around first",
            {"from_best": True, "overrides": {"outer": {"scout": False}}},
        ),
    },
    ("POST", "/v1/jobs/{job_id}/plans"): {
        "wider": Example("All but the width as in the proxy", {"width": 1024}),
        "wider and deeper": Example("Another depth, too; made whatever the checks say", {"width": 512, "force": True}),
    },
    ("POST", "/v1/plans"): {
        "values": Example(
            "Values that a sweep found for a proxy of width 64",
            {
                "values": {"learning_rate": 0.003, "learning_rate.input": 0.01, "weight_decay": 0.1, "beta2": 0.95},
                "task": "digits",
                "model": {"width": 64},
                "target": {"width": 1024},
            },
        ),
    },
    ("POST", "/v1/estimates"): {"spec": Example("A spec, as for a job", {"task": "digits", "model": {"width": 128}})},
    ("POST", "/v1/datasets"): {
        "csv": Example(
            "A CSV whose column `price` is to be learned",
            {"file": _HOUSES, "name": "houses", "format": "csv", "target": "price", "kind": "regression"},
            FORM,
        ),
    },
    ("POST", "/v1/laws/fits"): {
        "columns": Example(
            "Six runs of one size each", {"name": "six sizes", "columns": _RUNS, "laws": ["loss_parameters"]}
        ),
        "csv": Example("The same as CSV", _AS_CSV, CSV),
    },
    ("POST", "/v1/laws/allocations"): {
        "compute": Example("A budget in floating-point operations", {"flops": 1e21}),
        "money": Example(
            "A budget in money", {"money": 10_000, "price_per_hour": 25, "flops_per_second": 3e15, "batch_size": 500_000}
        ),
    },
    ("POST", "/v1/keys"): {"named": Example("A key for one machine", {"name": "laptop"})},
    ("POST", "/v1/webhooks"): {
        "ends": Example("The three ends of a job", {"url": "https://example.com/hooks/windtunnel"}),
        "chosen": Example(
            "Chosen events", {"url": "https://example.com/", "events": ["job.succeeded", "job.crashed"], "name": "chat"}
        ),
    },
}
"""(method, path) -> example requests by title, for every route that takes a body."""


@cache
def answers() -> dict[str, dict[str, Any]]:
    """Good answers by ``METHOD path`` and status."""
    read: dict[str, dict[str, Any]] = json.loads((files(__package__) / "answers.json").read_text())
    return read
