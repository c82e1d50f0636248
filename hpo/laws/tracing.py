"""Counts operations and kept bytes of one pass through any module, on the meta device if the module allows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from hpo.families.own.modules import without_values


@dataclass(frozen=True)
class Trace:
    """Operations, kept bytes and tokens of one example."""

    flops: int
    """Floating-point operations of the forward pass."""
    kept_bytes: int
    """Bytes of activations that the backward pass needs."""
    tokens: int
    """Tokens of the example: its length if it is token ids, else 1."""


def trace(build: Callable[[int], nn.Module], width: int, example: Tensor) -> Trace:
    """Counts of one example's pass through the module of a width.

    Args:
        build: width -> module.
        width: width of the module.
        example: one example, [1, ...]; token ids [1, context] have an integer type.
    """
    module = without_values(build, width)
    device = next(iter(module.parameters())).device
    weights = {id(value.untyped_storage()) for value in module.parameters()}
    kept: dict[int, tuple[Any, int]] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if id(storage) not in weights and not isinstance(value, nn.Parameter):
            # Held, so that no second storage takes its place in memory.
            kept[storage._cdata] = (storage, storage.nbytes())
        # An operation that saves its own output would hold itself through it, and nothing would free the pass.
        return value.detach()

    is_text = not example.is_floating_point()
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda value: value):
        held = module(example.to(device))
    own = {value.untyped_storage()._cdata for value in module.parameters()}
    del held
    size = sum(nbytes for key, (_, nbytes) in kept.items() if key not in own)
    return Trace(int(counter.get_total_flops()), size, int(torch.tensor(example.shape[1:]).prod()) if is_text else 1)
