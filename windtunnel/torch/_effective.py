"""Effective weights: a layer's weight times its forward multiplier, as a state dict has them, and the way back."""

import math
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from windtunnel.torch._matching import PlanMismatch
from windtunnel.torch._sharding import is_sharded

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, *CONVOLUTIONS, nn.Embedding)
"""Layers whose output, without the bias, is linear in their weight."""


def is_in_by_out(layer: nn.Module) -> bool:
    """True for a ``Conv1D`` of the package transformers: a linear layer whose weight is stored as [fan_in, fan_out]."""
    return any(map(_is_conv1d, type(layer).__mro__))


def _is_conv1d(kind: type) -> bool:
    return (kind.__module__, kind.__name__) == ("transformers.pytorch_utils", "Conv1D")


def effective(weight: Tensor, factor: float) -> Tensor:
    """The weight times its multiplier, in its own type."""
    product: Tensor = weight * factor
    return product


@torch.no_grad()
def raw(value: Tensor, factor: float) -> Tensor:
    """The weight that times ``factor`` is ``value``, bit for bit where the type has such a weight, else to its rounding.

    Several weights may have the same product; then the one nearest to ``value / factor``. So weight -> product -> weight
    changes nothing if the factor is a power of two, and else the last bit at most.
    """
    if is_sharded(value):
        from torch.distributed.tensor import DTensor

        assert isinstance(value, DTensor)
        part = raw(value.to_local(), factor)
        return DTensor.from_local(
            part, value.device_mesh, value.placements, run_check=False, shape=value.shape, stride=value.stride()
        )
    found = value / factor
    if abs(math.frexp(factor)[0]) == 0.5 or not found.is_floating_point():
        return found  # by a power of two nothing is rounded
    # A device may divide by multiplying with the reciprocal, which is one bit off: so two neighbours on either side.
    below = above = found
    for _ in range(2):
        below, above = (
            torch.nextafter(at, torch.full_like(at, end)) for at, end in ((below, -torch.inf), (above, torch.inf))
        )
        for other in (below, above):
            found = torch.where((found * factor != value) & (other * factor == value), other, found)
    return found


def why_not_folded(module: nn.Module, shared: bool) -> str | None:
    """Why a layer's multiplier is no factor of its weight for a layer without one; None if it is.

    Args:
        module: a layer with a multiplier.
        shared: whether another layer has the same weight.
    """
    others = sorted({key for key, _ in module.named_parameters()} - {"weight", "bias"})
    if module._parameters.get("weight") is None:
        return "it is computed from other parameters; remove the parametrisation first"
    if others:
        return f"the multiplier acts on {', '.join(others)} of the layer, too; merge them into it first"
    if shared:
        return "another layer shares the weight and would change, too; give it a copy of its own first"
    if getattr(module, "max_norm", None) is not None:
        return "the embedding has max_norm, which bounds the weight before the multiplier"
    if not _computes_as_torch_does(module):
        return f"{type(module).__name__} has a forward of its own, whose output may not be linear in the weight"
    return None


def lost(weight: Tensor, product: Tensor) -> bool:
    """True if the weight is float16 and its product with the multiplier is 0 or infinite where the weight is not."""
    if weight.dtype != torch.float16:
        return False
    return bool(((product == 0) & (weight != 0)).any() or (weight.isfinite() & ~product.isfinite()).any())


def holders(model: nn.Module) -> dict[object, set[int]]:
    """Place of each parameter -> ids of the modules that hold it."""
    found: dict[object, set[int]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                found.setdefault(place(parameter), set()).add(id(module))
    return found


def place(parameter: Tensor) -> object:
    """Key of a parameter, equal for two that share their values."""
    plain = type(parameter) is nn.Parameter and not parameter.is_meta and parameter.numel() > 0
    return parameter.untyped_storage().data_ptr() if plain else id(parameter)


def version(tensor: Tensor) -> int:
    """Number of writes into a tensor, and, if it is sharded, into the part of it on this process."""
    if not is_sharded(tensor):
        return tensor._version
    with torch.no_grad():
        part: Tensor = tensor.to_local()  # type: ignore[attr-defined]
    return tensor._version + part._version  # a write into the whole does not count for its part


class Handed:
    """The effective weight that a layer's last state dict has: what is written into it is taken up by the layer.

    Torch's own state dicts are views of the parameters, and averages of weights, ``torch.distributed.checkpoint`` and
    others write into them.
    """

    def __init__(self) -> None:
        self._kept: Tensor | None = None
        self._watched: weakref.ref[Tensor] | None = None
        self._version = 0

    def __reduce__(self) -> tuple[type["Handed"], tuple[()]]:
        """A copy has handed nothing out."""
        return Handed, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Handed":
        return Handed()

    def give(self, weight: Tensor, factor: float) -> Tensor:
        """The effective weight, for a state dict: as in torch, the same tensor as long as a program has it."""
        with torch.inference_mode(False), torch.no_grad():
            product, held = effective(weight.detach(), factor), self._alive()
            if held is not None and _alike(held, product):
                held.copy_(product)
                product = held
        if not product.is_inference():
            # Kept until the next look: a program may write into a state dict that it does not keep.
            self._kept, self._watched, self._version = product, weakref.ref(product), version(product)
        return product

    def _alive(self) -> Tensor | None:
        return None if self._watched is None else self._watched()

    def is_given(self, weight: Tensor | None) -> bool:
        """True if a layer's weight is the effective one now, as in ``functional_call`` with a state dict."""
        return weight is not None and self._alive() is weight

    def forget_writes(self) -> None:
        """Ignore what was written until now: the layer's weight is set to something else."""
        product = self._alive()
        self._kept, self._version = None, 0 if product is None else version(product)

    def take_up(self, module: nn.Module, factor: float) -> None:
        """Set the layer's weight to what was written into the effective one, if anything was.

        Raises:
            PlanMismatch: the layer's weight is not sharded now, as it was when the state dict was made.
        """
        product = self._alive()
        self._kept, weight = None, module._parameters.get("weight")
        if product is None or weight is product or (now := version(product)) == self._version:
            return
        if weight is None or weight.shape != product.shape or is_sharded(weight) != is_sharded(product):
            self._kept = product  # until it fits again
            raise PlanMismatch(
                f"a state dict's weight of this {type(module).__name__} was written into, and the layer has forward "
                f"multiplier {factor:g}: call load_state_dict with it, for the weight is another tensor now"
            )
        self._version = now
        with torch.no_grad():
            weight.copy_(raw(product.to(weight.dtype), factor))


def _alike(first: Tensor, second: Tensor) -> bool:
    """True if two tensors are of one shape, type and place."""
    facts = ("shape", "dtype", "device", "placements", "device_mesh")
    return all(getattr(first, fact, None) == getattr(second, fact, None) for fact in facts)


def _computes_as_torch_does(module: nn.Module) -> bool:
    """True if a layer's forward is that of one of ``LAYERS``."""
    if "forward" in module.__dict__:
        return False
    kind = type(module)
    for name in ("forward", "_conv_forward"):
        owner = next((base for base in kind.__mro__ if name in base.__dict__), None)
        if owner is not None and owner not in LAYERS and not _is_conv1d(owner):
            return False
    return True
