"""Oracles of the hypergradient: closed forms, the unrolled graph, finite differences; and what the bounded adjoint does."""

import pytest
import torch
from torch import nn

from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse, bounded_scale
from hpo.estimators.unrolled import Unrolled
from hpo.layout import Layout
from hpo.tasks import load
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.types import JobSpec, TensorFacts

EXACT: dict[str, Estimator] = {
    "reverse, every state": Reverse("none", "exact"),
    "reverse, sqrt states": Reverse("sqrt", "exact"),
    "higher": Unrolled(),
}


class Weight(nn.Module):
    """Three numbers, under the name that the engine gives its output multiplier to."""

    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.Linear(3, 1, bias=False)


class Quadratic(InnerProblem):
    """Training and validation loss sum(a w^2) / 2, whatever the data: runs have a closed form."""

    curvature = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)

    def __init__(self, **fields: object) -> None:
        spec = JobSpec.model_validate(
            {
                "task": "breast-cancer",
                "optimizer": {"name": "sgd", "momentum": 0.0, "clip_norm": None, **fields},
                "schedule": {"name": "constant"},
                "inner": {"steps": 17, "batch_size": 1, "seeds": 2},
                "search": [{"name": "learning_rate"}, {"name": "weight_decay"}],
            }
        )
        facts = [TensorFacts(name="readout.weight", shape=[1, 3], role="hidden")]
        space = Space.from_spec(spec, facts)
        super().__init__(spec, Layout(facts), [1.0], space, load(spec.task), torch.float64)

    def build_module(self) -> nn.Module:
        return Weight()

    def training_loss(self, tensors, loss, batch):
        return (self.curvature * tensors[0][:, 0].square()).sum(1) / 2

    def evaluate(self, parameters, loss, split):
        return (self.curvature * parameters.square()).sum(1) / 2, torch.zeros(len(parameters))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("eta", "lam"), [(0.1, 0.02), (0.35, 0.3), (0.01, 1.0)])
def test_quadratic_sgd_equals_the_closed_form(name: str, eta: float, lam: float) -> None:
    """L after T steps is sum a w0^2 (1 - eta (a + lam))^(2T) / 2."""
    problem = Quadratic(learning_rate=eta, weight_decay=lam)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    found = EXACT[name].estimate(problem, points, draw)
    a, start, steps = problem.curvature, draw.noise, problem.steps
    shrink = (1 - eta * (a + lam)) ** (2 * steps - 1)
    by_eta = -(a * (a + lam) * start.square() * steps * shrink).sum(1)
    by_lam = -(a * start.square() * steps * eta * shrink).sum(1)
    # The coordinates are logarithms, hence the factors eta and lam.
    expected = torch.stack([eta * by_eta, lam * by_lam], dim=1)
    torch.testing.assert_close(found.gradient, expected, rtol=1e-12, atol=0)


GLOBAL = [{"name": name} for name in ("clip_norm", "output_multiplier", "warmup_fraction", "floor")]
SCOPED = [
    {"name": "learning_rate", "scope": "role"},
    {"name": "weight_decay", "scope": "tensor"},
    {"name": "init_scale", "scope": "role"},
]
ADAM = [{"name": name} for name in ("beta1", "beta2", "eps")]
CASES = {
    "adamw": ({"name": "adamw", "eps": 1e-4}, ADAM),
    "adamw, independent decay": ({"name": "adamw", "eps": 1e-4, "decay": "independent"}, ADAM),
    "adam, l2": ({"name": "adam", "eps": 1e-4}, ADAM),
    "sgd, l2": ({"name": "sgd"}, [{"name": "momentum"}]),
    "sgd, decoupled decay": ({"name": "sgd", "decay": "decoupled"}, [{"name": "momentum"}]),
}


def search_problem(build_problem, case: str, activation: str = "tanh") -> InnerProblem:
    rule, own = CASES[case]
    return build_problem(
        model={"width": 6, "depth": 2, "activation": activation},
        optimizer={"learning_rate": 0.02, "weight_decay": 0.1, "clip_norm": 0.5, **rule},
        # 0.17 * 20 steps: the end of the warmup lies between two steps, where the schedule has a derivative.
        schedule={"name": "cosine", "warmup_fraction": 0.17, "floor": 0.1},
        inner={"steps": 20, "batch_size": 16, "seeds": 2},
        search=[*SCOPED, *GLOBAL, *own],
    )


