"""Implicit differentiation: ridge regression, where everything has a closed form; and what is asked of the solvers."""

import pytest
import torch
from torch import Tensor

from hpo.estimators.implicit import Implicit
from hpo.estimators.reverse import Reverse
from hpo.estimators.solvers import conjugate_gradient, neumann, nystrom

# The ridge problem has 6 parameters: cg is done after 6 steps, and a sketch of rank 6 sees all of the Hessian.
SOLVERS = {
    "cg": Implicit("cg", 6, damping=0.0),
    "neumann": Implicit("neumann", 3000, damping=0.0),
    "nystrom": Implicit("nystrom", 6, damping=0.0),
}
DECAYS = {
    "no decay": {},
    "l2": {"weight_decay": 0.2},
    "decoupled": {"weight_decay": 0.2, "decay": "decoupled"},
    "independent": {"weight_decay": 0.2, "decay": "independent"},
}


def closed_form(problem, damping: float = 0.0, decay: float = 0.0) -> Tensor:
    """By log lambda: -lambda <grad L_val, (X^T X / n + lambda + decay + damping)^-1 w>, w the solution."""
    l2 = problem.space.start().exp()[0]
    weights = problem.solution(l2 + decay).requires_grad_()
    (slope,) = torch.autograd.grad(problem.validation(weights), weights)
    matrix = problem.x.T @ problem.x / len(problem.x) + (l2 + decay + damping) * torch.eye(6, dtype=torch.float64)
    return -l2 * slope @ torch.linalg.solve(matrix, weights.detach())


@pytest.mark.parametrize("l2", [0.01, 0.3])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_equals_the_closed_form_of_ridge_regression(build_ridge, name: str, l2: float) -> None:
    problem = build_ridge(l2)
    draw = problem.draw([(0, 0), (0, 1)])
    found = SOLVERS[name].estimate(problem, problem.space.start().expand(2, -1), draw)
    torch.testing.assert_close(found.gradient, closed_form(problem).expand(2, 1), rtol=1e-9, atol=0)
    assert found.residual is not None and (found.residual < 1e-9).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_damping_adds_to_the_diagonal(build_ridge, name: str) -> None:
    problem = build_ridge(0.1)
    damped = Implicit(SOLVERS[name].solver, SOLVERS[name].solver_steps, damping=0.5)
    found = damped.estimate(problem, problem.space.start()[None], problem.draw([(0, 0)]))
    torch.testing.assert_close(found.gradient, closed_form(problem, damping=0.5).view(1, 1), rtol=1e-9, atol=0)


def test_the_closed_form_is_the_derivative_of_the_solution(build_ridge) -> None:
    problem, width = build_ridge(0.1), 1e-5
    losses = [problem.validation(problem.solution((problem.space.start() + sign * width).exp()[0])) for sign in (1, -1)]
    torch.testing.assert_close(closed_form(problem), (losses[0] - losses[1]) / (2 * width), rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", DECAYS)
def test_decay_by_sgd_is_part_of_the_stationary_point(build_ridge, name: str) -> None:
    """The independent kind shrinks by decay where the gradient moves by the learning rate: the ratio counts."""
    rate, kind = 0.05, DECAYS[name]
    shift = kind.get("weight_decay", 0.0) / (rate if name == "independent" else 1.0)
    problem = build_ridge(0.1, {"learning_rate": rate, **kind})
    problem.initial = lambda draw, table: problem.rule.init(problem.solution(0.1 + shift).repeat(1, 1))
    draw, points = problem.draw([(0, 0)]), problem.space.start()[None]
    state = problem.initial(draw, problem.coefficients(points))
    moved = problem.advance(state, problem.coefficients(points), draw, 0, 1, lambda _: None)[-1]
    torch.testing.assert_close(moved[0], state[0], rtol=0, atol=1e-14)
    found = Implicit("cg", 6, damping=0.0).estimate(problem, points, draw)
    torch.testing.assert_close(found.gradient, closed_form(problem, decay=shift).view(1, 1), rtol=1e-9, atol=0)


def test_a_long_run_differentiated_in_reverse_comes_to_the_same(build_ridge) -> None:
    problem = build_ridge(0.3, {"learning_rate": 0.5}, steps=120)
    problem.initial = lambda draw, table: problem.rule.init(torch.zeros(1, 6, dtype=torch.float64))
    draw = problem.draw([(0, 0)])
    unrolled = Reverse("none", "exact").estimate(problem, problem.space.start()[None], draw)
    torch.testing.assert_close(unrolled.gradient, closed_form(problem).view(1, 1), rtol=1e-8, atol=0)


def test_what_acts_on_the_validation_loss_itself_is_counted(build_proxy) -> None:
    """An output multiplier scales the readout where validation reads it too: far from a solution that part is there."""
    problem = build_proxy(
        model={"width": 4, "depth": 1}, inner={"steps": 2, "batch_size": 8}, search=[{"name": "output_multiplier"}]
    )
    draw, points, width = problem.draw([(0, 0)]), problem.space.start()[None], 1e-5
    # With a large damping the part that goes through the weights is small.
    found = Implicit("cg", 20, damping=1e9).estimate(problem, points, draw)
    trained = problem.train(points, draw)
    losses = [
        problem.evaluate(trained.parameters, problem.coefficients(points + sign * width).loss, problem.data.validation)[0]
        for sign in (1, -1)
    ]
    torch.testing.assert_close(found.gradient[0], (losses[0] - losses[1]) / (2 * width), rtol=1e-6, atol=1e-10)


def test_the_system_covers_the_training_set_evenly_with_noise_of_its_own(build_proxy) -> None:
    problem = build_proxy(
        model={"width": 4, "depth": 2},
        inner={"steps": 3, "batch_size": 8},
        search=[{"name": "dropout"}, {"name": "mixture_weight"}],
    )
    draw, inputs = problem.draw([(0, 0), (0, 1)]), problem.examples.sample().inputs
    whole, part = problem.spread_batch(draw, 10_000), problem.spread_batch(draw, 100)
    assert torch.equal(whole.inputs, inputs)
    assert part.labels.shape == (2, 100) and part.sources is not None and part.sources.shape == (2, 100)
    places = [int((inputs == row).all(dim=1).nonzero()[0]) for row in part.inputs]
    steps = torch.tensor(places).diff()
    assert steps.min() >= len(inputs) // 100 - 1 and places[-1] >= len(inputs) * 0.98
    for name, noise in part.noise.items():
        assert noise.shape[:2] == (2, 100)
        assert not torch.equal(noise[0], noise[1])
        assert not torch.equal(noise[:, :8], problem.batch(draw, 0).noise[name])
    again = problem.spread_batch(draw.select([1]), 100)
    assert all(torch.equal(again.noise[name][0], part.noise[name][1]) for name in part.noise)


def spectrum(*values: float) -> tuple[Tensor, Tensor]:
    """A symmetric matrix with those eigenvalues, twice over, and a right-hand side for each."""
    generator = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)).Q
    matrix = basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T
    return matrix, torch.randn(2, len(values), generator=generator, dtype=torch.float64)


