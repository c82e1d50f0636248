"""Parameters by name, as the rows of a rule table want them: initial values and forward multipliers.

Rows and tensors stay two plain dictionaries beside the model, so that they survive deepcopy, casts, ``functional_call`` and
``vmap``. For a module of one's own see ``windtunnel.torch``.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from windtunnel.types.plans import TensorRow


def initialise(
    rows: Sequence[TensorRow], generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Initial value of each tensor, by name.

    Values are drawn row by row on the CPU in float32, and for normally distributed rows only: the same generator gives the
    same parameters here, in ``windtunnel.torch.apply`` and in an exported file.
    """
    return {
        row.name: (torch.randn(row.shape, generator=generator) * row.init_std).to(dtype)
        if row.init == "normal"
        else torch.full(row.shape, row.init_value, dtype=dtype)
        for row in rows
    }


def effective(parameters: Mapping[str, Tensor], rows: Sequence[TensorRow]) -> dict[str, Tensor]:
    """What the forward pass uses: multiplier * tensor; a tensor with multiplier 1 is passed through as it is."""
    return {
        row.name: parameters[row.name] if row.multiplier == 1 else parameters[row.name] * row.multiplier for row in rows
    }
