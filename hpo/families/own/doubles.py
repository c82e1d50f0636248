"""Keeps a module in float64 where its forward converts to float32, which changes nothing in the float32 of a job's runs."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


class StayDouble(TorchFunctionMode):
    """Mode under which float32, asked for by name, is float64; ``used`` tells whether it was.

    Norms and attention of many models compute in float32 whatever type they are given. In runs of float32 that is no
    conversion, and derivatives are checked in float64, where it would round. New tensors without a type are float64, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used = False
        self._before = torch.get_default_dtype()

    def __enter__(self) -> Self:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        torch.set_default_dtype(self._before)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

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
        found = func(*args, **given)
        self.used |= not _has_tensor(args, given) and isinstance(found, Tensor) and found.dtype == torch.float64
        return found


def _has_tensor(args: tuple[Any, ...], given: dict[str, Any]) -> bool:
    """Whether a call is given a tensor, so that its result has that tensor's type and not the default one."""
    return any(isinstance(each, Tensor) for each in tree_leaves((args, given)))
