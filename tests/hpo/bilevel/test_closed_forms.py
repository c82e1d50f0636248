"""Bilevel problems whose hypergradient can be written down."""

import pytest
import torch

from hpo.bilevel.hypergradient import hypergradient
from hpo.bilevel.problem import Bilevel
from tests.hpo.bilevel.problems import F64, numbers

CURVATURE, START = torch.tensor([1.0, 0.5, 2.0], dtype=F64), torch.tensor([1.0, 2.0, -1.0], dtype=F64)


@pytest.mark.parametrize("settings", [{}, {"adjoint": "gauss_newton", "growth_budget": 1e6}, {"adjoint": "bounded"}])
@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_sgd_on_a_quadratic(settings, seeds):
    steps = 10
    root = CURVATURE.sqrt()

    # |outputs|^2 / 2 with outputs linear in the parameters: the Gauss-Newton matrix is the Hessian.
    def model(w, outer, batch):
        return torch.cat([root * w["w"], (outer["l2"].exp() / 1).sqrt() * w["w"]])

    problem = Bilevel(
        (model, lambda outputs, outer, batch: outputs.square().sum() / 2),
        lambda w, outer, batch: (CURVATURE * w["w"].square()).sum() / 2,
        {"w": START},
        optimizer={"name": "sgd", "learning_rate": lambda outer: outer["rate"].exp(), "momentum": 0.0},
        steps=steps,
    )
    rate, decay = 0.1, 0.05
    outer = {name: torch.tensor(value, dtype=F64).log() for name, value in {"rate": rate, "l2": decay}.items()}
    found = hypergradient(problem, outer, seeds=seeds, **settings)
    factor = 1 - rate * (CURVATURE + decay)
    assert found.loss == pytest.approx(float((CURVATURE * START**2 * factor ** (2 * steps)).sum() / 2), rel=1e-12)
    common = CURVATURE * START**2 * steps * factor ** (2 * steps - 1)
    assert float(found.gradient["rate"]) == pytest.approx(float(-(common * (CURVATURE + decay)).sum() * rate), rel=1e-11)
    assert float(found.gradient["l2"]) == pytest.approx(float(-(common * rate).sum() * decay), rel=1e-11)


FEATURES, TARGETS, HELD, HELD_TARGETS = numbers(1, 20, 4), numbers(2, 20), numbers(3, 10, 4), numbers(4, 10)


def ridge(steps: int, **fields) -> Bilevel:
    def inner(w, outer, batch):
        fit = (FEATURES @ w["w"] - TARGETS).square().mean()
        return fit + (outer["log_l2"].exp() * w["w"].square()).sum()

    return Bilevel(
        inner,
        lambda w, outer, batch: (HELD @ w["w"] - HELD_TARGETS).square().mean(),
        {"w": torch.zeros(4, dtype=F64)},
        optimizer={"name": "sgd", "learning_rate": 0.2, "momentum": 0.0},
        steps=steps,
        **fields,
    )


def ridge_truth(log_l2: torch.Tensor) -> torch.Tensor:
    leaf = log_l2.clone().requires_grad_()
    best = torch.linalg.solve(FEATURES.T @ FEATURES / 20 + torch.diag(leaf.exp()), FEATURES.T @ TARGETS / 20)
    (slope,) = torch.autograd.grad((HELD @ best - HELD_TARGETS).square().mean(), leaf)
    return slope


@pytest.mark.parametrize(("solver", "solver_steps"), [("cg", 8), ("neumann", 400), ("nystrom", 4)])
def test_implicit_on_ridge_regression_equals_the_closed_form_with_an_l2_for_each_parameter(solver, solver_steps):
    log_l2 = torch.tensor([-3.0, -1.0, -2.0, -0.5], dtype=F64)
    found = hypergradient(
        ridge(400), {"log_l2": log_l2}, "implicit", solver=solver, solver_steps=solver_steps, damping=1e-12
    )
    torch.testing.assert_close(found.gradient["log_l2"], ridge_truth(log_l2), rtol=1e-6, atol=1e-9)
    assert found.residual is not None and found.residual < 1e-6


def test_reverse_through_a_converged_run_equals_it_too():
    log_l2 = torch.tensor([-3.0, -1.0, -2.0, -0.5], dtype=F64)
    found = hypergradient(ridge(400), {"log_l2": log_l2})
    torch.testing.assert_close(found.gradient["log_l2"], ridge_truth(log_l2), rtol=1e-6, atol=1e-9)


def test_runs_one_by_one_equal_runs_together_and_may_branch_on_values():
    def branching(w, outer, batch):
        value = w["w"].square().sum() * outer["scale"].exp()
        return value if float(value.detach()) > 0 else -value

    def problem(**fields):
        return Bilevel(
            lambda w, outer, batch: (batch["x"] * w["w"]).square().sum() * outer["scale"].exp(),
            lambda w, outer, batch: (w["w"] - 1).square().sum(),
            {"w": START},
            optimizer={"name": "sgd", "learning_rate": 0.05},
            steps=5,
            batches=lambda step, seed: {"x": numbers(100 * seed + step, 3)},
            **fields,
        )

    outer = {"scale": torch.tensor(0.3, dtype=F64)}
    whole = hypergradient(problem(), outer, seeds=[1, 2, 3])
    for together in (1, 2):
        parts = hypergradient(problem(together=together), outer, seeds=[1, 2, 3])
        torch.testing.assert_close(parts.each["scale"], whole.each["scale"], rtol=1e-12, atol=0)
    one = Bilevel(
        branching,
        lambda w, outer, batch: (w["w"] - 1).square().sum(),
        {"w": START},
        optimizer={"name": "sgd", "learning_rate": 0.05},
        steps=3,
        together=1,
    )
    assert hypergradient(one, outer, seeds=[0, 1]).value.isfinite().all()


def test_settings_by_parameter_and_over_time_act_where_they_should():
    """Two parameters that never meet: each run is that of its own learning rate and decay."""
    rates = torch.tensor([0.1, 0.05, 0.02], dtype=F64)

    def problem(optimizer):
        return Bilevel(
            lambda w, outer, batch: sum((part - 1).square().sum() for part in w.values()) * outer["c"].exp(),
            lambda w, outer, batch: sum(part.square().sum() for part in w.values()),
            {"a": START, "b": 2 * START},
            optimizer={"name": "adamw", **optimizer},
            steps=3,
        )

    outer = {"c": torch.tensor(0.0, dtype=F64)}
    both = problem({"learning_rate": {"a": rates, "b": 0.3}, "weight_decay": {"a": 0.0, "b": 0.5}})
    a = problem({"learning_rate": {"a": rates, "b": 0.0}})
    b = problem({"learning_rate": {"a": 0.0, "b": 0.3}, "weight_decay": {"a": 0.0, "b": 0.5}})
    still = float(START.square().sum()), float(4 * START.square().sum())
    together = hypergradient(both, outer).loss
    alone = hypergradient(a, outer).loss - still[1] + hypergradient(b, outer).loss - still[0]
    assert together == pytest.approx(alone, rel=1e-12)
