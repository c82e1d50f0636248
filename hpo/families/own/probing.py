"""Tries a module of one's own before a job is spent on it: members, derivatives, no state, no chance."""

import torch
from torch import Tensor, nn

from hpo.errors import InvalidData
from hpo.families.own.derivatives import TOLERANCE, Trial, place
from hpo.families.own.describing import check_table
from hpo.families.own.user_module import UserModule, build_module, known
from hpo.families.own.watching import Watch, forwarded, watched
from hpo.tasks import Split
from windtunnel.types import ModelSpec, TaskInfo

MEMBERS = 2
BATCH = 3
"""Examples of a batch of the probe, at least."""
MOST = 16
"""Examples of a batch of the probe, at most."""
CLASSES = 10_000
"""Training examples that are looked through for one of every class and for padding."""


def probe(model: ModelSpec, info: TaskInfo, train: Split) -> None:
    """Check in float64 that a population of the module is what its members are, and that every derivative of it is right.

    Args:
        model: size of the proxy.
        info: the task.
        train: training examples; a few of them are tried, of different classes and with the padding that they have.

    Raises:
        InvalidData: the table that the server went by is not that of the module; or the module keeps state, draws random
            numbers, couples the examples of a batch, or has an operation that no population or no derivative can be taken
            of. The message says which, and names the layer or the parameter.
    """
    check_table(known(info), info)
    module = build_module(model, info).double()
    rows = _chosen(module, info, train)
    batch = train.inputs[rows].double() if train.inputs.is_floating_point() else train.inputs[rows]
    tensors = _weights(module)
    alone = _as_function(module, tensors, batch, info)
    _refuse_probabilities(alone, info)
    _check_coupling(module, tensors, batch, info)
    inputs = torch.stack([batch, batch.flip(0)])
    _check_population(module, tensors, inputs, alone, info)
    Trial(module, tensors, inputs, alone).check()


def _chosen(module: UserModule, info: TaskInfo, train: Split) -> list[int]:
    """Rows of training examples to try: the first ones, the first of each class, and one with each padding row."""
    rows = list(range(min(BATCH, len(train.labels))))
    labels, inputs = train.labels[:CLASSES], train.inputs[:CLASSES]
    if info.kind == "classification":
        rows += [int((labels == label).nonzero()[0]) for label in torch.unique(labels)[: MOST - BATCH]]
    for layer in module.modules():
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None and not inputs.is_floating_point():
            rows += (inputs == layer.padding_idx).flatten(1).any(1).nonzero().flatten().tolist()[:1]
    return list(dict.fromkeys(rows))[:MOST]


def _weights(module: UserModule) -> list[Tensor]:
    """Random weights of the members, [members, *shape]; padding rows are 0."""
    generator = torch.Generator().manual_seed(0)
    padding = {
        id(layer.weight): layer.padding_idx
        for layer in module.modules()
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None
    }
    tensors = []
    for value in module.parameters():
        tensor = torch.ones(MEMBERS, dtype=torch.float64)
        if value.dim():
            tensor = torch.randn(MEMBERS, *value.shape, generator=generator, dtype=torch.float64)
            tensor *= max(value[0].numel(), 1) ** -0.5
        if id(value) in padding:
            tensor[:, padding[id(value)]] = 0
        tensors.append(tensor)
    return tensors


def _as_function(module: UserModule, tensors: list[Tensor], batch: Tensor, info: TaskInfo) -> Tensor:
    """Outputs [members, batch, ...] of plain torch, of a module that changes nothing and draws nothing.

    The first member has the batch, the second has it in reverse.
    """
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    alone, outputs = _alone(module, tensors, batch, info)
    changed = [name for name, buffer in module.named_buffers() if not torch.equal(buffer, before[name])]
    if changed:
        raise InvalidData(
            f"buffer {changed[0]!r} of task {info.name!r} changes in forward: the members of a population cannot share it",
            "a module must be a function of its parameters and inputs; make what changes a parameter, or leave it out",
        )
    for name, value in module.named_parameters():
        if not torch.equal(value, tensors[[each for each, _ in module.named_parameters()].index(name)][-1]):
            raise InvalidData(
                f"parameter {name!r} of task {info.name!r} is changed inside of forward",
                "forward may only read parameters: bound or normalise the values that it computes from them",
            )
    again, repeated = _alone(module, tensors, batch, info)
    if not torch.equal(again, alone):
        pairs = zip(outputs, repeated, strict=False)
        odd = next((label for (label, left), (_, right) in pairs if not torch.equal(left, right)), None)
        raise InvalidData(
            f"the module of task {info.name!r} gives other logits when it is called again: it draws random numbers, "
            "or keeps something from call to call" + (f"; first seen at layer {odd}" if odd else ""),
            "set every dropout to 0, for which input_noise of the job stands in, and keep nothing in attributes",
        )
    return alone


