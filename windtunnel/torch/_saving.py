"""Multipliers in a state dict: a layer with one saves it as a buffer, and refuses to load weights of another one.

A module without the plan has no such buffer, so that torch's ``load_state_dict`` refuses a state dict that has one.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from windtunnel.torch._multipliers import hooks_of

BUFFER = "windtunnel_multiplier"
"""Name of the buffer of a layer with its weight's forward multiplier."""

RECORD = "_windtunnel_record"
"""Attribute of a layer with its ``Record``."""


class Record:
    """Knows how a layer got its weights, and takes part when its state is saved and loaded."""

    def __init__(self) -> None:
        self.weights: Literal["drawn", "loaded", "folded"] = "drawn"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Record":
        twin = Record()
        twin.weights = self.weights
        memo[id(self)] = twin
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A layer that is read from a file has loaded weights, whatever it had when it was written."""
        self.__dict__.update(state)
        if self.weights == "drawn":
            self.weights = "loaded"

    def before_save(self, module: nn.Module, prefix: str, keep_vars: bool) -> None:  # noqa: ARG002
        """Renew the buffer, which a cast of the model to a shorter type may have rounded."""
        renew_buffer(module)

    def before_load(
        self,
        module: nn.Module,
        state: Mapping[str, Any],
        prefix: str,
        metadata: dict[str, Any],  # noqa: ARG002 - torch passes it
        strict: bool,  # noqa: ARG002 - always true here, whatever load_state_dict was given
        *found: list[str],
    ) -> None:
        """Refuse the weights of another multiplier: they would give other outputs here. The last list takes complaints."""
        errors = found[-1]
        here, given = multiplier_of(module), state.get(f"{prefix}{BUFFER}")
        if isinstance(given, Tensor) and here != 1 and not _same(given, here):
            errors.append(
                f"{prefix}weight was saved with forward multiplier {given.item():g}, and the plan of this model gives it "
                f"{here:g}: apply the plan that it was trained with, then load it"
            )

    def after_load(self, module: nn.Module, incompatible: object) -> None:  # noqa: ARG002
        """Remember that the weights were loaded."""
        self.weights = "loaded"


def record_of(module: nn.Module) -> Record | None:
    """Record of a layer; None if no plan was applied to it."""
    found: Record | None = module.__dict__.get(RECORD)
    return found


def keep_record(module: nn.Module) -> Record:
    """Record of a layer, made if there is none."""
    record = record_of(module)
    if record is None:
        record = Record()
        module.__dict__[RECORD] = record
        module.register_state_dict_pre_hook(record.before_save)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_pre_hook(record.before_load)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_post_hook(record.after_load)  # type: ignore[no-untyped-call]
    return record


def multiplier_of(module: nn.Module) -> float:
    """Multiplier of a layer's weight; 1 if it has none."""
    hooks = hooks_of(module)
    return hooks[0].factor if hooks else 1.0


def renew_buffer(module: nn.Module) -> None:
    """Give a layer the buffer of its multiplier, or take it away if it has none."""
    factor = multiplier_of(module)
    if factor == 1:
        module._buffers.pop(BUFFER, None)
        return
    # float32, which every device has; the hooks keep the whole number.
    weight = module.weight
    assert isinstance(weight, Tensor)
    module.register_buffer(BUFFER, torch.full((), factor, dtype=torch.float32, device=weight.device))


def _same(given: Tensor, factor: float) -> bool:
    """True if a saved multiplier is the given one, to the digits of its type."""
    return given.is_meta or given.item() == torch.tensor(factor, dtype=given.dtype).item()
