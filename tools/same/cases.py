"""The fixed list of jobs that are run in both checkouts.

Every job is a change of ``SMALL``. Most have the parametrization ``standard``, for the coordinate check that all others
end with costs more than such a job; what the check and the carrying depend on, optimizer, family and parametrization, has
cases of its own. A task that begins with ``@`` is a data set that is uploaded first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Spec = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One job."""

    name: str
    spec: Spec
    ends: Literal["succeeded", "failed"] = "succeeded"
    """How the job is meant to end."""


SMALL: Spec = {
    "task": "digits",
    "parametrization": "standard",
    "model": {"width": 8},
    "transfer": {"noise_scale": False},
    "inner": {"steps": 8, "batch_size": 16, "seeds": 2},
    "method": {"estimator": "reverse"},
    "outer": {"steps": 1, "scout": False, "finish_seeds": 2},
}


def changed(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> Spec:
    """A spec with changes merged into it: objects field by field, all else replaced."""
    merged = dict(spec)
    for name, value in changes.items():
        before = merged.get(name)
        merged[name] = changed(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def job(name: str, ends: Literal["succeeded", "failed"] = "succeeded", /, **changes: Any) -> Case:
    """``SMALL`` with changes."""
    return Case(name, changed(SMALL, {"name": name, **changes}), ends)


def search(*names: str) -> list[Spec]:
    """Search items written ``name`` or ``name:scope``."""
    parts = (name.partition(":") for name in names)
    return [{"name": name, **({"scope": scope} if scope else {})} for name, _, scope in parts]


SGD = {"name": "sgd", "learning_rate": 0.05}
ADAM = {"name": "adam", "decay": "decoupled"}
ADAMW = {"name": "adamw"}
TEXT = {"task": "@text", "model": {"family": "transformer", "width": 16, "d_head": 8, "depth": 1}}
TEXT_RUN = {"steps": 5, "batch_size": 4, "seeds": 2}
RESNET = {"family": "resnet", "width": 4, "depth": 1}
RESNET_RUN = {"steps": 5, "batch_size": 8, "seeds": 2}

CARRIED = (
    job(
        "mup-adamw-auto",
        parametrization="mup",
        method={"estimator": "auto"},
        outer={"steps": 3, "scout": True},
        target={"width": 32, "depth": 3, "steps": 50},
    ),
    job(
        "mup-sgd",
        parametrization="mup",
        optimizer={**SGD, "momentum": 0.8},
        search=search("learning_rate:role", "momentum", "weight_decay:tensor", "output_multiplier"),
        target={"width": 32},
    ),
    job(
        "mup-adam-independent",
        parametrization="mup",
        optimizer={"name": "adam", "decay": "independent", "weight_decay": 1e-4},
        search=search("learning_rate", "beta1", "beta2", "eps:role", "clip_norm", "init_scale:tensor"),
        transfer={"decay_rule": "none"},
        target={"width": 32},
    ),
    job("mup-adam-l2", parametrization="mup", optimizer={"name": "adam"}),
    job("u-mup-adamw", parametrization="u-mup", optimizer={"decay": "independent"}, search=search("learning_rate:tensor")),
    job("u-mup-sgd", parametrization="u-mup", optimizer={**SGD, "decay": "decoupled"}),
    job("spectral-adamw", parametrization="spectral", transfer={"decay_rule": "sqrt"}, model={"activation": "tanh"}),
    job("spectral-sgd", parametrization="spectral", optimizer={**SGD, "clip_norm": None}),
    job("ntk-adam", parametrization="ntk", optimizer=ADAM, model={"activation": "gelu"}),
    job("ntk-sgd", parametrization="ntk", optimizer={**SGD, "decay": "independent"}, transfer={"decay_rule": "none"}),
    job(
        "resnet-mup-adamw",
        parametrization="mup",
        model=RESNET,
        inner=RESNET_RUN,
        search=search("learning_rate:role", "weight_decay:role", "init_scale:role", "dropout:layer"),
        target={"width": 8, "depth": 2},
    ),
    job("resnet-u-mup-adam", parametrization="u-mup", optimizer=ADAM, model=RESNET, inner=RESNET_RUN),
    job("resnet-spectral-sgd", parametrization="spectral", optimizer=SGD, model=RESNET, inner=RESNET_RUN),
    job(
        "transformer-mup-adamw",
        task="python-text",
        model=TEXT["model"],
        parametrization="mup",
        inner=TEXT_RUN,
        search=search("learning_rate:role", "attention_multiplier", "embedding_multiplier", "mixture_weight"),
        target={"width": 32, "depth": 2},
    ),
    job("transformer-spectral-adam", **TEXT, parametrization="spectral", optimizer=ADAM, inner=TEXT_RUN),
    job(
        "module-mup-adamw",
        task="same-sums",
        parametrization="mup",
        model={"width": 16, "depth": 2},
        search=search("learning_rate:role", "weight_decay:role", "init_scale"),
        target={"width": 32},
    ),
)
"""Optimizers, families and parametrizations with their coordinate checks."""

STANDARD = (
    job("resnet-patches-adam", task="mnist5k", model=RESNET, optimizer=ADAM, inner=RESNET_RUN),
    job("transformer-sgd", **TEXT, optimizer=SGD, inner=TEXT_RUN),
    job("transformer-adamw-auto", **TEXT, inner=TEXT_RUN, method={"estimator": "auto"}, outer={"steps": 2}),
    job("module-sgd", task="same-sums", model={"width": 16, "depth": 2}, optimizer=SGD),
    job("module-adam-es", task="same-sums", model={"width": 16}, optimizer=ADAM, method={"estimator": "es", "samples": 2}),
    job("table", task="@table", search=search("learning_rate:role", "mixture_weight")),
    job("regression", task="diabetes", optimizer=SGD, search=search("learning_rate:role", "input_noise")),
)
"""The families without a coordinate check, the other tasks, and uploaded data sets."""

SYNTHETIC = {"task": "synthetic", "model": {"width": 8}}
RATES = search("learning_rate:role", "weight_decay")
TERMS = search("l2:role", "label_smoothing", "input_noise")
RESPONSE = {"training_steps": 1, "warmup": 0.25, "perturbation": 0.3, "entropy": 0.01, "response_rate": 0.02}

ESTIMATORS = (
    job("auto-race", **SYNTHETIC, method={"estimator": "auto"}, outer={"steps": 4, "scout": True, "early_stopping": True}),
    job("auto-budget", **SYNTHETIC, method={"estimator": "auto"}, outer={"budget": 60, "scout": True, "steps": 3}),
    job("reverse-exact-sqrt", **SYNTHETIC, method={"adjoint": "exact", "checkpointing": "sqrt"}),
    job(
        "reverse-every-third",
        **SYNTHETIC,
        method={"checkpointing": 3, "growth_budget": 3.0},
        outer={"scout": True, "early_stopping": True},
    ),
    job("reverse-none-gauss-newton", **SYNTHETIC, method={"adjoint": "gauss_newton", "checkpointing": "none"}),
    job("reverse-starts", **SYNTHETIC, search=RATES, outer={"steps": 2, "scout": True, "starts": 3}),
    job("higher", **SYNTHETIC, method={"estimator": "higher"}),
    job("higher-sgd", **SYNTHETIC, method={"estimator": "higher"}, optimizer=SGD, search=search("momentum", "l2")),
    job("forward-tangents", **SYNTHETIC, method={"estimator": "forward", "samples": 2}, optimizer=SGD),
    job("greedy-sgd", **SYNTHETIC, method={"estimator": "greedy"}, optimizer=SGD, search=search("learning_rate", "l2")),
    job("implicit-cg", **SYNTHETIC, method={"estimator": "implicit", "solver_steps": 4}, search=TERMS),
    job(
        "implicit-neumann",
        **SYNTHETIC,
        method={"estimator": "implicit", "solver": "neumann", "solver_steps": 4, "damping": 0.01},
        optimizer=SGD,
        search=search("l2", "mixture_weight"),
    ),
    job(
        "implicit-nystrom",
        **SYNTHETIC,
        method={"estimator": "implicit", "solver": "nystrom", "solver_steps": 4},
        optimizer={"name": "adam"},
        search=search("l2", "dropout"),
    ),
    job("stn", **SYNTHETIC, method={"estimator": "stn", **RESPONSE}, search=TERMS, inner={"steps": 16}, outer={"steps": 2}),
    job(
        "delta-stn",
        method={"estimator": "delta_stn", "control_variate": True, "hyper_rate": 0.05, **RESPONSE},
        optimizer=SGD,
        search=search("dropout:layer", "augmentation", "l2:role"),
        inner={"steps": 16},
        outer={"steps": 2},
    ),
    job(
        "reverse-beside-delta-stn",
        parametrization="mup",
        method={"best_response": "delta_stn", "training_steps": 1},
        search=search("learning_rate", "dropout", "input_noise"),
        outer={"steps": 2},
    ),
    job(
        "transformer-es-beside-stn",
        **TEXT,
        method={"estimator": "es", "samples": 2, "best_response": "stn", "training_steps": 1},
        inner=TEXT_RUN,
        search=search("learning_rate", "dropout:layer"),
        outer={"steps": 2},
    ),
)
"""Estimators, with the settings that change what they compute."""


def scheduled(schedule: Spec, optimizer: Spec, *names: str, **changes: Any) -> Case:
    """A schedule whose shape is searched."""
    return job(
        f"schedule-{changes.pop('of', schedule['name'])}",
        **SYNTHETIC,
        schedule=schedule,
        optimizer=optimizer,
        search=search("learning_rate", *names),
        **changes,
    )


SCHEDULES = (
    scheduled({"name": "constant"}, SGD, method={"estimator": "es", "samples": 3, "sigma": 0.2}),
    scheduled({"name": "warmup", "warmup_fraction": 0.3}, ADAMW, "warmup_fraction"),
    scheduled({"name": "step", "step_size": 0.4}, ADAM, "decay_gamma", "warmup_fraction"),
    scheduled(
        {"name": "multistep", "milestones": [0.3, 0.8]}, SGD, "decay_gamma", method={"estimator": "finite_difference"}
    ),
    scheduled({"name": "exponential"}, ADAMW, "decay_gamma", "warmup_fraction", method={"estimator": "forward"}),
    scheduled({"name": "cosine", "warmup_fraction": 0.2, "floor": 0.05}, ADAM, "floor", "warmup_fraction"),
    scheduled({"name": "cosine-restarts", "cycle_multiplier": 2.0}, SGD, "cycle_length", "decay_gamma", "floor"),
    scheduled({"name": "cyclic"}, ADAMW, "cycle_length", "floor", method={"estimator": "truncated", "window": 3}),
    scheduled(
        {"name": "inverse-sqrt", "warmup_fraction": 0.3},
        ADAM,
        "warmup_fraction",
        method={"estimator": "pes", "samples": 3, "window": 3},
    ),
    scheduled({"name": "warmup-stable-decay", "decay_fraction": 0.4, "floor": 0.1}, SGD, "decay_fraction", "floor"),
    scheduled(
        {"name": "warmup-stable-decay", "decay_shape": "1-sqrt"},
        ADAMW,
        "weight_decay:role",
        of="warmup-stable-decay-1-sqrt",
        method={"estimator": "greedy"},
    ),
    scheduled(
        {"name": "gpt3", "warmup_tokens": 20, "decay_tokens": 100},
        ADAM,
        *("floor", "beta1", "beta2", "eps"),
        method={"estimator": "higher"},
    ),
    scheduled({"name": "knots", "knots": [0.5, 1.0, 0.3]}, ADAMW, "knot", "warmup_fraction"),
)
"""Every schedule, with its searchable shape, and estimators that are not above."""

ALL_TERMS = {"l2": 1e-3, "dropout": 0.1, "label_smoothing": 0.05, "input_noise": 0.1, "augmentation": 0.5}
REGULARISED = (
    job(
        "regularisers-held", optimizer=SGD, regularization=ALL_TERMS, search=search("learning_rate:role", "mixture_weight")
    ),
    job(
        "regularisers-searched",
        regularization={"dropout": 0.2},
        search=search("l2:tensor", "dropout:layer", "label_smoothing", "input_noise", "augmentation", "learning_rate"),
        initial={"dropout.layers.0": 0.3, "learning_rate": 0.02, "l2.readout.weight": 1e-3},
    ),
    job(
        "regularisers-over-time",
        optimizer=SGD,
        regularization={"schedule": {"dropout": [0.05, 0.3, 0.2], "l2.hidden": [1e-4, 1e-3, 1e-2]}},
        search=search("learning_rate", "momentum"),
    ),
    job("resnet-regularised", model=RESNET, inner=RESNET_RUN, regularization=ALL_TERMS, search=search("dropout", "l2")),
    job(
        "diverged",
        "failed",
        task="diabetes",
        optimizer={**SGD, "learning_rate": 100, "clip_norm": None},
        search=search("momentum"),
    ),
)
"""Regularisers that stand, are searched and move; a job that ends badly."""

MEASURED = (
    job(
        "evidence",
        parametrization="mup",
        inner={"steps": 16},
        outer={"steps": 2},
        transfer={
            "noise_scale": True,
            "horizons": 2,
            "ladder": {"widths": [4, 8, 16], "seeds": 2, "weight_decay": True, "standard": True},
            "scaling": {"widths": [4, 8, 16], "steps": [4, 8, 16], "seeds": 1},
        },
        target={"width": 32, "steps": 64, "batch_size": 16},
    ),
    job(
        "evidence-sgd",
        parametrization="mup",
        optimizer=SGD,
        inner={"steps": 16},
        transfer={"noise_scale": True, "horizons": 3},
        target={"width": 32},
    ),
)
"""Everything that a job measures at its end for the transfer."""

CASES = (*CARRIED, *STANDARD, *ESTIMATORS, *SCHEDULES, *REGULARISED, *MEASURED)
