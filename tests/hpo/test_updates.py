"""Update rules: equal to torch.optim step by step, decay kinds, differentiability at the first step."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.optimizers.registry import rule
from windtunnel.types import TensorFacts

SIZE, STEPS = 12, 7
LAYOUT = Layout([TensorFacts(name="weight", shape=[SIZE], role="vector")])


def gradients() -> Tensor:
    found = torch.randn(STEPS, 1, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found[:, :, 0] = 0.0
    found[:2, :, 1] = 0.0
    return found


def one(value: float) -> Tensor:
    return torch.full((1, 1), value, dtype=torch.float64)


def run(name: str, **terms: float) -> Tensor:
    optimizer = rule(name)
    tables = {key: one(value) for key, value in terms.items()}
    state = optimizer.init(torch.linspace(-1, 1, SIZE, dtype=torch.float64)[None])
    for step, gradient in enumerate(gradients()):
        state = optimizer.update(state, gradient, tables, LAYOUT, step)
    return state[0][0]


def run_torch(make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Tensor:
    parameter = torch.linspace(-1, 1, SIZE, dtype=torch.float64).requires_grad_()
    optimizer = make([parameter])
    for gradient in gradients():
        parameter.grad = gradient[0].clone()
        optimizer.step()
    return parameter.detach()


ADAM = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-6}


@pytest.mark.parametrize(
    ("found", "peer"),
    [
        (
            lambda: run("sgd", learning_rate=0.1, momentum=0.9, coupled_decay=0.3),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.3),
        ),
        (lambda: run("sgd", learning_rate=0.1, momentum=0.0), lambda p: torch.optim.SGD(p, lr=0.1)),
        (
            lambda: run("adam", learning_rate=0.1, coupled_decay=0.3, **ADAM),
            lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3),
        ),
        (
            lambda: run("adamw", learning_rate=0.1, shrink=0.1 * 0.3, **ADAM),
            lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3),
        ),
    ],
    ids=["sgd", "plain sgd", "adam", "adamw"],
)
def test_a_rule_equals_the_optimizer_of_torch(
    found: Callable[[], Tensor], peer: Callable[..., torch.optim.Optimizer]
) -> None:
    torch.testing.assert_close(found(), run_torch(peer), rtol=1e-13, atol=1e-15)


def test_l2_equals_decoupled_decay_under_plain_sgd() -> None:
    l2 = run("sgd", learning_rate=0.1, momentum=0.0, coupled_decay=0.3)
    decoupled = run("sgd", learning_rate=0.1, momentum=0.0, shrink=0.1 * 0.3)
    torch.testing.assert_close(l2, decoupled, rtol=1e-13, atol=1e-15)


def test_l2_differs_from_decoupled_decay_under_momentum_and_adam() -> None:
    assert not torch.allclose(
        run("sgd", learning_rate=0.1, momentum=0.9, coupled_decay=0.3),
        run("sgd", learning_rate=0.1, momentum=0.9, shrink=0.03),
    )
    assert not torch.allclose(
        run("adam", learning_rate=0.1, coupled_decay=0.3, **ADAM), run("adam", learning_rate=0.1, shrink=0.03, **ADAM)
    )


def test_adam_has_a_finite_second_derivative_where_a_gradient_is_zero() -> None:
    optimizer = rule("adam")
    gradient = torch.tensor([[0.0, 0.3]], dtype=torch.float64, requires_grad=True)
    tables = {"learning_rate": one(0.1), "beta1": one(0.9), "beta2": one(0.999), "eps": one(1e-8)}
    layout = Layout([TensorFacts(name="weight", shape=[2], role="vector")])
    moved = optimizer.update(optimizer.init(torch.ones(1, 2, dtype=torch.float64)), gradient, tables, layout, 0)[0]
    (first,) = torch.autograd.grad(moved.sum(), gradient, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), gradient)
    assert first.isfinite().all() and second.isfinite().all()
    # At g = 0 the first step of Adam is g / (|g| + eps): its slope there is -lr / eps.
    assert float(first.detach()[0, 0]) == pytest.approx(-0.1 / 1e-8)
