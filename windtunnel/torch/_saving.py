"""Multipliers in a state dict: weights are saved with them multiplied in, and divided by them when they are loaded.

So a module without the plan loads the state dict and has the same outputs. A multiplier that is no factor of its weight
(see ``why_not_folded``) is saved beside the raw weight as a buffer, which a module without the plan refuses to load.
"""

import weakref
from typing import Any, Literal

import torch
from torch import Tensor, nn

from windtunnel.torch._effective import effective, holders, lost, place, raw, version, why_not_folded
from windtunnel.torch._multipliers import hooks_of
from windtunnel.torch._sharding import is_sharded, release

BUFFER = "windtunnel_multiplier"
"""Name of the buffer of a layer whose multiplier is no factor of its weight."""

RECORD = "_windtunnel_record"
"""Attribute of a layer with its ``Record``."""


class Record:
    """Knows how a layer got its weights, and takes part when its state is saved and loaded."""

    def __init__(self) -> None:
        self.weights: Literal["drawn", "loaded", "folded"] = "drawn"
        self.shared = False
        """Whether another layer has the same weight."""
        self.root: weakref.ref[nn.Module] | None = None
        """The model that the layer is a part of."""
        self._seen: tuple[int, int] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Record":
        twin = Record()
        twin.weights, twin.shared = self.weights, self.shared
        memo[id(self)] = twin
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {"weights": self.weights, "shared": self.shared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A layer that is read from a file has loaded weights, whatever it had when it was written."""
        self.__dict__.update(Record().__dict__ | state)
        if self.weights == "drawn":
            self.weights = "loaded"

    def before_save(self, module: nn.Module, prefix: str, keep_vars: bool) -> None:  # noqa: ARG002
        """Have the buffer where the multiplier cannot be multiplied in, and only there."""
        renew_buffer(module)

    def after_save(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:  # noqa: ARG002
        """Put the effective weight in the place of the raw one."""
        take_up_writes(module)  # not before: only now has ``fully_shard`` put sharded parameters back
        hooks, key = hooks_of(module), f"{prefix}weight"
        if not hooks or BUFFER in module._buffers or not isinstance(state.get(key), Tensor):
            return
        if hooks[0].handed.is_given(module._parameters.get("weight")):
            return  # within ``functional_call`` with a state dict
        # The parameter itself is there with keep_vars=True alone; gradients of the product are those of the parameter.
        attached = state[key] is module._parameters.get("weight")
        state[key] = (
            effective(state[key], hooks[0].factor) if attached else hooks[0].handed.give(state[key], hooks[0].factor)
        )

    def before_load(
        self,
        module: nn.Module,
        state: dict[str, Any],
        prefix: str,
        metadata: dict[str, Any],
        strict: bool,  # noqa: ARG002 - always true here, whatever load_state_dict was given
        *found: list[str],
    ) -> None:
        """Divide effective weights by the multiplier; refuse them where they cannot be. The last list takes complaints."""
        here, key = multiplier_of(module), f"{prefix}weight"
        value, saved = state.get(key), state.get(f"{prefix}{BUFFER}")
        root = None if self.root is None else self.root()
        if root is not None and is_sharded(value) and not is_sharded(module._parameters.get("weight")):
            release(root)
        for hook in hooks_of(module):
            if value is None:
                hook.handed.take_up(module, hook.factor)
            else:
                hook.handed.forget_writes()
        own = module._parameters.get("weight")
        reason = why_not_folded(module, self.shared) if here != 1 else None
        if reason is not None:
            if value is not None or saved is not None or own is None:
                found[-1].extend(_complaints(prefix, here, saved, reason))
            return
        if not isinstance(value, Tensor) or _is_freed(value):
            return  # torch refuses it
        module._buffers.pop(BUFFER, None)
        state.pop(f"{prefix}{BUFFER}", None)
        if saved is None:
            if here == 1 or self._is_untouched(value, own):
                return
        elif _same(saved, here):
            return
        else:
            value = effective(value, saved.item())
        if own is not None and not metadata.get("assign_to_params_buffers", False):
            value = value.to(own.dtype)
        state[key] = raw(value, here)

    def after_load(self, module: nn.Module, incompatible: object) -> None:  # noqa: ARG002
        """Remember that the weights were loaded."""
        self.weights = "loaded"
        self.see(module)

    def see(self, module: nn.Module) -> None:
        """Remember which raw weight the layer has now, so that a later write into it can be told."""
        weight = module._parameters.get("weight")
        # By its id: torch refuses to swap the values of a parameter that has a weak reference.
        self._seen = None if weight is None or weight.is_inference() else (id(weight), version(weight))

    def _is_untouched(self, value: Tensor, own: Tensor | None) -> bool:
        """True if the value to be loaded is the layer's own raw weight.

        ``torch.distributed.checkpoint`` puts it among the values: as it is, if the state dict lacks it; and if the weight
        is sharded, also after it has copied the value to be loaded into it.
        """
        if value is not own:
            return False
        if not is_sharded(own):
            return True
        return version(own) == (self._seen[1] if self._seen is not None and self._seen[0] == id(own) else 0)


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
        module._register_state_dict_hook(record.after_save)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_pre_hook(record.before_load)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_post_hook(record.after_load)  # type: ignore[no-untyped-call]
    return record


def watch_sharing(root: nn.Module) -> None:
    """Have the records of a model know which weights are shared, now and whenever it is saved or loaded."""
    note_sharing(root)
    if note_sharing not in root._state_dict_pre_hooks.values():
        root.register_state_dict_pre_hook(note_sharing)  # type: ignore[no-untyped-call]
        root.register_load_state_dict_pre_hook(note_sharing)  # type: ignore[no-untyped-call]


def note_sharing(root: nn.Module, *given: object) -> None:  # noqa: ARG001 - a hook of both, which torch gives more
    """Tell the records of a model which it is, and which of its weights are shared."""
    found = holders(root)
    for module in root.modules():
        record, weight = record_of(module), module._parameters.get("weight")
        if record is not None:
            record.root = weakref.ref(root)
            record.shared = weight is not None and len(found[place(weight)]) > 1


def multiplier_of(module: nn.Module) -> float:
    """Multiplier of a layer's weight; 1 if it has none."""
    hooks = hooks_of(module)
    return hooks[0].factor if hooks else 1.0


def take_up_writes(module: nn.Module) -> None:
    """Have a layer take up what was written into its effective weight of a state dict."""
    for hook in hooks_of(module):
        hook.handed.take_up(module, hook.factor)


def see_weights(model: nn.Module) -> None:
    """Have the records of a model's layers with multipliers remember their weights as they are now."""
    for module in model.modules():
        record = record_of(module)
        if record is not None and hooks_of(module):
            record.see(module)


def renew_buffer(module: nn.Module) -> None:
    """Give a layer the buffer of its multiplier if that is no factor of its weight, else take it away."""
    factor, weight, record = multiplier_of(module), module._parameters.get("weight"), record_of(module)
    if factor == 1 or _folds(module, weight, factor, record is not None and record.shared):
        module._buffers.pop(BUFFER, None)
        return
    # float32, which every device has; the hooks keep the whole number.
    held = module.weight
    assert isinstance(held, Tensor)
    module.register_buffer(BUFFER, torch.full((), factor, dtype=torch.float32, device=held.device))


@torch.no_grad()
def _folds(module: nn.Module, weight: Tensor | None, factor: float, shared: bool) -> bool:
    if weight is None or why_not_folded(module, shared) is not None:
        return False
    return weight.dtype != torch.float16 or not lost(weight, effective(weight, factor))


def _complaints(prefix: str, here: float, saved: object, reason: str) -> list[str]:
    """Why a state dict's weight cannot be that of a layer whose multiplier is no factor of its weight; [] if it can."""
    told = f"{prefix}weight has forward multiplier {here:g} here, which cannot be divided out of a saved weight: {reason}"
    if not isinstance(saved, Tensor):
        return [f"{told}. Load a state dict that was saved with this plan, which has {prefix}{BUFFER}"]
    if not _same(saved, here):
        return [f"{told}. It was saved with forward multiplier {saved.item():g}: apply the plan that it was trained with"]
    return []


def _is_freed(value: Tensor) -> bool:
    """True if ``fully_shard`` has freed the values of a whole parameter."""
    return type(value) is nn.Parameter and value.numel() > 0 and not value.is_meta and not value.untyped_storage().size()


def _same(given: Tensor, factor: float) -> bool:
    """True if a saved multiplier is the given one, to the digits of its type."""
    return given.is_meta or given.item() == torch.tensor(factor, dtype=given.dtype).item()
