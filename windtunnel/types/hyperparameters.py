"""The hyperparameters that can be searched: names, scopes, ranges."""

from typing import Literal

Scope = Literal["global", "role", "tensor"]
HyperparameterName = Literal[
    "learning_rate",
    "weight_decay",
    "momentum",
    "beta1",
    "beta2",
    "eps",
    "clip_norm",
    "init_scale",
    "output_multiplier",
    "warmup_fraction",
    "floor",
]

DEFAULT_RANGES: dict[HyperparameterName, tuple[float, float]] = {
    "learning_rate": (1e-5, 1.0),
    "weight_decay": (1e-5, 10.0),
    "momentum": (0.1, 0.999),
    "beta1": (0.1, 0.999),
    "beta2": (0.5, 0.99999),
    "eps": (1e-12, 1e-2),
    "clip_norm": (1e-2, 100.0),
    "init_scale": (0.05, 20.0),
    "output_multiplier": (0.05, 20.0),
    "warmup_fraction": (0.01, 0.9),
    "floor": (0.001, 1.0),
}
"""Search range of a hyperparameter when the request gives none: (low, high)."""

HARD_RANGES: dict[HyperparameterName, tuple[float, float]] = {
    "learning_rate": (1e-9, 100.0),
    "weight_decay": (1e-9, 1000.0),
    "momentum": (1e-4, 0.99999),
    "beta1": (1e-4, 0.99999),
    "beta2": (1e-4, 0.9999999),
    "eps": (1e-16, 1.0),
    "clip_norm": (1e-6, 1e6),
    "init_scale": (1e-3, 1e3),
    "output_multiplier": (1e-3, 1e3),
    "warmup_fraction": (1e-4, 0.999),
    "floor": (1e-4, 1.0),
}
"""What a range may span at most: outside of it the hyperparameter has no meaning or no precision."""

SCOPED: frozenset[HyperparameterName] = frozenset({"learning_rate", "weight_decay", "init_scale"})
"""Hyperparameters that may have a value for each role or tensor; the others are global."""
