"""Keeps a module in float64 where its forward converts to float32, which changes nothing in the float32 of a job's runs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class StayDouble(TorchFunctionMode):
    """Mode under which float32, asked for by name, is float64; ``used`` tells whether it was.

    Norms and attention of many models compute in float32 whatever type they are given. In runs of float32 that is no
    conversion, and derivatives are checked in float64, where it would round.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function with float64 in place of float32."""
        given = kwargs or {}
        if func is Tensor.float:
            self.used = True
            return args[0].double(**given)
        if any(each is torch.float32 for each in (*args, *given.values())):
            self.used = True
            args = tuple(torch.float64 if each is torch.float32 else each for each in args)
            given = {name: torch.float64 if each is torch.float32 else each for name, each in given.items()}
        return func(*args, **given)
