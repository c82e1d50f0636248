"""Real updates in float64: reverse, forward, higher and central differences agree on every hyperparameter there is."""

from typing import Any, get_args

import pytest
import torch

from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled
from hpo.training.problem import InnerProblem
from windtunnel.types import HyperparameterName

ADAM = ("beta1", "beta2", "eps")
LOSS = ("output_multiplier", "embedding_multiplier", "dropout", "label_smoothing", "input_noise", "mixture_weight")
MLP = {"width": 5, "depth": 2, "activation": "tanh"}
TRANSFORMER = {"family": "transformer", "width": 8, "depth": 1, "d_head": 4}
SCOPED = {
    "learning_rate": "role",
    "weight_decay": "tensor",
    "init_scale": "role",
    "l2": "tensor",
}


def case(names: tuple[str, ...], scopes: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    search = [{"name": name, "scope": (scopes or {}).get(name, "global")} for name in names]
    return {"search": search, "model": MLP, "inner": {"steps": 12, "batch_size": 8, "seeds": 2}, **fields}


# Shares and cycles end between two steps, where a schedule has a derivative; some steps clip.
CASES: dict[str, dict[str, Any]] = {
    "adamw, cosine": case(
        ("learning_rate", "weight_decay", "init_scale", "l2", "clip_norm", "warmup_fraction", "floor", *ADAM, *LOSS),
        SCOPED,
        optimizer={"learning_rate": 0.02, "weight_decay": 0.1, "clip_norm": 0.5, "eps": 1e-4},
        schedule={"name": "cosine", "warmup_fraction": 0.2, "floor": 0.1},
    ),
    "adamw, independent decay, cyclic": case(
        ("weight_decay", "eps", "cycle_length", "decay_gamma", "floor"),
        {"weight_decay": "role", "eps": "tensor"},
        optimizer={"learning_rate": 0.02, "weight_decay": 0.1, "decay": "independent", "eps": 1e-4},
        schedule={"name": "cyclic", "cycle_length": 0.45, "decay_gamma": 0.7},
    ),
    "adam, l2, warmup-stable-decay": case(
        ("learning_rate", "weight_decay", "l2", "decay_fraction", "eps"),
        {"learning_rate": "tensor", "l2": "role", "eps": "role"},
        optimizer={"name": "adam", "learning_rate": 0.02, "weight_decay": 0.1, "eps": 1e-4},
        schedule={"name": "warmup-stable-decay", "decay_fraction": 0.37},
    ),
    "sgd, l2, knots": case(
        ("learning_rate", "weight_decay", "momentum", "knot", "clip_norm", "init_scale", "dropout", "augmentation"),
        {"init_scale": "tensor", "dropout": "layer"},
        optimizer={"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.01, "clip_norm": 0.2},
        schedule={"name": "knots", "knots": [1.0, 0.6, 0.2]},
    ),
    "sgd, decoupled decay, regression": case(
        ("learning_rate", "weight_decay", "momentum", "input_noise", "dropout"),
        task="diabetes",
        optimizer={"name": "sgd", "learning_rate": 0.02, "weight_decay": 0.1, "decay": "decoupled", "clip_norm": None},
    ),
    "transformer, adamw": case(
        ("learning_rate", "weight_decay", "clip_norm", "attention_multiplier", *ADAM, *LOSS),
        {"learning_rate": "role"},
        task="python-text",
        model=TRANSFORMER,
        inner={"steps": 4, "batch_size": 2, "seeds": 2},
        optimizer={"learning_rate": 0.02, "weight_decay": 0.1, "clip_norm": 0.5, "eps": 1e-4},
    ),
    "resnet, adamw": case(
        ("learning_rate", "weight_decay", "dropout", "input_noise", "output_multiplier"),
        {"learning_rate": "role"},
        model={"family": "resnet", "width": 4, "depth": 1, "activation": "tanh"},
        inner={"steps": 4, "batch_size": 4, "seeds": 2},
        optimizer={"learning_rate": 0.02, "weight_decay": 0.1, "clip_norm": None, "eps": 1e-4},
    ),
}


def test_the_cases_name_every_hyperparameter() -> None:
    named = {item["name"] for fields in CASES.values() for item in fields["search"]}
    assert named == set(get_args(HyperparameterName))


def central_differences(problem: InnerProblem, points: torch.Tensor, draw) -> torch.Tensor:
    """d validation loss / d coordinate by the five-point rule, [members, k]."""
    # Wide enough for rounding, narrow enough that no step's gradient norm crosses the clip threshold on the way.
    width = 2e-4
    near, far = (FiniteDifference(sigma).estimate(problem, points, draw).gradient for sigma in (width, 2 * width))
    return (4 * near - far) / 3


@pytest.mark.parametrize("name", CASES)
def test_reverse_forward_higher_and_differences_agree(build_proxy, name: str) -> None:
    problem = build_proxy(**CASES[name])
    # Seeds in whose runs no step's gradient norm crosses the clip threshold within the width of the differences.
    draw = problem.draw([(0, 2), (0, 3)])
    points = problem.space.start().expand(2, -1)
    reverse = Reverse("sqrt", "exact").estimate(problem, points, draw)
    for estimator in (Forward(), Unrolled()):
        other = estimator.estimate(problem, points, draw)
        torch.testing.assert_close(other.value, reverse.value, rtol=1e-12, atol=0)
        torch.testing.assert_close(other.gradient, reverse.gradient, rtol=1e-9, atol=1e-13)
    numeric = central_differences(problem, points, draw)
    assert (numeric.abs().amax(dim=0) > 1e-7).all(), "a hyperparameter without effect would prove nothing"
    # Differences of losses near 1 over a width of 2e-4 carry a rounding error of about 1e-12.
    torch.testing.assert_close(reverse.gradient, numeric, rtol=1e-6, atol=4e-12)
    if not any(item.name == "init_scale" for item in problem.space.hyperparameters):
        windowed = Truncated(problem.steps).estimate(problem, points, draw)
        torch.testing.assert_close(windowed.gradient, reverse.gradient, rtol=1e-9, atol=1e-13)
