"""Signs that a module was trained before any plan was applied to it: values that no fresh module has.

Loading leaves no trace in a module, so that only the values can tell. Signs are few, and hardly a way to draw fresh weights
has one: a module without any sign may be trained all the same.
"""

import math

import torch
from torch import Tensor, nn

from windtunnel.torch._effective import version

BIASED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Layers whose bias torch draws between -1 / sqrt(fan_in) and that; those who draw weights of their own set it to 0."""


@torch.no_grad()
def sign_of_training(model: nn.Module) -> str | None:
    """What shows that a module was trained, with the name of the parameter; None if nothing does."""
    for name, module in model.named_modules():
        for key, parameter in module._parameters.items():
            # Without a write there is nothing to keep: ``to_empty`` leaves what the memory has happened to hold.
            if parameter is None or not parameter.is_floating_point() or parameter.numel() < 2 or not version(parameter):
                continue
            low, high = _ends(parameter)
            kind, told = type(module).__name__, f"{name}.{key}".lstrip(".")
            # By name, because norms of other libraries are no classes of torch; gain and bias start as constants.
            if "Norm" in kind and low != high:
                return f"{told} lies between {low:.3g} and {high:.3g}, where that of a fresh {kind} is constant"
            bound = _bound(module) if isinstance(module, BIASED) and key == "bias" and low != high else None
            if bound is not None and max(-low, high) > bound:
                return f"{told} reaches {max(-low, high):.3g}, where that of a fresh {kind} stays below {bound:.3g}"
    return None


def _ends(parameter: Tensor) -> tuple[float, float]:
    """Least and largest value, over all processes."""
    low, high = parameter.aminmax() if type(parameter) is nn.Parameter else (parameter.min(), parameter.max())
    whole = [end.full_tensor() if hasattr(end, "full_tensor") else end for end in (low, high)]
    return whole[0].item(), whole[1].item()


def _bound(module: nn.Module) -> float | None:
    """Bound of torch's own initial biases, with a rounding of bfloat16 to spare; None if the weight is computed."""
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() < 2 or not weight[0].numel():
        return None
    return 1.01 / math.sqrt(weight[0].numel())
