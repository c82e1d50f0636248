"""At the edge of chaos: the default's sign of the learning rate's derivative against evolution strategies."""

import pytest
import torch
from torch import Tensor

from hpo.estimators.choice import choose_estimator
from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.reverse import Reverse

SEEDS = 16


def over_seeds(gradient: Tensor) -> tuple[float, float]:
    """Mean over members, and its standard error."""
    return gradient.mean().item(), gradient.std().item() / len(gradient) ** 0.5


@pytest.mark.parametrize(("rate", "sign"), [(1.0, 1), (0.05, -1)], ids=["chaotic", "calm"])
def test_the_default_agrees_in_sign_with_evolution_strategies(build_problem, rate: float, sign: int) -> None:
    """200 antithetic pairs over 8 seeds are the reference; the exact gradient of a chaotic run is noise of any size."""
    problem = build_problem(
        torch.float32,
        model={"width": 16, "depth": 2},
        optimizer={"name": "sgd", "momentum": 0.0, "learning_rate": rate},
        schedule={"name": "constant"},
        inner={"steps": 100, "batch_size": 32, "seeds": SEEDS},
        search=[{"name": "learning_rate"}],
    )
    draw, points = problem.draw([(0, seed) for seed in range(SEEDS)]), problem.space.start().expand(SEEDS, -1)
    default, choice = choose_estimator(problem.spec, 2**32)
    assert choice.adjoint == "bounded"
    found, noise = over_seeds(default.estimate(problem, points, draw).gradient)
    reference, error = over_seeds(
        EvolutionStrategies(samples=25, sigma=0.1).estimate(problem, points[:8], draw.select(range(8))).gradient
    )
    assert sign * reference > 2 * error
    assert sign * found > 2 * noise
    exact = Reverse("none", "exact").estimate(problem, points, draw).gradient
    if sign > 0:
        assert exact.abs().max() > 100 * abs(reference)
    else:
        torch.testing.assert_close(exact.mean().item(), found, rtol=0.2, atol=0)
