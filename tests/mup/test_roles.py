"""Roles: from the names of an MLP, and inferred from shapes at two widths."""

import pytest

from hpo.families.facts.mlp import mlp_tensors
from hpo.families.mlp import MLP
from hpo.mup.roles import tensor_roles
from windtunnel.types import TensorFacts


def infer_roles(base, delta, overrides=None) -> dict[str, str]:
    return {found.name: found.role for found in tensor_roles(base, delta, overrides)}


def shapes(tensors: list[TensorFacts]) -> dict[str, list[int]]:
    return {fact.name: fact.shape for fact in tensors}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_tensors_are_those_of_the_module_in_its_order(depth: int) -> None:
    module = MLP(features=30, classes=3, width=16, depth=depth)
    expected = [(name, list(parameter.shape)) for name, parameter in module.named_parameters()]
    assert [(fact.name, fact.shape) for fact in mlp_tensors(30, 3, 16, depth)] == expected


@pytest.mark.parametrize("features", [16, 30])
def test_inferred_roles_are_the_known_ones_even_where_features_equal_the_width(features: int) -> None:
    base, delta = mlp_tensors(features, 3, 16, 3), mlp_tensors(features, 3, 32, 3)
    assert infer_roles(shapes(base), shapes(delta)) == {fact.name: fact.role for fact in base}


def test_an_embedding_table_needs_an_override_and_takes_it() -> None:
    base, delta = {"embed.weight": [100, 8], "head.weight": [100, 8]}, {"embed.weight": [100, 16], "head.weight": [100, 16]}
    assert infer_roles(base, delta)["embed.weight"] == "output"
    roles = infer_roles(base, delta, {"embed.*": "input"})
    assert roles == {"embed.weight": "input", "head.weight": "output"}


def test_a_convolution_is_a_matrix_of_filters() -> None:
    base = {"stem.weight": [8, 3, 3, 3], "conv.weight": [8, 8, 3, 3]}
    delta = {"stem.weight": [16, 3, 3, 3], "conv.weight": [16, 16, 3, 3]}
    assert infer_roles(base, delta) == {"stem.weight": "input", "conv.weight": "hidden"}


@pytest.mark.parametrize(
    ("base", "delta", "overrides", "message"),
    [
        ({"a": [4]}, {"b": [8]}, {}, "only one of them has: a, b"),
        ({"a": [4]}, {"a": [8, 1]}, {}, "must differ in width only"),
        ({"a": [4]}, {"a": [2]}, {}, "delta must be the wider model"),
        ({"a": [4]}, {"a": [4]}, {}, "no tensor grows"),
        ({"a": [4, 4, 4]}, {"a": [8, 8, 8]}, {}, "no rule of muP has more than two growing dimensions"),
        ({"a": [4]}, {"a": [8]}, {"b*": "vector"}, "'b\\*' fits no tensor; the tensors are: a"),
        ({"a": [4]}, {"a": [8]}, {"a": "hidden"}, "allowed: input, output, vector"),
    ],
)
def test_models_that_say_nothing_about_roles_are_errors(base, delta, overrides, message) -> None:
    with pytest.raises(ValueError, match=message):
        infer_roles(base, delta, overrides)


def test_sizes_below_one_are_named() -> None:
    with pytest.raises(ValueError, match="depth of an MLP is 0"):
        mlp_tensors(64, 10, 64, 0)
