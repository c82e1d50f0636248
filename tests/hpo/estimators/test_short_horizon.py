"""Two published problems in which a short horizon misleads, and who is misled."""

import pytest
import torch
from torch import Tensor

from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.greedy import Greedy
from hpo.estimators.pes import PersistentEvolutionStrategies
from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated

STEPS = 300
OPTIMAL, GREEDY = 1.0083, 1.4157
"""Expected final losses of the schedules that Wu et al. 2018 found by gradients of the whole run, and greedily."""


def rates(problem, point: Tensor) -> Tensor:
    """Learning rates at steps 0, 50, 150 and 250."""
    found: Tensor = problem.coefficients(point.detach()[None]).scheduled["learning_rate"][[0, 50, 150, 250], 0, 0]
    return found


def test_the_greedy_schedule_is_where_the_greedy_gradient_vanishes(build_noisy_quadratic) -> None:
    problem = build_noisy_quadratic(STEPS, STEPS)
    schedule, draw = problem.greedy(), problem.draw([(0, 0)])
    torch.testing.assert_close(
        schedule[[0, 50, 150, 250]], torch.tensor([0.99, 0.030, 0.019, 0.017]).double(), rtol=0, atol=5e-4
    )
    found = Greedy().estimate(problem, schedule.log()[None], draw)
    assert found.value.item() == pytest.approx(GREEDY, abs=5e-5)
    scale = Greedy().estimate(problem, (schedule * 1.1).log()[None], draw).gradient.abs().amax()
    assert (found.gradient.abs() < 1e-10 * scale).all()
    # The gradient of the whole run sees there that higher rates for longer would pay.
    assert (Reverse("none", "exact").estimate(problem, schedule.log()[None], draw).gradient[0, 20:200] < 0).all()


def test_reverse_finds_the_optimal_schedule(build_noisy_quadratic) -> None:
    problem = build_noisy_quadratic(STEPS, 11)
    draw, estimator = problem.draw([(0, 0)]), Reverse("none", "exact")
    point = problem.space.start().requires_grad_()
    losses: list[float] = []

    def closure() -> Tensor:
        found = estimator.estimate(problem, point.detach()[None], draw)
        point.grad = found.gradient[0]
        losses.append(found.value.item())
        return found.value[0]

    torch.optim.LBFGS([point], max_iter=25, max_eval=25, line_search_fn="strong_wolfe").step(closure)
    assert 1.0 < min(losses) < OPTIMAL
    first, early, middle, late = rates(problem, point)
    # High for as long as the slow direction has a way to go, and low only in the end, against the noise.
    assert first > 1 and early > 1 and middle > 0.3 and late < 0.03


def test_greedy_ends_near_the_greedy_schedule(build_noisy_quadratic) -> None:
    """From the same start, by signs alone, for the greedy gradient is the gradient of no function."""
    problem = build_noisy_quadratic(STEPS, 11)
    draw, estimator = problem.draw([(0, 0)]), Greedy()
    point = problem.space.start().requires_grad_()
    optimizer = torch.optim.Rprop([point], lr=0.3, step_sizes=(1e-3, 1.0))
    values = []
    for _ in range(20):
        found = estimator.estimate(problem, point.detach()[None], draw)
        values.append(found.value.item())
        point.grad = found.gradient[0]
        optimizer.step()
    assert values[-1] == pytest.approx(GREEDY, abs=0.05)
    assert rates(problem, point)[1] < 0.1


HORIZON = 100
RIGHT: dict[str, Estimator] = {
    "reverse": Reverse("none", "exact"),
    "forward": Forward(),
    "truncated, the whole run": Truncated(HORIZON),
    "finite_difference": FiniteDifference(1e-4),
}
RANDOM: dict[str, Estimator] = {
    "forward, random": Forward(samples=1, distribution="gaussian"),
    "es": EvolutionStrategies(samples=400, sigma=1e-2, population=800),
    "pes": PersistentEvolutionStrategies(samples=6000, sigma=1e-2, window=10, population=12_000),
}
WRONG: dict[str, Estimator] = {
    "truncated, 1 step": Truncated(1),
    "truncated, 10 steps": Truncated(10),
    "greedy": Greedy(),
}


@pytest.fixture
def influence(build_influence):
    """(problem, point, draw, exact derivative by log theta) at theta = 0.5, where theta should fall."""
    problem = build_influence(0.5, HORIZON)
    state, slope = torch.ones(problem.units, dtype=torch.float64), torch.zeros(problem.units, dtype=torch.float64)
    for _ in range(HORIZON):
        state, slope = problem.matrix @ state + 0.5 * problem.signs, problem.matrix @ slope + problem.signs
    exact = 0.5 * (state[0] - 1) * slope[0]
    return problem, problem.space.start()[None], problem.draw([(0, 0)]), exact


def test_in_the_long_run_theta_pulls_the_other_way(influence) -> None:
    """x_0 tends to -6 theta: the derivative by log theta at 0.5 to 0.5 (-6 * 0.5 - 1) (-6) = 12."""
    assert influence[3].item() == pytest.approx(12, rel=1e-6)


@pytest.mark.parametrize("name", RIGHT)
def test_the_whole_run_gives_the_right_influence(influence, name: str) -> None:
    problem, point, draw, exact = influence
    found = RIGHT[name].estimate(problem, point, draw)
    torch.testing.assert_close(
        found.gradient, exact.view(1, 1), rtol=1e-7 if name == "finite_difference" else 1e-12, atol=0
    )


@pytest.mark.parametrize("name", RANDOM)
def test_perturbations_that_persist_give_the_right_influence(influence, name: str) -> None:
    problem, point, draw, exact = influence
    found = RANDOM[name].estimate(problem, point, draw)
    assert found.gradient.item() > 0
    if name != "forward, random":
        assert found.stderr is not None
        assert abs(found.gradient.item() - exact.item()) < 4 * found.stderr.item() < 0.5 * exact.item()


@pytest.mark.parametrize("name", WRONG)
def test_a_short_horizon_gives_the_wrong_sign(influence, name: str) -> None:
    problem, point, draw, exact = influence
    found = WRONG[name].estimate(problem, point, draw)
    assert exact.item() > 0 > found.gradient.item()
