"""Clipping: equal to torch's, with the norm inside the graph."""

import torch
from torch import nn

from hpo.optimizers.clipping import clip_by_global_norm


def test_a_clipped_gradient_equals_that_of_torch() -> None:
    gradient = torch.randn(3, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    threshold = torch.tensor([[0.5], [100.0], [2.0]], dtype=torch.float64)
    found = clip_by_global_norm(gradient, threshold)
    for member in range(3):
        parameter = nn.Parameter(torch.zeros(20, dtype=torch.float64))
        parameter.grad = gradient[member].clone()
        nn.utils.clip_grad_norm_([parameter], float(threshold[member]))
        torch.testing.assert_close(found[member], parameter.grad, rtol=1e-14, atol=0)


def test_the_derivative_goes_through_the_norm() -> None:
    gradient = torch.randn(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    threshold = torch.full((2, 1), 0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(clip_by_global_norm, (gradient, threshold))
    # With the norm held constant the derivative along the gradient would be the scale, not 0.
    clipped = clip_by_global_norm(gradient, threshold)
    (along,) = torch.autograd.grad(clipped, gradient, grad_outputs=gradient.detach())
    assert ((along * gradient).sum(1).abs() < 1e-5).all()


def test_a_zero_gradient_stays_zero_and_has_a_finite_derivative() -> None:
    gradient = torch.zeros(1, 4, requires_grad=True)
    clipped = clip_by_global_norm(gradient, torch.ones(1, 1))
    (slope,) = torch.autograd.grad(clipped.sum(), gradient)
    assert (clipped == 0).all() and slope.isfinite().all()