def test_conjugate_gradients_solve_an_indefinite_system_and_never_leave_more_than_there_was() -> None:
    matrix, right = spectrum(5.0, 2.0, 1.0, 0.3, -0.2, -1.5)
    sizes = []
    for steps in range(1, 7):
        found = conjugate_gradient(lambda vector: vector @ matrix, right, steps)
        sizes.append((right - found @ matrix).norm(dim=1))
    residuals = torch.stack([right.norm(dim=1), *sizes])
    assert (residuals.diff(dim=0) <= 1e-12).all()
    assert (residuals[-1] < 1e-9).all()


def test_conjugate_gradients_stop_when_they_are_done() -> None:
    asked = 0

    def product(vector: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        return 2.0 * vector

    _, right = spectrum(1.0, 2.0)
    found = conjugate_gradient(product, right, 50)
    torch.testing.assert_close(found, right / 2, rtol=1e-15, atol=0)
    assert asked <= 3
    assert torch.equal(conjugate_gradient(product, torch.zeros(2, 3), 5), torch.zeros(2, 3))


def test_the_neumann_series_needs_no_step_size() -> None:
    matrix, right = spectrum(400.0, 100.0, 50.0)
    start = torch.ones(2, 3, dtype=torch.float64)
    found = neumann(lambda vector: vector @ matrix, right, 400, start)
    torch.testing.assert_close(found @ matrix, right, rtol=1e-9, atol=1e-12)


def test_nystrom_of_a_low_rank_is_exact_on_what_it_sees_and_bounded_elsewhere() -> None:
    """Rank 2 of a matrix of rank 2: its span is solved exactly; the rest counts as curved like the weaker of the two."""
    matrix, right = spectrum(3.0, 1.0, 0.0, 0.0, 0.0)
    directions = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = nystrom(lambda vector: vector @ matrix, right, 0.1, directions)
    inverse = torch.linalg.inv(matrix + 0.1 * torch.eye(5, dtype=torch.float64))
    inside = torch.linalg.matrix_rank(matrix, hermitian=True)
    assert inside == 2
    projector = torch.linalg.pinv(matrix, rcond=1e-9) @ matrix
    seen = right @ projector
    torch.testing.assert_close(found @ projector, seen @ inverse, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found - found @ projector, (right - seen) / 1.1, rtol=1e-9, atol=1e-12)


def test_nystrom_leaves_out_directions_that_curve_downward() -> None:
    matrix, right = spectrum(3.0, 1.0, -2.0)
    directions = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    found = nystrom(lambda vector: vector @ matrix, right, 1e-3, directions)
    assert (found.norm(dim=1) <= right.norm(dim=1) / 1.0).all()
    assert (torch.linalg.vecdot(found, right) > 0).all()
