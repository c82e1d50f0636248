"""``fold``: plain weights with the outputs that a model has with its forward multipliers."""

import torch
from torch import Tensor, nn

from windtunnel.torch._matching import PlanMismatch
from windtunnel.torch._multipliers import is_scaled, scale
from windtunnel.torch._saving import keep_record, multiplier_of, renew_buffer
from windtunnel.torch._sharding import release


@torch.no_grad()
def fold(model: nn.Module) -> nn.Module:
    """The model itself, with each forward multiplier multiplied into its weight and taken away; outputs stay, to rounding.

    Its state dict then fits a module without the plan, at inference and in other programs. Training must not go on from
    it: the plan's learning rates, decays and eps are for the weights before. So all parameters are frozen
    (``requires_grad`` is False), and a step of ``windtunnel.torch.optimizer`` is refused. Save a checkpoint for training
    before, or fold a copy: ``fold(copy.deepcopy(model))``.

    Raises:
        PlanMismatch: a weight with a multiplier is shared with another layer, which would change, too; or it is that of
            an embedding with ``max_norm``, of a layer with other parameters than weight and bias, or parametrised; or it is
            float16 and would be lost. The model is not changed.
    """
    release(model)
    scaled = {name: module for name, module in model.named_modules() if is_scaled(module)}
    held: dict[object, set[int]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                held.setdefault(_place(parameter), set()).add(id(module))
    values = {name: _folded(name, module, held) for name, module in scaled.items()}
    for name, module in scaled.items():
        module.weight.copy_(values[name])
        scale(module, 1)
        renew_buffer(module)
        keep_record(module).weights = "folded"
    if scaled:
        model.requires_grad_(False)
        forget_compiled_code(model)
    return model


def forget_compiled_code(model: nn.Module) -> None:
    """Have torch compile again if parts of the model are compiled: its code does not look whether hooks have changed."""
    if any(module._compiled_call_impl is not None or "_orig_mod" in module._modules for module in model.modules()):
        torch._dynamo.reset()


def _place(parameter: Tensor) -> object:
    """Key of a parameter, equal for two that share their values."""
    plain = type(parameter) is nn.Parameter and not parameter.is_meta and parameter.numel() > 0
    return parameter.untyped_storage().data_ptr() if plain else id(parameter)


def _folded(name: str, module: nn.Module, held: dict[object, set[int]]) -> Tensor:
    """The weight times its multiplier.

    Raises:
        PlanMismatch: the weight cannot be folded.
    """
    factor, weight = multiplier_of(module), module._parameters.get("weight")
    told = f"{name}.weight has forward multiplier {factor:g} and cannot be folded"
    if weight is None:
        raise PlanMismatch(f"{told}: it is computed from other parameters; remove the parametrisation first")
    others = sorted({key for key, _ in module.named_parameters()} - {"weight", "bias"})
    if others:
        raise PlanMismatch(
            f"{told}: the multiplier acts on {', '.join(others)} of the layer, too; merge them into it first"
        )
    if len(held[_place(weight)]) > 1:
        raise PlanMismatch(
            f"{told}: another layer shares the weight and would change, too; give it a copy of its own first"
        )
    if getattr(module, "max_norm", None) is not None:
        raise PlanMismatch(f"{told}: the embedding has max_norm, which bounds the weight before the multiplier")
    folded: Tensor = weight * factor
    if weight.dtype == torch.float16 and (((folded == 0) & (weight != 0)).any() or not folded.isfinite().all()):
        raise PlanMismatch(f"{told}: float16 cannot hold the product; convert the model to float32 first")
    return folded
