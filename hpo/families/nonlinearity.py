"""The nonlinearities a family may have, and its normalisation without trainable gains."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "silu": functional.silu,
}


def normalised(hidden: Tensor, dimensions: int) -> Tensor:
    """Mean 0 and variance 1 over the last ``dimensions`` axes of each example (Ba et al. 2016), without gain or bias.

    Examples stay independent of each other, unlike under batch normalisation, and trainable gains can break the transfer
    over widths.
    """
    return functional.layer_norm(hidden, hidden.shape[-dimensions:])


def root_mean_square_normalised(hidden: Tensor, epsilon: float) -> Tensor:
    """Mean square 1 over the last axis (Zhang & Sennrich 2019, RMSNorm), without gain.

    Args:
        hidden: any shape.
        epsilon: number added to the mean square.
    """
    return hidden * (hidden.square().mean(-1, keepdim=True) + epsilon).rsqrt()
