"""Matches a model's parameters with a plan's tensors, by name, through wrappers and a map of names."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from windtunnel.torch._names import NameMap
from windtunnel.torch._sharding import release
from windtunnel.types.plans import TensorRow, TransferPlan

COMPILED = "_orig_mod"
WRAPPERS = frozenset({COMPILED, "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts that torch's wrappers insert into the names of the parameters inside them."""


class PlanMismatch(ValueError):
    """The plan does not fit this model or this optimizer; the message lists the differences."""


@dataclass(frozen=True)
class MatchedModel:
    """A model whose parameters are known by the plan's names."""

    root: nn.Module
    """The model inside its wrappers."""
    parameters: dict[str, Tensor]
    """Name in the plan -> parameter."""
    own: dict[str, str]
    """Name in the plan -> name in ``root``."""
    shared: frozenset[str]
    """Names in the plan of parameters that several layers hold (tied weights)."""
    frozen: frozenset[str]
    """Names in the plan of tensors that this model has frozen (``requires_grad=False``)."""
    synchronised: bool
    """True if the model is inside DistributedDataParallel, which writes every parameter when it is made."""
    compiled: bool
    """True if the model is inside ``torch.compile(model)``, or ``compile()`` was called on it or a part of it."""

    @property
    def trained(self) -> dict[str, Tensor]:
        """Name in the plan -> parameter, of those that want a gradient."""
        return {name: parameter for name, parameter in self.parameters.items() if name not in self.frozen}

    def owner(self, name: str) -> nn.Module:
        """The layer that holds the tensor of this name in the plan."""
        return self.root.get_submodule(self.own[name].rpartition(".")[0])


def matched(model: nn.Module, plan: TransferPlan, names: Mapping[str, str] | None) -> MatchedModel:
    """The model with the parameter of every tensor of the plan.

    Raises:
        PlanMismatch: names, shapes or types differ, or the model has one tensor where the plan has two.
    """
    root, compiled, synchronised = _unwrapped(model)
    release(root)
    held = list(root.named_parameters(remove_duplicate=False))
    plain = {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name, _ in held}
    planned = {row.name: row for row in plan.tensors}
    try:
        mapped = NameMap(names or {}).rename(list(plain.values()), set(planned))
    except ValueError as error:
        raise PlanMismatch(str(error)) from error
    own: dict[str, str] = {}
    holders: dict[int, list[str]] = {}
    parameters: dict[str, Tensor] = {}
    for name, parameter in held:
        target = mapped[plain[name]]
        holders.setdefault(id(parameter), []).append(target)
        parameters[target], own[target] = parameter, name
    tied = [[name for name in targets if name in planned] for targets in holders.values() if len(targets) > 1]
    _refuse_tied([targets for targets in tied if len(targets) > 1])
    # A second name of a tensor that the plan knows is not a tensor of its own.
    known = {id(parameters[name]) for name in planned if name in parameters}
    further = {name for name in parameters if name not in planned and id(parameters[name]) in known}
    _check({name: part for name, part in parameters.items() if name not in further}, plan, planned)
    return MatchedModel(
        root=root,
        parameters={name: parameters[name] for name in planned},
        own=own,
        shared=frozenset(name for targets in tied for name in targets),
        frozen=frozenset(name for name in planned if not parameters[name].requires_grad),
        synchronised=synchronised,
        compiled=compiled or any(module._compiled_call_impl is not None for module in root.modules()),
    )


def _unwrapped(model: nn.Module) -> tuple[nn.Module, bool, bool]:
    """(model inside DistributedDataParallel, DataParallel and torch.compile, whether it was compiled, whether the first of
    them held it)."""
    compiled = synchronised = False
    while True:
        if isinstance(model, (DataParallel, DistributedDataParallel)):
            synchronised |= isinstance(model, DistributedDataParallel)
            model = model.module
        elif isinstance(inside := model._modules.get(COMPILED), nn.Module):
            model, compiled = inside, True
        else:
            return model, compiled, synchronised


def _refuse_tied(tied: list[list[str]]) -> None:
    if tied:
        raise PlanMismatch(
            f"the model ties {'; '.join(' and '.join(names) for names in tied)}: one tensor, where the plan has several, "
            "each with initial values and a learning rate of its own. Untie them (a parameter for each); a plan for tied "
            "weights needs a proxy with tied weights"
        )


def _check(parameters: Mapping[str, Tensor], plan: TransferPlan, planned: Mapping[str, TensorRow]) -> None:
    """Refuse a model that differs from the plan, with all differences in one message.

    Raises:
        PlanMismatch: names or shapes differ, a parameter is on the meta device, or Adam's eps is 0 in its type.
    """
    shapes = {name: tuple(row.shape) for name, row in planned.items()}
    shared = [name for name in shapes if name in parameters]
    differences = {
        "the model lacks": [f"{name} {list(shapes[name])}" for name in shapes if name not in parameters],
        "the plan does not know": [f"{name} {list(parameters[name].shape)}" for name in parameters if name not in shapes],
        "other shapes": [
            _other_shape(name, tuple(parameters[name].shape), shapes[name])
            for name in shared
            if tuple(parameters[name].shape) != shapes[name]
        ],
    }
    if any(differences.values()):
        found = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in differences.items() if names)
        outputs = f"{plan.classes} classes" if plan.classes > 1 else "1 output"
        raise PlanMismatch(
            f"the model does not fit the plan (width {plan.width}, depth {plan.depth}, {plan.features} features, "
            f"{outputs}). {found}. Build the model at the plan's size with these parameter names, or map them "
            "with names={...} (FullyShardedDataParallel flattens parameters: take fully_shard); or ask for a plan of the "
            "model's size"
        )
    for name, row in planned.items():
        if row.is_frozen and parameters[name].requires_grad:
            raise PlanMismatch(
                f"{name} was frozen in the proxies (requires_grad=False), so that the plan has no learning rate for it, "
                "and the model would train it; call requires_grad_(False) on it, or tune again with it trained"
            )
    if any(parameters[name].is_meta for name in planned):
        raise PlanMismatch("the model is on the meta device, which holds no values; call model.to_empty(device=...) first")
    for name, row in planned.items():
        if row.eps is not None and parameters[name].dtype == torch.float16 and torch.tensor(row.eps).half() == 0:
            raise PlanMismatch(
                f"{name} is float16, in which {plan.optimizer_info.title}'s eps of {row.eps:g} is 0, and a step divides by "
                "0; keep the parameters in float32 and compute under torch.autocast"
            )


def _other_shape(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    text = f"{name} is {list(given)} in the model, {list(wanted)} in the plan"
    if len(given) == 2 and given == wanted[::-1]:
        return (
            f"{text} (transposed, as in the Conv1D of transformers; a plan is for weights stored as [fan_out, fan_in]: "
            "take an nn.Linear)"
        )
    return text
