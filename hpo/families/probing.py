"""Tries a module of one's own before a job is spent on it: members, second derivatives, no state, no chance."""

import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp

from hpo.errors import InvalidData
from hpo.families.describing import check_table
from hpo.families.user_module import UserModule, build_module, known
from hpo.tasks import Split
from hpo.tasks.losses import per_example
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
        InvalidData: the loss of its own is not the mean of what it is for each example, or has no second derivative;
            the table that the server went by is not that of the module; or the module keeps state, draws random
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
    if info.loss is not None:
        labels = train.labels[:BATCH]
        _try_loss(info, alone.detach(), labels.double() if info.kind == "regression" else labels)


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


def _try_loss(info: TaskInfo, outputs: Tensor, labels: Tensor) -> None:
    """Check that a loss of one's own is a mean over examples, and that every derivative of it can be taken.

    Args:
        info: the task.
        outputs: of a few examples, [members, batch, ...], float64.
        labels: of the same, [batch, ...].
    """
    own = known(info).criterion()
    assert own is not None, "the listing of the task names its loss"
    named = f"loss {info.loss} of task {info.name!r}"
    given = outputs[0].squeeze(-1) if info.kind == "regression" else outputs[0]
    shapes = f"outputs {list(given.shape)} of {given.dtype} and labels {list(labels.shape)} of {labels.dtype}"
    try:
        whole = own(given, labels)
    except Exception as error:
        raise InvalidData(
            f"{named} failed on {shapes}: {type(error).__name__}: {error}",
            "it is called as loss(outputs, labels); float64 must pass, too: bring its constants to outputs.dtype",
        ) from error
    if not isinstance(whole, Tensor) or tuple(whole.shape) not in ((), (len(labels),)):
        found = f"shape {list(whole.shape)}" if isinstance(whole, Tensor) else type(whole).__name__
        raise InvalidData(
            f"{named} gives {found} for {shapes}",
            f"give the mean over the batch, [], or the loss of each example, [{len(labels)}]",
        )
    together = labels.expand(len(outputs), *labels.shape)

    def total(at: Tensor) -> Tensor:
        return per_example(info, at, together).sum()

    try:
        each = per_example(info, outputs, together)[0]
        leaf = outputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(total(leaf), leaf, create_graph=True)
        if slope.requires_grad:  # a loss that is linear has no second derivative, and needs none
            torch.autograd.grad(slope.sum(), leaf, allow_unused=True)
        jvp(grad(total), (outputs,), (torch.ones_like(outputs),))
    except Exception as error:
        raise InvalidData(
            f"{named} cannot be differentiated twice, or not for each example: {type(error).__name__}: {error}",
            "write it in plain torch, as a function of outputs and labels alone, without branches on values; "
            "nothing in it may be detached",
        ) from error
    if not torch.allclose(whole.mean(), each.mean(), rtol=TOLERANCE, atol=TOLERANCE):
        raise InvalidData(
            f"{named} is {float(whole.mean()):.6g} for {len(labels)} examples, and {float(each.mean()):.6g} in the mean "
            "over each of them alone",
            "it must be the mean of a loss of each example: no sum over the batch, and nothing that compares examples",
        )
