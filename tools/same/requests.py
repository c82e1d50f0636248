"""What both checkouts are asked besides running jobs: refused requests, plans, listings, commands, ``windtunnel.tune``."""

import random
from typing import Any

from same.cases import SGD, Spec, search


def _table() -> str:
    chance = random.Random(0)
    rows = ([round(chance.gauss(0, 1), 3) for _ in range(4)] for _ in range(90))
    lines = [",".join(map(str, row)) + f",{('low', 'high')[row[0] + row[1] * row[2] > 0]}" for row in rows]
    return "\n".join(["a,b,c,d,target", *lines, ""])


def _text() -> str:
    chance = random.Random(1)
    return " ".join(chance.choice(("the", "plane", "flies", "over", "a", "tunnel", "of", "wind")) for _ in range(260))


UPLOADS: dict[str, dict[str, Any]] = {
    "@table": {"file": ("table.csv", _table())},
    "@text": {"file": ("words.txt", _text()), "context": "8"},
}
"""Data sets, by the task that cases name: the fields of their upload. Their ids follow from their content."""

BAD: dict[str, Spec] = {
    "no-task": {},
    "unknown-task": {"task": "nothing"},
    "unknown-optimizer": {"task": "digits", "optimizer": {"name": "nothing"}},
    "unknown-family": {"task": "digits", "model": {"family": "nothing"}},
    "unknown-estimator": {"task": "digits", "method": {"estimator": "nothing"}},
    "unknown-schedule": {"task": "digits", "schedule": {"name": "nothing"}},
    "family-of-another-task": {"task": "digits", "model": {"family": "transformer"}},
    "adamw-l2": {"task": "digits", "optimizer": {"name": "adamw", "decay": "l2"}},
    "beta-of-sgd": {"task": "digits", "optimizer": {"name": "sgd", "beta1": 0.9}},
    "momentum-of-adam": {"task": "digits", "optimizer": {"name": "adam", "momentum": 0.9}},
    "search-eps-of-sgd": {"task": "digits", "optimizer": {"name": "sgd"}, "search": search("eps")},
    "search-attention-of-mlp": {"task": "digits", "search": search("attention_multiplier")},
    "truncated-init-scale": {"task": "digits", "method": {"estimator": "truncated"}, "search": search("init_scale")},
    "implicit-learning-rate": {"task": "digits", "method": {"estimator": "implicit"}},
    "stn-learning-rate": {"task": "digits", "method": {"estimator": "stn"}},
    "setting-of-another-estimator": {"task": "digits", "method": {"estimator": "reverse", "samples": 4}},
    "auto-best-response": {"task": "digits", "method": {"best_response": "stn"}, "search": search("dropout")},
    "module-best-response": {"task": "same-sums", "method": {"estimator": "stn"}, "search": search("l2")},
    "module-higher": {"task": "same-sums", "method": {"estimator": "higher"}},
    "module-dropout": {"task": "same-sums", "search": search("dropout")},
    "text-augmentation": {"task": "python-text", "search": search("augmentation")},
    "standard-target": {"task": "digits", "parametrization": "standard", "target": {"width": 128}},
    "adam-l2-target": {"task": "digits", "optimizer": {"name": "adam"}, "target": {"width": 128}},
    "adamw-l2-in-the-loss-target": {"task": "digits", "regularization": {"l2": 1e-3}, "target": {"width": 128}},
    "completep-of-mlp": {"task": "digits", "transfer": {"depth_rule": "completep"}},
    "completep-of-sgd": {
        "task": "digits",
        "model": {"family": "resnet"},
        "optimizer": {"name": "sgd"},
        "transfer": {"depth_rule": "completep"},
    },
    "sqrt-decay-of-sgd": {"task": "digits", "optimizer": {"name": "sgd"}, "transfer": {"decay_rule": "sqrt"}},
    "starts-of-auto": {"task": "digits", "outer": {"starts": 2}},
    "heads-of-target": {"task": "python-text", "target": {"width": 100}},
    "too-large": {"task": "digits", "model": {"width": 8192, "depth": 32}},
    "too-large-resnet": {"task": "digits", "model": {"family": "resnet", "width": 2048}, "method": {"estimator": "es"}},
    "too-large-text": {"task": "python-text", "model": {"width": 8192}, "method": {"estimator": "higher"}},
}
"""Requests that are refused when they are sent."""

CHECK = ("--seeds", "2", "--steps", "2", "--json")
COMMANDS: dict[str, tuple[str, ...]] = {
    "coordcheck-adamw": ("coordcheck", "digits", "--widths", "8,16,32", *CHECK),
    "coordcheck-standard-sgd": (
        *("coordcheck", "digits", "--widths", "8,16,32", *CHECK),
        *("--parametrization", "standard", "--optimizer", "sgd"),
    ),
    "coordcheck-ntk-text": ("coordcheck", "python-text", "--widths", "16,32", *CHECK, "--parametrization", "ntk"),
    "coordcheck-heads": ("coordcheck", "python-text", "--widths", "50,100"),
    "roles-module": ("roles", "same_modules.task:TASK", "--json"),
    "roles-transformer": ("roles", "--family", "transformer", "--json"),
}
"""Commands that need no server, by name: the words after ``windtunnel``."""

TUNED_RUN: Spec = {"model": {"width": 16, "depth": 2}, "inner": {"steps": 8, "batch_size": 16, "seeds": 2}}
TUNED: dict[str, Spec] = {
    "tune-auto": {**TUNED_RUN, "outer": {"steps": 2, "finish_seeds": 2}},
    "tune-own-loss": {
        **TUNED_RUN,
        "own_loss": True,
        "parametrization": "standard",
        "optimizer": SGD,
        "method": {"estimator": "forward", "samples": 2},
        "outer": {"steps": 1, "scout": False, "finish_seeds": 2},
    },
}
"""Calls of ``windtunnel.tune``: its keywords, and ``own_loss``."""

LISTINGS = ("/v1/tasks", "/v1/estimators", "/v1/schedules", "/v1/hyperparameters")
FORMATS = ("json", "yaml", "torch", "huggingface", "optax", "nanogpt")


def plans(spec: Spec) -> dict[str, Spec]:
    """The bodies of the plans that are asked for of a finished job."""
    # The families' own depths where a case names none.
    width, depth, batch = 4 * spec["model"]["width"], spec["model"].get("depth", 2), spec["inner"]["batch_size"]
    return {
        "wider": {"width": width},
        "deeper and longer, forced": {"width": width, "depth": 2 * depth, "steps": 100, "force": True},
        "with larger batches, forced": {"width": width, "batch_size": 2 * batch, "examples": 50_000, "force": True},
    }
