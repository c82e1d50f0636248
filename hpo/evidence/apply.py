"""Applies the rows of a rule table to parameters by name: initial values and forward multipliers.

Rows and tensors are plain dictionaries outside the model, so that they survive deepcopy, casts, ``functional_call`` and
``vmap``. ``windtunnel.torch`` applies a plan to a user's own module.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from windtunnel.types.plans import TensorRow


def initialise(
    rows: Sequence[TensorRow], generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Initial value of each tensor, by name.

    Values are drawn row by row on the CPU in float32, only for normally distributed rows: one generator gives the same
    parameters here, in ``windtunnel.torch.apply`` and in an exported file.
    """
    found = {
        row.name: (torch.randn(row.shape, generator=generator) * row.init_std).to(dtype)
        if row.init == "normal"
        else torch.full(row.shape, row.init_value, dtype=dtype)
        for row in rows
    }
    for row in rows:
        if row.padding is not None:
            found[row.name][row.padding] = 0
    return found


def effective(parameters: Mapping[str, Tensor], rows: Sequence[TensorRow]) -> dict[str, Tensor]:
    """Tensors that the forward pass uses: multiplier * tensor; a tensor with multiplier 1 is returned unchanged."""
    return {
        row.name: parameters[row.name] if row.multiplier == 1 else parameters[row.name] * row.multiplier for row in rows
    }