@pytest.mark.parametrize("case", CASES)
def test_reverse_higher_and_finite_differences_agree_for_every_hyperparameter(
    build_problem, central_differences, case: str
) -> None:
    problem = search_problem(build_problem, case)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    reverse = Reverse("sqrt", "exact").estimate(problem, points, draw)
    unrolled = Unrolled().estimate(problem, points, draw)
    numeric = central_differences(problem, points, draw)
    torch.testing.assert_close(reverse.value, unrolled.value, rtol=1e-12, atol=0)
    torch.testing.assert_close(reverse.gradient, unrolled.gradient, rtol=1e-9, atol=1e-14)
    assert (numeric.abs().amax(dim=0) > 1e-6).all(), "a hyperparameter without effect would prove nothing"
    # Differences of losses near 1 over a width of 2e-4 carry a rounding error of about 1e-12.
    torch.testing.assert_close(reverse.gradient, numeric, rtol=1e-6, atol=2e-12)


def test_reverse_equals_higher_through_relu_and_gelu(build_problem) -> None:
    for activation in ("relu", "gelu"):
        problem = search_problem(build_problem, "adamw", activation)
        draw = problem.draw([(0, 0)])
        points = problem.space.start()[None]
        reverse = Reverse("none", "exact").estimate(problem, points, draw)
        unrolled = Unrolled().estimate(problem, points, draw)
        torch.testing.assert_close(reverse.gradient, unrolled.gradient, rtol=1e-9, atol=1e-14)


def test_replayed_states_give_the_gradient_of_kept_states_bit_for_bit(build_problem) -> None:
    problem = search_problem(build_problem, "adamw")
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    for adjoint in ("exact", "bounded"):
        kept = Reverse("none", adjoint).estimate(problem, points, draw)
        replayed = Reverse("sqrt", adjoint).estimate(problem, points, draw)
        assert torch.equal(kept.gradient, replayed.gradient)
        assert replayed.cost > kept.cost == 2 * 4 * problem.steps


def test_the_bounded_adjoint_is_exact_where_nothing_grows() -> None:
    """On a quadratic with eta a < 1 the adjoint shrinks at every step: there is nothing to bound."""
    problem = Quadratic(learning_rate=0.1, weight_decay=0.02)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    exact = Reverse("none", "exact").estimate(problem, points, draw)
    bounded = Reverse("none", "bounded").estimate(problem, points, draw)
    assert torch.equal(exact.gradient, bounded.gradient)
    assert bounded.bounded_share is not None and (bounded.bounded_share == 0).all()
    assert bounded.mean_scale is not None and (bounded.mean_scale == 1).all()


@pytest.mark.slow
def test_the_bounded_adjoint_stays_finite_in_size_where_the_exact_one_explodes(build_problem) -> None:
    problem = build_problem(
        torch.float32,
        model={"width": 32, "depth": 2},
        optimizer={"name": "adamw", "learning_rate": 0.3},
        inner={"steps": 100, "batch_size": 32, "seeds": 4},
        search=[{"name": "learning_rate", "scope": "role"}],
    )
    draw = problem.draw([(0, seed) for seed in range(4)])
    points = problem.space.start().expand(4, -1)
    exact = Reverse("none", "exact").estimate(problem, points, draw)
    bounded = Reverse("none", "bounded").estimate(problem, points, draw)
    assert torch.equal(exact.value, bounded.value)
    assert exact.gradient.norm() > 1e3
    assert bounded.gradient.norm() < 1e2
    assert bounded.bounded_share is not None and bounded.bounded_share.min() > 0.3


