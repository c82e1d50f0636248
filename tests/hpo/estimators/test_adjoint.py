"""Closed-form vector-Jacobian products of an update: equal to autograd through the rules, on every path."""

from itertools import product

import pytest
import torch
from torch import Tensor

from hpo.optimizers.rule import Applied, Rule, by_autograd
from hpo.training.problem import InnerProblem

MEMBERS = 3
SEARCH = {"model": {"width": 4, "depth": 2}, "inner": {"steps": 8, "batch_size": 4, "seeds": 2}}


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def tables_of(problem: InnerProblem, clip: float | None, decay: str | None, eps_columns: int) -> dict[str, Tensor]:
    """Random tables of one update, those of decay and clipping as asked for."""
    generator, tensors = draws(), len(problem.layout.tensors)

    def uniform(columns: int, low: float, high: float) -> Tensor:
        return torch.rand(MEMBERS, columns, generator=generator, dtype=torch.float64) * (high - low) + low

    tables = {"learning_rate": uniform(tensors, 0.01, 0.5)}
    if decay is not None:
        tables[decay] = uniform(tensors, 0.01, 0.3)
    if clip is not None:
        tables["clip_norm"] = clip * uniform(1, 0.5, 1.5)
    if problem.spec.optimizer.name == "sgd":
        return tables | {"momentum": uniform(1, 0.3, 0.9)}
    return tables | {"beta1": uniform(1, 0.3, 0.9), "beta2": uniform(1, 0.3, 0.99), "eps": uniform(eps_columns, 1e-4, 1e-2)}


def update_of(problem: InnerProblem, tables: dict[str, Tensor], step: int) -> Applied:
    """An update from a random state; the second moments of some parameters are 0, as is one member's gradient."""
    generator, size = draws(), problem.layout.parameters

    def normal() -> Tensor:
        return torch.randn(MEMBERS, size, generator=generator, dtype=torch.float64)

    before, gradient = problem.rule.init(normal()), normal()
    if step > 0:
        before = (before[0], normal(), *(part + normal().square() for part in before[2:]))
    gradient[:, :5], gradient[2] = 0.0, 0.0
    for part in before[1:]:
        part[:, :5] = 0.0
    with torch.no_grad():
        after = problem.apply_update(before, gradient, tables, step)
    return Applied(before, after, gradient, tables, problem.layout, step)


PATHS = product((None, 0.3, 1e3), (None, "shrink", "coupled_decay"), (0, 6), ("one eps", "an eps for each tensor"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_closed_form_equals_autograd_through_the_rules(build_problem, optimizer: str) -> None:
    problem = build_problem(optimizer={"name": optimizer}, **SEARCH)
    for clip, decay, step, eps in PATHS:
        tables = tables_of(problem, clip, decay, 1 if eps == "one eps" else len(problem.layout.tensors))
        update = update_of(problem, tables, step)
        adjoint = tuple(torch.randn(part.shape, generator=draws(), dtype=torch.float64) for part in update.before)
        state, gradient, cotangents = by_autograd(problem.rule, update, adjoint, tables)
        found = problem.rule.pull_back(update, tuple(part.clone() for part in adjoint), tables)
        assert cotangents.keys() == found[2].keys() == tables.keys()
        pairs = [*zip(found[0], state, strict=True), (found[1], gradient)]
        for mine, expected in [*pairs, *((found[2][name], cotangents[name]) for name in tables)]:
            scale = float(expected.abs().max())
            torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-12 * scale, msg=f"{clip} {decay} {step} {eps}")


def test_cotangents_that_nobody_wants_are_not_computed(build_problem) -> None:
    problem = build_problem(optimizer={"name": "adamw"}, **SEARCH)
    tables = tables_of(problem, 0.3, "shrink", 1)
    update = update_of(problem, tables, 3)
    adjoint = tuple(torch.ones_like(part) for part in update.before)
    for wanted in ([], ["learning_rate"], ["beta1"], ["eps", "beta2"]):
        found = problem.rule.pull_back(update, tuple(part.clone() for part in adjoint), wanted)[2]
        assert found.keys() == set(wanted)
        expected = by_autograd(problem.rule, update, adjoint, wanted)[2]
        for name in wanted:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-11, atol=1e-12)


def test_an_update_of_its_own_is_pulled_back_by_autograd(build_influence, build_quadratic) -> None:
    assert type(build_quadratic(0.1, 0.1).rule).pull_back is not Rule.pull_back
    assert type(build_influence(0.1, 2).rule).pull_back is Rule.pull_back
