"""Measures how far a run left its linearisation: change of the tangent kernel, and error of the linearised model.

Both tell feature learning (order one at every width) from the lazy regime (vanishing as the width grows; Jacot et al. 2018,
Chizat et al. 2019). Functions here take a model as ``function(parameters, inputs) -> outputs``, parameters being a list of
tensors, and use nothing but its first derivatives.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

Function = Callable[[Sequence[Tensor], Tensor], Tensor]


def tangent_kernel(
    function: Function, parameters: Sequence[Tensor], inputs: Tensor, projection: Tensor, rates: Sequence[float]
) -> Tensor:
    """Tangent kernel K_ij = sum_t rate_t <d f(x_i) / d W_t, d f(x_j) / d W_t> over tensors t, f along one direction.

    With the rates it is the kernel along which gradient descent with one rate per tensor moves the outputs: that of the
    model with every tensor reparametrised by the root of its rate. The mean over random directions is the sum over outputs.

    Args:
        function: the model; of several positions of an example, the outputs of the last are used.
        parameters: point at which the derivatives are taken.
        inputs: examples, [n, ...].
        projection: direction, [outputs].
        rates: rate of each tensor.

    Returns:
        [n, n]. Memory: n gradients.
    """

    def along(weights: Sequence[Tensor], example: Tensor) -> Tensor:
        outputs = function(weights, example[None])
        return outputs.flatten(0, -2)[-1] @ projection

    gradients = vmap(grad(along), in_dims=(None, 0))(list(parameters), inputs)
    found = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)
    for rate, gradient in zip(rates, gradients, strict=True):
        rows = gradient.reshape(len(gradient), -1)
        found += rate * (rows @ rows.T).double()
    return found


def relative_change(before: Tensor, after: Tensor) -> float:
    """Relative change |after - before| / |before| in Frobenius norms; 0 if nothing changed."""
    moved = torch.linalg.vector_norm(after - before).item()
    return moved / torch.linalg.vector_norm(before).item() if moved else 0.0


def linearisation_error(function: Function, start: Sequence[Tensor], end: Sequence[Tensor], inputs: Tensor) -> float:
    """Relative error |f(end) - f(start) - <grad f(start), end - start>| / |f(end) - f(start)| over a batch's outputs.

    0: the run is that of a linear model. 1: the linearisation predicts nothing. Above 1: it predicts wrongly.
    """
    direction = tuple(after - before for before, after in zip(start, end, strict=True))

    def outputs(*weights: Tensor) -> Tensor:
        return function(weights, inputs)

    with torch.no_grad():
        before, along = jvp(outputs, tuple(start), direction)[:2]
        moved = function(end, inputs) - before
    return relative_change(moved, along) if moved.any() else 0.0
