"""One table: every estimator on every problem that it can do, against differences and graphs of plain loops in float64."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.bilevel.hypergradient import hypergradient, usable
from hpo.errors import Refused
from tests.hpo.bilevel.problems import CASES, STEPS, Case, differences, naive_loss, through_graph

Gradients = dict[str, Tensor]
EXACT: dict[str, tuple[str, dict[str, Any]]] = {
    "reverse": ("reverse", {}),
    "reverse, every state": ("reverse", {"checkpointing": "none"}),
    "higher": ("higher", {}),
    "forward": ("forward", {}),
}


@cache
def by_differences(name: str, seed: int) -> Gradients:
    return differences(CASES[name], CASES[name].outer, seed)


def error(found: Gradients, true: Gradients) -> float:
    apart = torch.cat([(found[name] - true[name]).flatten() for name in true])
    return float(apart.norm() / torch.cat([part.flatten() for part in true.values()]).norm())


def has_form(case: Case, estimator: str) -> bool:
    return not (estimator == "higher" and "update" in case.problem.optimizer)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", EXACT)
def test_exact_estimators_equal_differences_for_each_seed(name, how):
    case, (estimator, settings) = CASES[name], EXACT[how]
    if not has_form(case, estimator):
        with pytest.raises(Refused, match="has no form of optimizer 'own_rule'"):
            hypergradient(case.problem, case.outer, estimator, seeds=case.seeds, **settings)
        return
    found = hypergradient(case.problem, case.outer, estimator, seeds=case.seeds, **settings)
    for row, seed in enumerate(case.seeds):
        each = {key: part[row] for key, part in found.each.items()}
        assert error(each, by_differences(name, seed)) < 1e-6
        assert found.value[row].item() == pytest.approx(naive_loss(case, case.outer, seed).item(), rel=1e-12)
        assert all(each[key].shape == value.shape for key, value in case.outer.items())


@pytest.mark.parametrize("name", CASES)
def test_finite_difference_equals_them_too(name):
    case = CASES[name]
    found = hypergradient(case.problem, case.outer, "finite_difference", seeds=case.seeds[:1], sigma=1e-4)
    assert error(found.gradient, by_differences(name, case.seeds[0])) < 1e-5


@pytest.mark.parametrize("name", CASES)
def test_truncated_equals_the_graph_cut_before_its_window(name):
    case, window = CASES[name], 3
    if case.in_the_start:
        with pytest.raises(Refused, match="acts on the initial parameters: the initial weights lie before the window"):
            hypergradient(case.problem, case.outer, "truncated", window=window)
        return
    found = hypergradient(case.problem, case.outer, "truncated", seeds=case.seeds[:1], window=window)

    def loss(outer: Any) -> Tensor:
        # Detached before the window, the state is a constant: earlier uses of the variables do not count.
        return naive_loss(case, outer, case.seeds[0], cut=STEPS - window)

    assert error(found.gradient, through_graph(loss, case.outer)) < 1e-9


@pytest.mark.parametrize("name", CASES)
def test_greedy_sums_the_effect_of_each_update_on_the_loss_right_after_it(name):
    case, seed = CASES[name], CASES[name].seeds[0]
    if case.in_the_start:
        with pytest.raises(Refused, match="the initial weights are no update's doing"):
            hypergradient(case.problem, case.outer, "greedy")
        return
    found = hypergradient(case.problem, case.outer, "greedy", seeds=[seed])

    def loss(outer: Any) -> Tensor:
        terms = []

        def look(w: Any, memory: Any, step: int) -> Any:
            # Judged with the variables' direct effect on the outer loss left out but at the end.
            fixed = {key: value.detach() for key, value in outer.items()}
            terms.append(case.problem.outer_loss(w, fixed, None))
            for parts in memory.values():
                parts[:] = [part.detach() for part in parts]
            return {key: value.detach().requires_grad_() for key, value in w.items()}

        last = naive_loss(case, outer, seed, look=look)
        return sum(terms) + last

    assert error(found.gradient, through_graph(loss, case.outer)) < 1e-9


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("estimator", ["es", "pes", "forward"])
def test_random_estimators_are_right_on_average(name, estimator):
    case = CASES[name]
    settings: dict[str, Any] = {"samples": 100} | ({} if estimator == "forward" else {"sigma": 1e-3})
    if estimator == "pes":
        settings["window"] = 2
    found = hypergradient(case.problem, case.outer, estimator, seeds=case.seeds[:1], **settings)
    assert found.stderr is not None
    apart = torch.cat([(found.gradient[key] - part).flatten() for key, part in by_differences(name, case.seeds[0]).items()])
    errors = torch.cat([part.flatten() for part in found.stderr.values()])
    # Chi-square over the coordinates: a mean of 1, a spread of sqrt(2 / count).
    assert (apart / errors).square().mean() < 1 + 5 * (2 / len(apart)) ** 0.5
    assert errors.norm() < 2 * torch.cat([p.flatten() for p in by_differences(name, case.seeds[0]).values()]).norm()


@pytest.mark.parametrize("name", ["quadratic", "architecture", "learned rule"])
def test_a_loose_bound_changes_nothing(name):
    case = CASES[name]
    found = hypergradient(case.problem, case.outer, "reverse", seeds=case.seeds[:1], adjoint="bounded", growth_budget=1e6)
    assert found.bounded_share == 0
    assert error(found.gradient, by_differences(name, case.seeds[0])) < 1e-6


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.in_the_losses_alone])
def test_implicit_refuses_what_is_not_in_the_losses(name):
    case = CASES[name]
    with pytest.raises(Refused, match="estimator 'implicit' cannot differentiate outer"):
        hypergradient(case.problem, case.outer, "implicit")


@pytest.mark.parametrize("estimator", ["stn", "delta_stn"])
def test_best_responses_are_for_jobs(estimator):
    case = CASES["quadratic"]
    with pytest.raises(Refused, match="layers of the built-in families"):
        hypergradient(case.problem, case.outer, estimator)
    assert estimator not in usable()


def test_lion_is_refused_by_all_that_go_through_its_signs():
    from tests.hpo.bilevel.problems import short

    case = CASES["example weights"]
    problem = short(case, optimizer={"name": "lion", "learning_rate": 0.01})
    for estimator in ("reverse", "higher", "forward", "truncated", "greedy"):
        with pytest.raises(Refused, match="differentiates through the updates of optimizer 'lion'"):
            hypergradient(problem, case.outer, estimator)
    assert hypergradient(problem, case.outer, "es", samples=4).value.isfinite().all()
