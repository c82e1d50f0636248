"""Parameters that torch splits over processes (``fully_shard``, tensor parallelism): filled and clipped as whole ones."""

import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm


def is_sharded(tensor: Tensor | None) -> bool:
    """True for a DTensor, of which each process holds a part."""
    # Nothing can be a DTensor before this module is loaded, and loading it here would cost every user a second.
    if "torch.distributed.tensor" not in sys.modules:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def release(model: nn.Module) -> None:
    """Put the sharded parameters back in place where ``fully_shard`` has left whole ones since the last forward pass."""
    if "torch.distributed.fsdp" not in sys.modules:
        return
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@torch.no_grad()
def fill(parameter: Tensor, values: Tensor) -> None:
    """Set a parameter to values of its whole shape; of a sharded one each process keeps its part, without communication.

    Every process must give the same values.
    """
    if not is_sharded(parameter):
        parameter.copy_(values)
        return
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    part = distribute_tensor(values, parameter.device_mesh, parameter.placements, src_data_rank=None)
    parameter.to_local().copy_(part.to_local())


def has_gradient(parameter: Tensor) -> bool:
    """True if a parameter, or the part of it on this process, has a gradient other than zeros.

    Zeros are what ``torch.distributed.checkpoint`` gives to have an optimizer make its state.
    """
    gradient = parameter.grad
    if gradient is not None and is_sharded(gradient):
        gradient = gradient.to_local()  # type: ignore[attr-defined]
    if gradient is not None and gradient.is_sparse:
        gradient = gradient._values()
    return gradient is not None and bool(gradient.any())


def clip(parameters: Sequence[Tensor], threshold: float) -> None:
    """Clip the gradients to a global norm of ``threshold`` over all processes; some parameters may be whole, some sharded.

    Whole parameters must have the same gradient on every process.
    """
    meshes: dict[object, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            meshes.setdefault(getattr(parameter, "device_mesh", None), []).append(parameter)
    if set(meshes) <= {None}:
        clip_grad_norm_(list(parameters), threshold)
        return
    norms = [_whole(get_total_norm([part.grad for part in parts if part.grad is not None])) for parts in meshes.values()]
    norm = torch.linalg.vector_norm(torch.stack([each.to(norms[0].device) for each in norms]))
    for parts in meshes.values():
        clip_grads_with_norm_(parts, threshold, norm)


def _whole(tensor: Tensor) -> Tensor:
    """The value of a tensor over all processes."""
    whole: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return whole