def _refuse_probabilities(outputs: Tensor, info: TaskInfo) -> None:
    """Refuse a module that ends in a softmax where the built-in cross-entropy would take another."""
    if info.loss is not None or info.kind == "regression" or not outputs.ge(0).all():
        return
    if _close(outputs.sum(-1), torch.ones_like(outputs[..., 0])):
        raise InvalidData(
            f"the module of task {info.name!r} gives probabilities, which are not negative and sum to 1, and cross-entropy "
            "takes logits: it would take the softmax of a softmax",
            "leave the softmax at the end of the module out; or give a loss of probabilities of your own: "
            "loss=lambda outputs, labels: F.nll_loss(outputs.log(), labels)",
        )


def _alone(
    module: UserModule, tensors: list[Tensor], batch: Tensor, info: TaskInfo
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """(outputs of each member by itself, outputs of the layers of the last one)."""
    found = []
    for row in range(MEMBERS):
        place(module, tensors, row)
        logits, outputs = _outputs(module, batch.flip(0) if row else batch, info)
        found.append(logits)
    if found[0].dtype != torch.float64:
        raise InvalidData(
            f"the module of task {info.name!r} gives {found[0].dtype} for parameters and inputs in float64",
            "convert no dtype in forward: derivatives are checked in float64",
        )
    return torch.stack(found), outputs


def _check_coupling(module: UserModule, tensors: list[Tensor], batch: Tensor, info: TaskInfo) -> None:
    """Refuse a module whose outputs for an example depend on the other examples of its batch, or on its mode.

    Losses are means over examples, and the large model computes in other batches and in evaluation mode.
    """
    place(module, tensors, 0)
    together, wholes = _outputs(module, batch, info)
    single, parts = _outputs(module, batch[:1], info)
    if not _close(single, together[:1]):
        pairs = zip(wholes, parts, strict=False)
        odd = next((label for (label, whole), (_, part) in pairs if not _alike(whole, part, len(batch))), None)
        raise InvalidData(
            f"the module of task {info.name!r} gives an example other logits alone than in a batch of {len(batch)}: it "
            "couples the examples of a batch" + (f"; first seen at layer {odd}" if odd else ""),
            "compute every example by itself: norms over features (LayerNorm, GroupNorm), nothing over the batch",
        )
    module.eval()
    (bare,) = module._alone
    bare.eval()
    try:
        judged, _ = _outputs(module, batch, info)
    finally:
        module.train()
        bare.train()
    if not _close(judged, together):
        raise InvalidData(
            f"the module of task {info.name!r} gives other logits in evaluation mode than in training mode, and proxies "
            "are trained and judged in training mode",
            "forward may not depend on self.training",
        )


def _outputs(module: UserModule, batch: Tensor, info: TaskInfo) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    with torch.no_grad(), watched(module) as watch:
        found = forwarded(module, batch, info.name)
    return found, watch.outputs


def _alike(whole: Tensor, part: Tensor, batch: int) -> bool:
    """True if a layer's output for a single example is that of the first of a batch, or has no place for examples."""
    return whole.shape[:1] != (batch,) or part.shape != whole[:1].shape or _close(part, whole[:1])


def _close(left: Tensor, right: Tensor) -> bool:
    return torch.allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE * float(right.abs().max()))


def _check_population(module: UserModule, tensors: list[Tensor], inputs: Tensor, alone: Tensor, info: TaskInfo) -> None:
    """Refuse a module whose population is not its members, with inputs of their own or with the same for all."""
    watch = Watch()
    try:
        with torch.no_grad(), watched(module) as watch:
            together = module.population(tensors, inputs, shared=False)
            shared = module.population(tensors, inputs[0], shared=True)
    except InvalidData:
        raise
    except Exception as error:
        raise InvalidData(
            f"no population of the module of task {info.name!r} can be computed{watch.place}: "
            f"{type(error).__name__}: {error}",
            "forward must run under torch.func.vmap: no .item(), no branches on values, no operations in place on what is "
            "the same for all members, no random numbers, no fused recurrent layers, no torch.utils.checkpoint",
        ) from error
    if not (_close(together, alone) and _close(shared[:1], alone[:1])):
        raise InvalidData(
            f"members of a population of task {info.name!r} give other logits than the same members alone",
            "the module must be a function of its parameters and inputs: it must not keep results from call to call",
        )
