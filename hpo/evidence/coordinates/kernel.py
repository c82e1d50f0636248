"""How far a run left its own linearisation: the change of the tangent kernel, and the error of the linearised model.

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
    """K_ij = sum over tensors t of rate_t <d f(x_i) / d W_t, d f(x_j) / d W_t>, f the outputs along one direction.

    The rates make it the kernel along which gradient descent with one rate a tensor moves the outputs: that of the same
    model with every tensor reparametrised by the root of its rate. A random direction gives the sum over outputs in the
    mean.

    Args:
        function: the model; its outputs for one example are read at the last position where there are several.
        parameters: where the derivatives are taken.
        inputs: [n, ...].
        projection: [outputs].
        rates: one a tensor.

    Returns:
        [n, n]. Memory: n gradients.
    """

    def along(weights: Sequence[Tensor], example: Tensor) -> Tensor:
        outputs = function(weights, example[None])
        return outputs.flatten(0, -2)[-1] @ projection

    gradients = vmap(grad(along), in_dims=(None, 0))(list(parameters), inputs)
    found = torch.zeros(len(inputs), len(inputs), dtype=torch.float64)
    for rate, gradient in zip(rates, gradients, strict=True):
        rows = gradient.reshape(len(gradient), -1)
        found += rate * (rows @ rows.T).double()
    return found


def relative_change(before: Tensor, after: Tensor) -> float:
    """|after - before| / |before|, Frobenius norms; 0 where nothing moved."""
    moved = torch.linalg.vector_norm(after - before).item()
    return moved / torch.linalg.vector_norm(before).item() if moved else 0.0


def linearisation_error(function: Function, start: Sequence[Tensor], end: Sequence[Tensor], inputs: Tensor) -> float:
    """|f(end) - f(start) - <grad f(start), end - start>| / |f(end) - f(start)| over all outputs of a batch.

    0: the run is that of a linear model. 1: the linearisation says nothing about it. Above 1: it says the wrong thing.
    """
    direction = tuple(after - before for before, after in zip(start, end, strict=True))

    def outputs(*weights: Tensor) -> Tensor:
        return function(weights, inputs)

    with torch.no_grad():
        before, along = jvp(outputs, tuple(start), direction)[:2]
        moved = function(end, inputs) - before
    return relative_change(moved, along) if moved.any() else 0.0
