"""SGD on a quadratic: every estimator against what it must find there, the exact derivative or its own biased one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hpo.errors import Refused
from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.greedy import Greedy
from hpo.estimators.implicit import Implicit
from hpo.estimators.pes import PersistentEvolutionStrategies, less_baseline
from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled

EXACT: dict[str, Estimator] = {
    "reverse, every state": Reverse("none", "exact"),
    "reverse, sqrt states": Reverse("sqrt", "exact"),
    "reverse, bounded": Reverse("none", "bounded"),
    "higher": Unrolled(),
    "forward": Forward(),
    "truncated, a window of the whole run": Truncated(17),
    "truncated, a longer window": Truncated(1000),
}
# 400 samples of 2 coordinates: a standard error of about a tenth of the gradient.
RANDOM: dict[str, Estimator] = {
    "forward, random signs": Forward(samples=100),
    "forward, random normal": Forward(samples=400, distribution="gaussian"),
    "es": EvolutionStrategies(samples=400, sigma=1e-3, population=100),
    "pes": PersistentEvolutionStrategies(samples=1000, sigma=1e-3, window=8, population=400),
    "pes, one window": PersistentEvolutionStrategies(samples=400, sigma=1e-3, window=17),
}
RATES = [(0.1, 0.02), (0.35, 0.3), (0.01, 1.0)]


def ratios(problem, eta: float, lam: float) -> Tensor:
    return 1 - eta * (problem.curvature + lam)


def exact(problem, start: Tensor, eta: float, lam: float) -> Tensor:
    """Of L = sum a w0^2 r^(2T) / 2 with r = 1 - eta (a + lam), by log eta and log lam."""
    a, shrink = problem.curvature, ratios(problem, eta, lam) ** (2 * problem.steps - 1)
    by_eta = -(a * (a + lam) * start.square() * problem.steps * shrink).sum(1)
    by_lam = -(a * start.square() * problem.steps * eta * shrink).sum(1)
    # The coordinates are logarithms, hence the factors eta and lam.
    return torch.stack([eta * by_eta, lam * by_lam], dim=1)


def greedy(problem, start: Tensor, eta: float, lam: float) -> Tensor:
    """Sum over t of the derivative of a (r w_t)^2 / 2 with w_t = r^t w0 held fixed."""
    a, ratio = problem.curvature, ratios(problem, eta, lam)
    series = sum(ratio ** (2 * step + 1) for step in range(problem.steps))
    by_eta = -(a * (a + lam) * start.square() * series).sum(1)
    by_lam = -(a * start.square() * eta * series).sum(1)
    return torch.stack([eta * by_eta, lam * by_lam], dim=1)


@pytest.fixture(params=RATES, ids=str)
def quadratic(request, build_quadratic):
    """(problem, points, draw, expected derivative)"""
    eta, lam = request.param
    problem = build_quadratic(eta, lam)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    return problem, points, draw, request.param


@pytest.mark.parametrize("name", EXACT)
def test_exact_estimators_equal_the_closed_form(quadratic, name: str) -> None:
    problem, points, draw, rates = quadratic
    found = EXACT[name].estimate(problem, points, draw)
    torch.testing.assert_close(found.gradient, exact(problem, draw.noise, *rates), rtol=1e-12, atol=0)
    assert found.stderr is None


@pytest.mark.parametrize("name", RANDOM)
def test_random_estimators_equal_it_within_their_own_standard_error(quadratic, name: str) -> None:
    """Four standard errors; and the error is small enough that a gradient twice too long would be seen."""
    problem, points, draw, rates = quadratic
    found, expected = RANDOM[name].estimate(problem, points, draw), exact(problem, draw.noise, *rates)
    assert found.stderr is not None
    assert ((found.gradient - expected).abs() < 4 * found.stderr).all()
    assert (found.stderr.norm(dim=1) < 0.2 * expected.norm(dim=1)).all()
    torch.testing.assert_close(found.value, Reverse().estimate(problem, points, draw).value, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "estimator",
    [
        Forward(samples=8),
        Forward(samples=8, distribution="gaussian"),
        EvolutionStrategies(samples=8, sigma=1e-3, population=3000),
        PersistentEvolutionStrategies(samples=8, sigma=1e-3, window=5, population=3000),
    ],
    ids=["forward, signs", "forward, normal", "es", "pes"],
)
def test_random_estimators_are_unbiased_and_scatter_by_their_standard_error(build_quadratic, estimator) -> None:
    """The same run estimated 2000 times, each time with random numbers of its own."""
    problem, times = build_quadratic(0.02, 0.1), 2000
    draw = problem.draw([(0, 0)]).select([0] * times)
    draw = replace(draw, streams=tuple(range(times)))
    found = estimator.estimate(problem, problem.space.start().expand(times, -1), draw)
    expected = exact(problem, draw.noise[:1], 0.02, 0.1)[0]
    scatter = found.gradient.std(dim=0)
    assert ((found.gradient.mean(dim=0) - expected).abs() < 4 * scatter / times**0.5).all()
    torch.testing.assert_close(found.stderr.square().mean(dim=0).sqrt(), scatter, rtol=0.1, atol=0)


def test_the_baseline_of_pes_is_never_worse_than_none_or_the_plain_change_of_the_loss() -> None:
    """One coordinate, windows whose loss has all, half or nothing to do with that before."""
    generator = torch.Generator().manual_seed(0)
    fresh = torch.randn(3, 4000, 2, generator=generator, dtype=torch.float64)
    carried = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)[:, None]
    differences = torch.stack([3 * fresh[..., 0], carried * 3 * fresh[..., 0] + fresh[..., 1]], dim=2)
    spread = less_baseline(differences)[..., 1].std(dim=1)
    plain, change = differences[..., 1].std(dim=1), (differences[..., 1] - differences[..., 0]).std(dim=1)
    assert (spread < 1.01 * torch.minimum(plain, change)).all()
    # What the window itself adds is all that is left.
    torch.testing.assert_close(spread, torch.ones(3, dtype=torch.float64), rtol=0.05, atol=0)


def test_central_differences_equal_it_but_for_their_width(quadratic) -> None:
    problem, points, draw, rates = quadratic
    found = FiniteDifference(sigma=1e-4).estimate(problem, points, draw)
    torch.testing.assert_close(found.gradient, exact(problem, draw.noise, *rates), rtol=1e-6, atol=0)


@pytest.mark.parametrize("window", [1, 5, 16])
def test_a_truncated_gradient_is_the_share_of_its_window(quadratic, window: int) -> None:
    """w_(T-K) held fixed, L = sum a w_(T-K)^2 r^(2K) / 2: every step has the same part in it, K / T of the whole."""
    problem, points, draw, rates = quadratic
    found = Truncated(window).estimate(problem, points, draw)
    expected = exact(problem, draw.noise, *rates) * window / problem.steps
    torch.testing.assert_close(found.gradient, expected, rtol=1e-12, atol=0)


def test_a_greedy_gradient_is_the_sum_of_one_step_lookaheads(quadratic) -> None:
    problem, points, draw, rates = quadratic
    found = Greedy().estimate(problem, points, draw)
    torch.testing.assert_close(found.gradient, greedy(problem, draw.noise, *rates), rtol=1e-12, atol=0)


def test_what_an_estimator_cannot_differentiate_it_refuses_by_name(build_quadratic, build_proxy) -> None:
    problem = build_quadratic(0.1, 0.1)
    scaled = build_proxy(model={"width": 4, "depth": 1}, search=[{"name": "l2"}, {"name": "init_scale", "scope": "role"}])
    for estimator, refused, label in (
        (Implicit(), problem, "learning_rate"),
        (Implicit(), scaled, "init_scale.input"),
        (Greedy(), scaled, "init_scale.input"),
        (Truncated(5), scaled, "init_scale.input"),
    ):
        with pytest.raises(Refused, match=f"cannot differentiate {label}: ") as error:
            estimator.estimate(refused, refused.space.start()[None], refused.draw([(0, 0)]))
        assert "reverse" in str(error.value.hint)
