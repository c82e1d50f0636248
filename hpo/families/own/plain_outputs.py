"""Makes a module that answers with a record, as models of Hugging Face do, answer with its logits alone."""

import inspect
from typing import Any

from torch import nn


def with_plain_outputs(module: nn.Module) -> nn.Module:
    """Make the calls of a module give the field ``logits`` of what forward gives, if that has one; returns the module.

    A module with a setting ``use_cache`` is called without: what it keeps for generating text is no part of training.
    Nothing of the module changes but its hooks: names of parameters stay as they are.
    """
    if any(getattr(hook, "__func__", hook) is _logits for hook in module._forward_hooks.values()):
        return module
    if "use_cache" in inspect.signature(module.forward).parameters:
        module.register_forward_pre_hook(_without_cache, with_kwargs=True)
    module.register_forward_hook(_logits)
    return module


def _without_cache(_module: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {"use_cache": False, **given}


def _logits(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    return getattr(output, "logits", output)
