"""Counts what a forward pass of a module of one's own takes: memory for its backward pass, and operations."""

from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from hpo.families.own.user_module import UserModule


def pass_cost(module: UserModule, inputs: Tensor) -> tuple[int, int]:
    """(floats kept for the backward pass, multiply-adds) of a forward pass.

    Args:
        module: the module, on any device; nothing is computed on the meta device.
        inputs: one example as a batch, on the same device.
    """
    weights = {value.untyped_storage()._cdata for value in module.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes() // 4
        # An operation that saves its own output would hold itself through it, and nothing would free the pass.
        return value.detach()

    def give(value: Any) -> Any:
        return value

    held: list[Tensor] = []
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, give):
        held.append(module(inputs))
    return max(1, sum(kept.values())), max(1, int(counter.get_total_flops()) // 2)
