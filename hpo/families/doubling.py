"""Computes a module in float64 throughout, where its code asks for float32 inside.

Models often compute norms, softmax or angles in float32, whatever their weights are in. In float32 that changes nothing;
in float64 it would round what a derivative is compared with.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Doubling(TorchFunctionMode):
    """Reads float32 as float64 in every call of torch inside: conversions and new tensors alike."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.float:
            func = Tensor.double
        return func(*map(_doubled, args), **{name: _doubled(value) for name, value in (kwargs or {}).items()})


def _doubled(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
