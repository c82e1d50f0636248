"""The hyperparameters that can be searched: names, scopes, ranges, and the part of a training run where each acts."""

import math
from typing import Literal

Scope = Literal["global", "role", "tensor", "layer"]
HyperparameterName = Literal[
    "learning_rate",
    "weight_decay",
    "layer_learning_rate",
    "layer_weight_decay",
    "momentum",
    "beta1",
    "beta2",
    "eps",
    "clip_norm",
    "init_scale",
    "output_multiplier",
    "embedding_multiplier",
    "attention_multiplier",
    "l2",
    "dropout",
    "label_smoothing",
    "input_noise",
    "augmentation",
    "mixture_weight",
    "warmup_fraction",
    "floor",
    "decay_gamma",
    "cycle_length",
    "decay_fraction",
    "knot",
]

DEFAULT_RANGES: dict[HyperparameterName, tuple[float, float]] = {
    "learning_rate": (1e-5, 1.0),
    "weight_decay": (1e-5, 10.0),
    "layer_learning_rate": (0.1, 10.0),
    "layer_weight_decay": (0.1, 10.0),
    "momentum": (0.1, 0.999),
    "beta1": (0.1, 0.999),
    "beta2": (0.5, 0.99999),
    "eps": (1e-12, 1e-2),
    "clip_norm": (1e-2, 100.0),
    "init_scale": (0.05, 20.0),
    "output_multiplier": (0.05, 20.0),
    "embedding_multiplier": (0.05, 20.0),
    "attention_multiplier": (0.05, 20.0),
    "l2": (1e-6, 1.0),
    "dropout": (0.001, 0.8),
    "label_smoothing": (0.001, 0.5),
    "input_noise": (0.001, 2.0),
    "augmentation": (0.01, 4.0),
    "mixture_weight": (0.05, 20.0),
    "warmup_fraction": (0.01, 0.9),
    "floor": (0.001, 1.0),
    "decay_gamma": (0.001, 1.0),
    "cycle_length": (0.05, 0.95),
    "decay_fraction": (0.02, 0.95),
    "knot": (0.001, 3.0),
}
"""Search range of a hyperparameter when the request gives none: (low, high)."""

HARD_RANGES: dict[HyperparameterName, tuple[float, float]] = {
    "learning_rate": (1e-9, 100.0),
    "weight_decay": (1e-9, 1000.0),
    "layer_learning_rate": (1e-3, 1e3),
    "layer_weight_decay": (1e-3, 1e3),
    "momentum": (1e-4, 0.99999),
    "beta1": (1e-4, 0.99999),
    "beta2": (1e-4, 0.9999999),
    "eps": (1e-16, 1.0),
    "clip_norm": (1e-6, 1e6),
    "init_scale": (1e-3, 1e3),
    "output_multiplier": (1e-3, 1e3),
    "embedding_multiplier": (1e-3, 1e3),
    "attention_multiplier": (1e-3, 1e3),
    "l2": (1e-9, 100.0),
    "dropout": (1e-4, 0.95),
    "label_smoothing": (1e-5, 0.95),
    "input_noise": (1e-5, 100.0),
    "augmentation": (1e-4, 100.0),
    "mixture_weight": (1e-3, 1e3),
    "warmup_fraction": (1e-4, 0.999),
    "floor": (1e-4, 1.0),
    "decay_gamma": (1e-6, 1.0),
    "cycle_length": (1e-3, 0.999),
    "decay_fraction": (1e-3, 0.999),
    "knot": (1e-6, 100.0),
}
"""Widest range that a search may have, (low, high): outside it the hyperparameter has no meaning or no precision."""

SCOPED: frozenset[HyperparameterName] = frozenset({"learning_rate", "weight_decay", "init_scale", "eps", "l2"})
"""Hyperparameters that may have a value for each role or tensor."""

LAYER_FACTORS: dict[HyperparameterName, HyperparameterName] = {
    "learning_rate": "layer_learning_rate",
    "weight_decay": "layer_weight_decay",
}
"""Hyperparameter of tensors -> factor on it for the tensors of hidden layers or blocks.

With a value for each role and a factor for each block, a tensor's value is a product of two short vectors, kind times depth
(Complete(d)P, arXiv:2512.22382)."""

LAYERED: frozenset[HyperparameterName] = frozenset({"dropout", *LAYER_FACTORS.values()})
"""Hyperparameters that may have a value for each hidden layer or block of the model."""


def scopes_of(name: HyperparameterName) -> tuple[Scope, ...]:
    """The scopes that a hyperparameter may be searched with."""
    if name in SCOPED:
        return ("global", "role", "tensor")
    return ("global", "layer") if name in LAYERED else ("global",)


MULTIPLIERS: frozenset[HyperparameterName] = frozenset(
    {
        "init_scale",
        "output_multiplier",
        "embedding_multiplier",
        "attention_multiplier",
        "mixture_weight",
        *LAYER_FACTORS.values(),
    }
)
"""Hyperparameters that are factors: 1 where they are not searched."""

REGULARISERS: dict[HyperparameterName, float] = {
    "l2": 1e-4,
    "dropout": 0.1,
    "label_smoothing": 0.05,
    "input_noise": 0.1,
    "augmentation": 0.5,
}
"""Regulariser -> start of its search where the job gives none. A regulariser is off unless a job asks for it."""

IN_THE_LOSS: frozenset[HyperparameterName] = frozenset(
    {"output_multiplier", "embedding_multiplier", "attention_multiplier", "mixture_weight", *REGULARISERS}
)
"""Hyperparameters of the training loss as a function of the weights: implicit differentiation can tune them."""

Bijection = Literal["log", "logit", "complement_logit"]
"""log: positive scales. logit: shares in (0, 1). complement_logit: logit(1 - x) for averages that live near 1 (betas)."""

BIJECTIONS: dict[HyperparameterName, Bijection] = {
    "learning_rate": "log",
    "weight_decay": "log",
    "layer_learning_rate": "log",
    "layer_weight_decay": "log",
    "momentum": "complement_logit",
    "beta1": "complement_logit",
    "beta2": "complement_logit",
    "eps": "log",
    "clip_norm": "log",
    "init_scale": "log",
    "output_multiplier": "log",
    "embedding_multiplier": "log",
    "attention_multiplier": "log",
    "l2": "log",
    "dropout": "logit",
    "label_smoothing": "logit",
    "input_noise": "log",
    "augmentation": "log",
    "mixture_weight": "log",
    "warmup_fraction": "logit",
    "floor": "log",
    "decay_gamma": "log",
    "cycle_length": "logit",
    "decay_fraction": "logit",
    "knot": "log",
}

_KINDS: dict[str, Bijection] = {str(name): kind for name, kind in BIJECTIONS.items()}


def coordinate(label: str, value: float) -> float:
    """Coordinate of a value that the search moves in, a logarithm or a logit, by label such as ``learning_rate.hidden``.

    It stays finite at the ends of a share. A label of a version that knows more hyperparameters keeps its value.
    """
    least = 1e-300
    match _KINDS.get(label.partition(".")[0]):
        case "log":
            return math.log(max(value, least))
        case "logit":
            return math.log(max(value, least)) - math.log(max(1 - value, least))
        case "complement_logit":
            return math.log(max(1 - value, least)) - math.log(max(value, least))
        case None:
            return value


SOURCED: dict[HyperparameterName, str] = {"mixture_weight": "data source", "knot": "knot of the schedule"}
"""Global hyperparameter with several values -> the thing that each value belongs to."""