def test_the_bound_is_met_with_the_largest_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    elementwise = torch.randn(64, 10, generator=generator, dtype=torch.float64)
    hessian = torch.randn(64, 10, generator=generator, dtype=torch.float64) * torch.logspace(-3, 3, 64)[:, None].double()
    for growth in (0.0, 0.0115, 0.5):
        scale = bounded_scale(elementwise, hessian, growth)
        length = (elementwise + scale[:, None] * hessian).norm(dim=1)
        bound = (1 + growth) * elementwise.norm(dim=1)
        assert (length <= bound * (1 + 1e-9)).all()
        limited = scale < 1
        assert limited.any()
        torch.testing.assert_close(length[limited & (scale > 0)], bound[limited & (scale > 0)], rtol=1e-6, atol=0)
        further = (elementwise + (scale + 1e-4)[:, None] * hessian).norm(dim=1)
        assert (further[limited] > bound[limited]).all()


def test_no_hessian_term_needs_no_bound_and_no_adjoint_stays_zero() -> None:
    one, zero = torch.ones(1, 3), torch.zeros(1, 3)
    assert bounded_scale(one, zero, 0.01).item() == 1.0
    assert bounded_scale(zero, one, 0.01).item() == 0.0


def test_every_storage_gives_the_same_bits_and_costs_what_it_replays(build_problem) -> None:
    problem = search_problem(build_problem, "adamw")
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    kept = Reverse("none").estimate(problem, points, draw)
    # 20 steps in segments of 1, 3, 7, 20, 50: the last is never played twice, the first step of another is kept.
    # A tree has segments of 8, 8 and 4; where the states lie changes nothing.
    counts = ((1, 0), (3, 12), (7, 12), (20, 0), (50, 0), ("log", 14), ("none", 0), ("sqrt", 12))
    for every, replayed in counts:
        place = "file" if replayed == 12 or every == "none" else "device"
        estimator, seen = Reverse(every, place=place), []
        found = estimator.estimate(problem, points, draw, seen.append)
        assert torch.equal(found.gradient, kept.gradient)
        assert sum(seen) == 2 * estimator.member_steps(problem) == 2 * (2 * problem.steps + replayed)
        assert found.cost == kept.cost + 2 * replayed


def test_the_growth_of_each_step_multiplies_to_that_of_the_adjoint(build_problem) -> None:
    """On a quadratic without momentum every step multiplies the adjoint by 1 - eta (a + lambda)."""
    problem = Quadratic(learning_rate=0.9, weight_decay=1e-4)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    found = Reverse("sqrt", "exact").estimate(problem, points, draw)
    assert found.growth is not None and found.growth.shape == (17, 2) and found.scales is None
    factor = 1 - 0.9 * (problem.curvature + 1e-4)
    slope = problem.curvature * factor**17 * draw.noise
    lengths = torch.stack([(slope * factor**count).norm(dim=1) for count in range(18)])
    # Going back, update number t is pulled back after 16 - t others.
    expected = (lengths[1:] / lengths[:-1]).log().flip(0)
    torch.testing.assert_close(found.growth, expected, rtol=1e-6, atol=1e-7)


def test_a_bounded_step_reports_its_growth_before_the_bound(build_problem) -> None:
    problem = Quadratic(learning_rate=0.9, weight_decay=1e-4)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    found = Reverse("none", "bounded", growth_budget=2.0).estimate(problem, points, draw)
    assert found.growth is not None and found.scales is not None and found.scales.shape == found.growth.shape
    allowed = torch.tensor(1 + torch.log(torch.tensor(2.0)).item() / 17).log().double()
    assert torch.equal(found.scales < 1, found.growth > allowed)
    assert (found.scales < 1).any()
    torch.testing.assert_close(found.mean_scale, found.scales.mean(dim=0))


def test_gauss_newton_is_bounded_and_cheaper(build_problem) -> None:
    problem = build_problem(
        model={"width": 6, "depth": 2},
        inner={"steps": 20, "batch_size": 16, "seeds": 2},
        search=[{"name": "learning_rate", "scope": "role"}, {"name": "init_scale"}],
    )
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    bounded = Reverse("none", "bounded").estimate(problem, points, draw)
    found = Reverse("none", "gauss_newton").estimate(problem, points, draw)
    assert torch.equal(found.value, bounded.value)
    assert not torch.equal(found.gradient, bounded.gradient)
    assert torch.cosine_similarity(found.gradient.flatten(), bounded.gradient.flatten(), dim=0) > 0.9
    assert found.scales is not None and (found.scales <= 1).all()
    assert found.cost == pytest.approx(2 * (2 + 4 / 3) * problem.steps)
