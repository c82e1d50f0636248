"""Tries a module of one's own before a job is spent on it: members, second derivatives, no state, no chance."""

import torch
from torch import Tensor
from torch.func import functional_call

from hpo.errors import InvalidData
from hpo.families.describing import check_table
from hpo.families.user_module import UserModule, build_module, known
from hpo.tasks import Split
from windtunnel.types import ModelSpec, TaskInfo

MEMBERS = 2
BATCH = 3
TOLERANCE = 1e-8
"""Largest difference of float64 logits, relative to their size, where only rounding may differ."""


def probe(model: ModelSpec, info: TaskInfo, train: Split) -> None:
    """Check in float64 that a population of the module is what its members are, and that it can be differentiated twice.

    Args:
        model: size of the proxy.
        info: the task.
        train: training examples; the first few are tried.

    Raises:
        InvalidData: the table that the server went by is not that of the module; or the module keeps state, draws random
            numbers, or has an operation that no population or no second derivative can be taken of. The message says which.
    """
    check_table(known(info), info)
    module = build_module(model, info).double()
    inputs = train.inputs
    batch = inputs[:BATCH].double() if inputs.is_floating_point() else inputs[:BATCH]
    generator = torch.Generator().manual_seed(0)
    names = [name for name, _ in module.named_parameters()]
    tensors = [
        torch.randn(MEMBERS, *value.shape, generator=generator, dtype=torch.float64) * max(value[0].numel(), 1) ** -0.5
        if value.dim()
        else torch.ones(MEMBERS, dtype=torch.float64)
        for value in module.parameters()
    ]
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    alone = _alone(module, names, tensors, batch, info)
    changed = [name for name, buffer in module.named_buffers() if not torch.equal(buffer, before[name])]
    if changed:
        raise InvalidData(
            f"buffer {changed[0]!r} of task {info.name!r} changes in forward: the members of a population cannot share it",
            "a module must be a function of its parameters and inputs; make what changes a parameter, or leave it out",
        )
    if not torch.equal(_alone(module, names, tensors, batch, info), alone):
        raise InvalidData(
            f"the module of task {info.name!r} gives other logits when it is called again: it draws random numbers",
            "set every dropout to 0; input_noise of the job is a regulariser that has a derivative",
        )
    try:
        together = module.population(tensors, batch, shared=True)
    except InvalidData:
        raise
    except Exception as error:
        raise InvalidData(
            f"no population of the module of task {info.name!r} can be computed: {type(error).__name__}: {error}",
            "forward must run under torch.func.vmap: no .item(), no branches on values, no operations in place on what is "
            "the same for all members, no random numbers, no fused recurrent layers",
        ) from error
    if not torch.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE * float(alone.detach().abs().max())):
        raise InvalidData(
            f"members of a population of task {info.name!r} give other logits than the same members alone",
            "the module must be a function of its parameters and inputs: it must not keep results from call to call",
        )
    _differentiate(module, tensors, batch, info)


def _alone(module: UserModule, names: list[str], tensors: list[Tensor], batch: Tensor, info: TaskInfo) -> Tensor:
    try:
        return torch.stack(
            [
                functional_call(module, {name: value[row] for name, value in zip(names, tensors, strict=True)}, (batch,))
                for row in range(MEMBERS)
            ]
        )
    except InvalidData:
        raise
    except Exception as error:
        raise InvalidData(
            f"forward of the module of task {info.name!r} failed on inputs {list(batch.shape)} of {batch.dtype}: "
            f"{type(error).__name__}: {error}",
            "it is called as module(inputs) with inputs [batch, *input_shape]; float64 must pass, too: convert no dtype",
        ) from error


def _differentiate(module: UserModule, tensors: list[Tensor], batch: Tensor, info: TaskInfo) -> None:
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    try:
        loss = module.population(leaves, batch, shared=True).square().sum()
        slopes = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    except RuntimeError as error:
        raise InvalidData(
            f"the module of task {info.name!r} has no gradient: {error}", "nothing in forward may be detached"
        ) from error
    names = [name for name, _ in module.named_parameters()]
    unused = [name for name, slope in zip(names, slopes, strict=True) if slope is None]
    if unused:
        raise InvalidData(
            f"parameter {unused[0]!r} of task {info.name!r} has no part in the logits",
            "leave it out of the module, or use it in forward",
        )
    cut = [name for name, slope in zip(names, slopes, strict=True) if not slope.requires_grad]
    if cut:
        raise InvalidData(
            f"the module of task {info.name!r} cannot be differentiated twice: the gradient of {cut[0]!r} is cut off",
            "replace an autograd.Function of your own by plain torch, or let its backward be differentiated",
        )
    try:
        product = sum((slope * torch.cos(slope.detach())).sum() for slope in slopes)
        assert isinstance(product, Tensor)
        torch.autograd.grad(product, leaves, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        raise InvalidData(
            f"the module of task {info.name!r} cannot be differentiated twice: {error}",
            "replace the operation that the message names by plain torch",
        ) from error
