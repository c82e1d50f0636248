"""``fold``: plain weights with the outputs that a model has with its forward multipliers."""

import torch
from torch import Tensor, nn

from windtunnel.torch._effective import effective, holders, lost, place, why_not_folded
from windtunnel.torch._matching import PlanMismatch
from windtunnel.torch._multipliers import is_scaled, scale
from windtunnel.torch._saving import keep_record, multiplier_of, renew_buffer, take_up_writes
from windtunnel.torch._sharding import release


@torch.no_grad()
def fold(model: nn.Module) -> nn.Module:
    """The model itself, with each forward multiplier multiplied into its weight and taken away; outputs stay, to rounding.

    For programs that read the model's parameters, or its modules without windtunnel; a state dict has these weights anyway.
    Training must not go on from it: the plan's learning rates, decays and eps are for the weights before. So all
    parameters are frozen (``requires_grad`` is False), and a step of ``windtunnel.torch.optimizer`` is refused. To keep the
    model for training, fold a copy: ``fold(copy.deepcopy(model))``.

    Raises:
        PlanMismatch: a weight with a multiplier is shared with another layer, which would change, too; or it is that of
            an embedding with ``max_norm``, of a layer with other parameters than weight and bias or with a forward of its
            own, or parametrised; or it is float16 and would be lost. The model is not changed.
    """
    release(model)
    scaled = {name: module for name, module in model.named_modules() if is_scaled(module)}
    held = holders(model)
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


def _folded(name: str, module: nn.Module, held: dict[object, set[int]]) -> Tensor:
    """The weight times its multiplier.

    Raises:
        PlanMismatch: the weight cannot be folded.
    """
    take_up_writes(module)
    factor, weight = multiplier_of(module), module._parameters.get("weight")
    told = f"{name}.weight has forward multiplier {factor:g} and cannot be folded"
    reason = why_not_folded(module, weight is not None and len(held[place(weight)]) > 1)
    if reason is not None or weight is None:
        raise PlanMismatch(f"{told}: {reason}")
    folded = effective(weight, factor)
    if lost(weight, folded):
        raise PlanMismatch(f"{told}: float16 cannot hold the product; convert the model to float32 first")
    return folded
