"""Linear regression with L2, whose best response is (2 X'X / n + lambda I)^-1 2 X'y / n: learned, and tuned by."""

import pytest
import torch

from hpo.best_response.run import BestResponseRun, Standing
from hpo.estimators.best_response import BestResponse
from hpo.estimators.registry import response_objectives

STEPS = 800


def trained(problem, kind: str, members: int = 1) -> tuple[BestResponseRun, Standing]:
    settings = problem.spec.method.best_response_settings
    draw = problem.draw([(0, member) for member in range(members)])
    run = BestResponseRun(problem, response_objectives(kind), settings, draw)
    return run, run.advance(run.begin(problem.space.start()), problem.steps)


def errors(problem, kind: str) -> dict[float, float]:
    """Relative error of the weights that the response gives, by distance in log lambda."""
    run, state = trained(problem, kind)
    found = {}
    for distance in (-0.5, -0.25, 0.0, 0.25, 0.5):
        exact = problem.solution(state.point[0] + distance)
        given = run.parameters(state, torch.tensor([distance], dtype=torch.float64))[0]
        found[distance] = float((given - exact).norm() / exact.norm())
    return found


@pytest.fixture(scope="module")
def learned(build_regression):
    """Errors of both kinds after a run whose lambda stays."""
    kinds = ("stn", "delta_stn")
    return {
        kind: errors(build_regression(1.0, STEPS, estimator=kind, warmup=0.9, hyper_rate=1e-12), kind) for kind in kinds
    }


def test_the_learned_response_is_the_closed_form_best_response(learned) -> None:
    # The tangent of w* by itself is off by 1.5 % there.
    assert max(learned["delta_stn"].values()) < 0.04
    assert max(learned["stn"].values()) < 0.1
    assert learned["delta_stn"][0.0] < 1e-8


def test_delta_stn_is_at_least_as_close_as_stn(learned) -> None:
    """In the mean over perturbations, and by far where the regularisers stand."""
    assert sum(learned["delta_stn"].values()) < sum(learned["stn"].values())
    assert learned["delta_stn"][0.0] < 1e-6 * learned["stn"][0.0]


@pytest.mark.parametrize("start", [0.05, 2.0])
def test_the_tuned_penalty_is_the_closed_form_optimum_within_five_percent(build_regression, start: float) -> None:
    problem = build_regression(start, STEPS, estimator="delta_stn", entropy=0, training_steps=4, control_variate=True)
    _, state = trained(problem, "delta_stn")
    assert float(state.point.exp()) == pytest.approx(problem.best(), rel=0.05)


@pytest.mark.parametrize("kind", ["stn", "delta_stn"])
def test_without_a_control_variate_it_is_found_from_above(build_regression, kind: str) -> None:
    """Where the penalty is too weak to be felt, the noise of single examples hides the response.

    One run ends up to a half away from the optimum; many that share their regularisers average that noise out.
    """
    problem = build_regression(2.0, STEPS, estimator=kind, entropy=0, training_steps=4)
    _, state = trained(problem, kind, members=24)
    assert float(state.point.exp()) == pytest.approx(problem.best(), rel=0.1)


def test_the_gradient_through_the_response_is_that_of_the_closed_form(build_regression) -> None:
    problem = build_regression(1.0, STEPS)
    point = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(problem.validation_loss(point[0, 0]), point)
    settings = problem.spec.method.best_response_settings
    found = BestResponse(response_objectives("delta_stn"), settings).estimate(
        problem, point.detach(), problem.draw([(0, 0)])
    )
    assert found.gradient.item() == pytest.approx(exact.item(), rel=0.05)
    assert found.value.item() == pytest.approx(problem.validation_loss(point.detach()[0, 0]).item(), rel=1e-6)
    assert found.cost == 3 * STEPS
