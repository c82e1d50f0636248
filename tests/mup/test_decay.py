"""Decay rules: one shrinkage a step, written as lr * lambda or as lambda, and what each rule keeps."""

import pytest

from hpo.families.facts.mlp import mlp_tensors
from hpo.mup.rules import role_rule, tensor_rules
from hpo.plans.premises import beyond_the_table
from windtunnel.types import DecayRule, JobSpec, OptimizerName, Parametrization
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.results import Role

base, wide = mlp_tensors(20, 5, 64, 3), mlp_tensors(20, 5, 1024, 3)
M = 16


@pytest.mark.parametrize(
    ("rule", "decoupled", "independent"), [("independent", M, 1), ("sqrt", M**0.5, M**-0.5), ("none", 1, 1 / M)]
)
def test_the_table_of_hidden_matrices_under_adamw(rule: DecayRule, decoupled: float, independent: float) -> None:
    """The table at the top of ``decay``: lambda where a step is lr * lambda * w, and where it is lambda * w."""
    found = {
        kind: tensor_rules("mup", OPTIMIZERS["adamw"], kind, base, wide, decay_rule=rule)["layers.1.weight"].weight_decay
        for kind in ("decoupled", "independent")
    }
    assert found == pytest.approx({"decoupled": decoupled, "independent": independent})


@pytest.mark.parametrize("parametrization", ["mup", "u-mup", "spectral", "ntk"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("rule", ["independent", "sqrt", "none"])
def test_both_conventions_shrink_alike(parametrization: Parametrization, optimizer: OptimizerName, rule: DecayRule) -> None:
    lr_lambda = tensor_rules(parametrization, OPTIMIZERS[optimizer], "decoupled", base, wide, decay_rule=rule)
    alone = tensor_rules(parametrization, OPTIMIZERS[optimizer], "independent", base, wide, decay_rule=rule)
    for name, found in lr_lambda.items():
        assert found.weight_decay is not None
        assert found.learning_rate * found.weight_decay == pytest.approx(alone[name].weight_decay), name


@pytest.mark.parametrize("rule", ["independent", "sqrt", "none"])
def test_sqrt_is_for_hidden_matrices_and_none_copies_lambda(rule: DecayRule) -> None:
    others: tuple[Role, ...] = ("input", "output", "scalar")
    for role in others:
        assert role_rule("mup", OPTIMIZERS["adamw"], "decoupled", role, decay_rule=rule).formulas(role)["weight_decay"] in (
            "lambda",
            "0",
        )
    hidden = role_rule("mup", OPTIMIZERS["adamw"], "decoupled", "hidden", decay_rule=rule).formulas("hidden")[
        "weight_decay"
    ]
    assert hidden == {"independent": "lambda * m", "sqrt": "lambda * sqrt(m)", "none": "lambda"}[rule]
    sgd = tensor_rules("mup", OPTIMIZERS["sgd"], "l2", base, wide, decay_rule="none")
    assert {found.weight_decay for found in sgd.values()} == {1.0}


@pytest.mark.parametrize("rule", ["independent", "sqrt", "none"])
def test_no_rule_carries_l2_inside_adam(rule: DecayRule) -> None:
    rules = tensor_rules("mup", OPTIMIZERS["adam"], "l2", base, wide, decay_rule=rule)
    assert {name for name, found in rules.items() if found.weight_decay is not None} == {"readout.bias"}


def test_one_decay_tuned_for_a_whole_transformer_is_named_and_decays_by_role_are_not() -> None:
    def sentences(scope: str, width: int = 512, family: str = "transformer") -> list[str]:
        spec = JobSpec.model_validate(
            {
                "task": "python-text" if family == "transformer" else "digits",
                "model": {"family": family, "width": 32},
                "search": [{"name": "weight_decay", "scope": scope}],
            }
        )
        return [
            sentence
            for sentence in beyond_the_table(spec, spec.model.model_copy(update={"width": width}), clips=False)
            if sentence.startswith("Decay:")
        ]

    assert len(sentences("global")) == 1
    assert not sentences("role") and not sentences("tensor")
    assert not sentences("global", width=32)
    assert not sentences("global", family="mlp")
