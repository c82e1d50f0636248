"""A problem that cannot be used is refused by a typed error that names the field, what was given, what is allowed."""

from dataclasses import replace

import pytest
import torch

import windtunnel
from hpo.errors import Diverged, InvalidProblem
from tests.hpo.bilevel.problems import CASES, F64

GOOD = CASES["example weights"]


def changed(**fields):
    return replace(GOOD.problem, **fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"inner_loss": 3}, "inner_loss is int; give a function"),
        ({"inner_loss": (len, 4)}, r"inner_loss\[1\] is int"),
        ({"inner_loss": (len,)}, "inner_loss has 1 parts"),
        ({"outer_loss": None}, "outer_loss is NoneType"),
        ({"init": {}}, "init is dict; give a dictionary of tensors"),
        ({"optimizer": "adam"}, "optimizer is str; give its name and settings"),
        ({"steps": 0}, "steps is 0; give a whole number from 1"),
        ({"together": True}, "together is True"),
    ],
)
def test_a_problem_is_refused_when_it_is_stated(fields, said):
    with pytest.raises(InvalidProblem, match=said):
        changed(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"init": {"a": torch.zeros(2, dtype=torch.long)}}, "init 'a' is torch.int64"),
        ({"init": lambda outer, seed: 3}, "init gives int"),
        ({"optimizer": {"name": "adm", "learning_rate": 1}}, "optimizer name is 'adm'; allowed: sgd, adam"),
        ({"optimizer": {"learning_rate": 1}}, "optimizer has no name"),
        ({"optimizer": {"name": "sgd"}}, "optimizer has no learning_rate"),
        ({"optimizer": {"name": "sgd", "learning_rate": 1, "beta1": 1}}, "no setting 'beta1'; allowed for sgd"),
        ({"optimizer": {"name": "sgd", "learning_rate": 1, "momentum": 2}}, "momentum is 2; allowed: 0 to 1"),
        ({"optimizer": {"name": "adamw", "learning_rate": 1, "decay": "l2"}}, "decay is 'l2'; allowed for adamw"),
        ({"optimizer": {"name": "sgd", "learning_rate": torch.ones(4)}}, r"learning_rate has shape \[4\]; allowed"),
        ({"optimizer": {"name": "sgd", "learning_rate": {"a.bias": 1}}}, "must name every parameter once; at fault"),
        ({"optimizer": {"name": "sgd", "learning_rate": "fast"}}, "learning_rate is str; give a number"),
        ({"optimizer": {"name": "sgd", "learning_rate": 1, "momentum": torch.full((6,), 0.5)}}, "a value for each step"),
        ({"optimizer": {"update": 3}}, "optimizer update is int"),
        ({"optimizer": {"update": lambda *_: (1, 2, 3)}}, "must return a pair"),
        ({"batches": lambda step, seed: {"x": object()}}, "a batch holds object"),
        ({"inner_loss": lambda w, outer, batch: w["b"]}, r"inner_loss gives shape \[4\]"),
        ({"inner_loss": lambda w, outer, batch: 3.0}, "inner_loss gives float"),
        ({"inner_loss": lambda w, outer, batch: outer["weights"].sum()}, "inner_loss does not depend on the parameters"),
        ({"inner_loss": lambda w, outer, batch: w["b"].detach().sum()}, "check that nothing is detached"),
        ({"inner_loss": lambda w, outer, batch: (torch.rand(4) * w["b"]).sum()}, "another value when it is called again"),
        ({"outer_loss": lambda w, outer, batch: outer["weights"].sum()}, "outer_loss does not depend on the parameters"),
        ({"inner_loss": lambda w, outer, batch: w["b"].square().sum()}, "outer 'weights' acts on nothing"),
    ],
)
def test_functions_are_refused_when_they_are_called(fields, said):
    with pytest.raises(InvalidProblem, match=said):
        windtunnel.hypergradient(changed(**fields), GOOD.outer)


@pytest.mark.parametrize(
    ("outer", "said"),
    [
        ({}, "outer is empty"),
        ([1], "outer is list"),
        ({"weights": 3}, "outer 'weights' is int"),
        ({"weights": torch.zeros(12, dtype=torch.long)}, "outer 'weights' is torch.int64"),
        ({"weights": torch.full((12,), float("nan"))}, "not finite"),
    ],
)
def test_outer_variables_are_floating_point_tensors(outer, said):
    with pytest.raises(InvalidProblem, match=said):
        windtunnel.hypergradient(GOOD.problem, outer)


@pytest.mark.parametrize(
    ("estimator", "settings", "said"),
    [
        ("revers", {}, "estimator is 'revers'; allowed: auto, reverse, higher"),
        ("reverse", {"windw": 3}, "has no setting 'windw'; allowed: adjoint, checkpointing, growth_budget"),
        ("reverse", {"adjoint": "rough"}, "adjoint of estimator 'reverse'"),
        ("reverse", {"growth_budget": 0.5}, "growth_budget of estimator 'reverse'"),
        ("es", {"samples": 0}, "samples of estimator 'es'"),
        ("reverse", {"adjoint": "gauss_newton"}, r"inner_loss is one function; give a pair \(model, fit\)"),
    ],
)
def test_settings_of_estimators_are_checked(estimator, settings, said):
    with pytest.raises(InvalidProblem, match=said):
        windtunnel.hypergradient(GOOD.problem, GOOD.outer, estimator, **settings)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"clip": -1}, "clip is -1"),
        ({"seeds": 0}, "seeds is 0"),
        ({"outer_optimizer": lambda tensors: 3}, "outer_optimizer makes int"),
    ],
)
def test_solve_checks_its_arguments(fields, said):
    with pytest.raises(InvalidProblem, match=said):
        windtunnel.solve(GOOD.problem, GOOD.outer, **fields)


def test_runs_that_all_diverge_are_an_error_and_some_are_left_out():
    def problem(rate):
        return windtunnel.Bilevel(
            lambda w, outer, batch: (w["w"] ** 4).sum() * outer["c"].exp() * batch,
            lambda w, outer, batch: w["w"].square().sum(),
            {"w": torch.ones(2, dtype=F64)},
            optimizer={"name": "sgd", "learning_rate": rate},
            steps=12,
            batches=lambda step, seed: torch.tensor(1.0 if seed else 1e4, dtype=F64),
        )

    outer = {"c": torch.zeros((), dtype=F64)}
    found = windtunnel.hypergradient(problem(0.01), outer, seeds=[0, 1])
    assert found.diverged == 1 and found.gradient["c"].isfinite()
    with pytest.raises(Diverged, match="no seed has a finite outer loss"):
        windtunnel.hypergradient(problem(0.01), outer, seeds=[0])
