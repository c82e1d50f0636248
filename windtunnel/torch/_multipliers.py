"""Forward multipliers as hooks of a layer: they scale the contribution of its weight and leave its bias unchanged."""

from typing import Any

import torch
from torch import Tensor, nn

from windtunnel.torch._effective import LAYERS, Handed


class ScaleInput:
    """Forward pre-hook that scales the input of a linear or convolution layer.

    With a factor c the layer computes (c W) x + b, and W's gradient is multiplied by c. That is exact for any update rule
    and clip threshold, and the stored weight keeps the plan's value.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.used = False
        self.handed = Handed()

    def __call__(
        self,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The layer's arguments with its one input scaled, whether positional or by name."""
        self.used = True
        _take_up(self, module)
        return tuple(value * self.factor for value in args), {key: value * self.factor for key, value in kwargs.items()}


class ScaleOutput:
    """Forward hook that scales the output of an embedding, whose inputs are indices."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.used = False
        self.handed = Handed()

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: ARG002 - torch passes them
        """Take up what was written into a state dict, before the weight is read."""
        _take_up(self, module)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:  # noqa: ARG002
        """The output, scaled."""
        self.used = True
        return output * self.factor


def _take_up(hook: ScaleInput | ScaleOutput, module: nn.Module) -> None:
    """Take up what was written into the layer's state dict; compiled code leaves that to the next step or state dict."""
    if not torch.compiler.is_compiling():
        hook.handed.take_up(module, hook.factor)


def can_be_scaled(module: nn.Module) -> bool:
    """True if a multiplier can act on the layer: linear, convolution (by its input) or embedding (by its output)."""
    return isinstance(module, LAYERS)


def hooks_of(module: nn.Module) -> list[ScaleInput | ScaleOutput]:
    """Multiplier hooks of a layer; empty if it has none."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return [hook for hook in hooks if isinstance(hook, (ScaleInput, ScaleOutput))]


def is_scaled(module: nn.Module) -> bool:
    """True if a layer has a multiplier."""
    return bool(hooks_of(module))


def scale(module: nn.Module, factor: float) -> None:
    """Set the multiplier of a layer, in place of any that it has; 1 removes it."""
    # The hooks are found on the module, not in a table here, so that a copy of a model is not scaled twice.
    for key in [key for key, hook in module._forward_pre_hooks.items() if isinstance(hook, ScaleInput)]:
        del module._forward_pre_hooks[key]
        module._forward_pre_hooks_with_kwargs.pop(key, None)
    for key in [key for key, hook in module._forward_hooks.items() if isinstance(hook, ScaleOutput)]:
        del module._forward_hooks[key]
    for key in [key for key, hook in module._forward_pre_hooks.items() if isinstance(_bound_to(hook), ScaleOutput)]:
        del module._forward_pre_hooks[key]
    if factor == 1:
        return
    if isinstance(module, nn.Embedding):
        scaling = ScaleOutput(factor)
        module.register_forward_pre_hook(scaling.before)
        module.register_forward_hook(scaling)
    else:
        module.register_forward_pre_hook(ScaleInput(factor), with_kwargs=True)


def _bound_to(hook: object) -> object:
    """The object whose method a hook is; None for other hooks."""
    return getattr(hook, "__self__", None)
