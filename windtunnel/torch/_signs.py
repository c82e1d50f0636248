"""Signs that a module was trained before any plan was applied to it: values that no fresh module has.

Loading leaves no trace in a module, so that only the values can tell. Signs are few, and hardly a way to draw fresh weights
has one: a module without any sign may be trained all the same. Sharded parameters are not looked at: processes that see
other values would go different ways.
"""

import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from windtunnel.torch._sharding import is_sharded

BIASED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Layers whose bias torch draws between -1 / sqrt(fan_in) and that; those who draw weights of their own set it to 0."""


@torch.no_grad()
def sign_of_training(model: nn.Module) -> str | None:
    """A text that says what shows that a module was trained; None if nothing does."""
    for name, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is None or not parameter.is_floating_point() or parameter.numel() < 2 or is_sharded(parameter):
                continue
            if parameter.is_inference() or parameter._version == 0:
                continue  # never written: ``to_empty`` leaves what the memory has happened to hold
            low, high = (end.item() for end in parameter.aminmax())
            kind, told = type(module).__name__, f"{name}.{key}".lstrip(".")
            if _is_norm(module) and low != high:
                return f"{told} lies between {low:.3g} and {high:.3g}, where that of a fresh {kind} is constant"
            bound = _bound(module) if isinstance(module, BIASED) and key == "bias" and low != high else None
            if bound is not None and max(-low, high) > bound:
                return f"{told} reaches {max(-low, high):.3g}, where that of a fresh {kind} stays below {bound:.3g}"
    return None


@torch.no_grad()
def rewritten(model: nn.Module) -> str | None:
    """Name of a bias that shows that every layer of torch's own was written again after torch drew it; None if none does.

    Loading and training write so. A module that resets all of its layers once more does, too: values do not tell. One that
    draws weights of its own leaves norms alone, or sets biases to a constant.
    """
    found: str | None = None
    for name, module in model.named_modules():
        if not (isinstance(module, (*BIASED, nn.Embedding)) or _is_norm(module)):
            continue
        for key, parameter in module._parameters.items():
            if parameter is None or is_sharded(parameter) or parameter.is_inference():
                continue
            if parameter._version < 2:
                return None
            if isinstance(module, BIASED) and key == "bias" and parameter.unique().numel() > 1:
                found = found or f"{name}.{key}".lstrip(".")
    return found


def _is_norm(module: nn.Module) -> bool:
    """True for a norm, whose gain and bias start as constants; those of other libraries are known by name and shape."""
    if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase)):
        return True
    held = [parameter for parameter in module._parameters.values() if parameter is not None]
    return "Norm" in type(module).__name__ and all(parameter.dim() == 1 for parameter in held)


def _bound(module: nn.Module) -> float | None:
    """Bound of torch's own initial biases, with a rounding of bfloat16 to spare; None if the weight is computed."""
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() < 2 or not weight[0].numel():
        return None
    return 1.01 / math.sqrt(weight[0].numel())
