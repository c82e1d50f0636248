"""Refuses by name layers and parameters that no population of training runs can train, before anything is computed."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from hpo.errors import InvalidData
from hpo.families.own.owners import BATCH_NORMS, INSTANCE_NORMS, owners

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
BATCHED = (*BATCH_NORMS, nn.SyncBatchNorm)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
TRAINABLE = (torch.float32, torch.float64)
"""Types of a parameter that is trained: proxies train in float32, and are checked in float64."""
SOME = 3


def refuse_lazy(module: nn.Module, whose: str = "") -> None:
    """Raise InvalidData on a layer whose shapes are known only after its first call; ``whose`` follows its name."""
    for name, layer in module.named_modules():
        held = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if any(map(is_lazy, held)):
            kind = type(layer).__name__
            raise InvalidData(
                f"layer {name!r}{whose} is a {kind}, whose shapes are not known before its first call",
                f"give it its input size: {kind.removeprefix('Lazy')}(size, ...) in place of {kind}(...)",
            )


def refuse_untrainable(module: nn.Module, task: str) -> None:
    """Raise InvalidData on what cannot be trained, by name.

    That are lazy layers, a module without a parameter to train, parameters that are no real numbers of 32 or 64 bits,
    layers that keep statistics, couple the examples of a batch or draw random numbers, reparametrised weights, fused
    recurrent layers, and tables whose gradient is not that of the loss.
    """
    refuse_lazy(module, f" of task {task!r}")
    _refuse_parameters(module, task)
    for name, layer in module.named_modules():
        for fault, advice in _faults(layer):
            raise InvalidData(f"layer {name!r} of task {task!r} is {named(layer)} {fault}", advice)
    _refuse_tied_padding(module, task)


def refuse_chance(module: nn.Module, again: nn.Module, task: str) -> None:
    """Raise InvalidData where what is not trained differs between two modules that were made from the same seed."""
    twins = {**dict(again.named_parameters()), **dict(again.named_buffers())}
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if not value.requires_grad and name in twins and not torch.equal(value, twins[name]):
            raise InvalidData(
                f"{name!r} of task {task!r} is not trained and has other values each time the module is made: a generator "
                "of its own draws them, and every run would have another model",
                "draw them by torch, or give the generator a fixed seed: numpy.random.default_rng(0)",
            )


def named(layer: nn.Module) -> str:
    """Name of a layer's class, with its article."""
    kind = type(layer).__name__
    return f"an {kind}" if kind.startswith(("A", "E", "I", "O", "LSTM", "RNN")) else f"a {kind}"


def _refuse_parameters(module: nn.Module, task: str) -> None:
    held = dict(module.named_parameters())
    if not held:
        raise InvalidData(
            f"the module of task {task!r} has no parameters", "register its layers as attributes, lists as nn.ModuleList"
        )
    trained = {name: parameter for name, parameter in held.items() if parameter.requires_grad}
    if not trained:
        names = ", ".join([*held][:SOME]) + (f" and {len(held) - SOME} more" if len(held) > SOME else "")
        raise InvalidData(
            f"every parameter of task {task!r} is frozen (requires_grad is False): {names}",
            "nothing is left to train: call requires_grad_(True) on what is to be trained",
        )
    for name, parameter in trained.items():
        if parameter.dtype not in TRAINABLE:
            advice = "build the module in float32, and change the type of the large model after the plan is applied"
            if parameter.is_complex():
                advice = (
                    "hold its real and imaginary part in a parameter each, or one of shape [..., 2]; torch.view_as_complex"
                )
            raise InvalidData(
                f"parameter {name!r} of task {task!r} is {parameter.dtype}; allowed for what is trained: float32, float64",
                advice,
            )


def _faults(layer: nn.Module) -> Iterator[tuple[str, str]]:
    """(what is wrong with a layer, what to do instead), worst first."""
    trained = any(parameter.requires_grad for parameter in layer.parameters())
    if isinstance(layer, (*BATCHED, *INSTANCE_NORMS)) and layer.track_running_stats:
        yield (
            "that keeps running statistics: members of a population cannot share them",
            "take GroupNorm or LayerNorm, or InstanceNorm without running statistics",
        )
    if isinstance(layer, BATCHED):
        yield (
            "that normalises over the batch: the loss of an example depends on the others of its batch, so that sizes, "
            "noise and batch size mean nothing",
            "take GroupNorm or LayerNorm, which normalise every example by itself",
        )
    rate = layer.p if isinstance(layer, DROPOUTS) else getattr(layer, "dropout", 0.0)
    if isinstance(rate, float) and rate > 0:
        yield (
            f"with dropout {rate:g}, which draws random numbers that no hypergradient can hold fixed",
            "set its dropout to 0; input_noise of the job is a regulariser that has a derivative",
        )
    if isinstance(layer, RECURRENT):
        yield (
            "which torch computes by fused code: no population of it can be computed",
            "write its recurrence out in plain torch, with an nn.Linear for its inputs and one for its state",
        )
    if isinstance(layer, nn.EmbeddingBag):
        yield (
            "which has no forward-mode derivative in torch",
            "take nn.Embedding, and the sum or the mean over the tokens",
        )
    changed = _reparametrised(layer)
    if changed is not None and trained:
        yield (
            f"with a reparametrised {changed}: muP's starts and learning rates are for the weight, not for its parts",
            "use the plain layer (torch.nn.utils.parametrize.remove_parametrizations), with a norm after it if need be",
        )
    if isinstance(layer, nn.Embedding):
        yield from _table_faults(layer)


def _table_faults(layer: nn.Embedding) -> Iterator[tuple[str, str]]:
    trained = layer.weight.requires_grad
    if layer.max_norm is not None:
        yield (
            f"with max_norm={layer.max_norm:g}, which changes its weight inside of forward",
            "leave max_norm out; functional.normalize on its output bounds the norm and has a derivative",
        )
    if layer.scale_grad_by_freq and trained:
        yield (
            "with scale_grad_by_freq, whose gradient is not that of the loss",
            "leave scale_grad_by_freq out: Adam divides by the size of the gradient anyway",
        )
    if layer.sparse and trained:
        yield (
            "with sparse gradients, which no rule of momentum or decay is for",
            "leave sparse out: sparse=False gives the same gradient",
        )
    if layer.padding_idx is not None and trained and type(layer).forward is not nn.Embedding.forward:
        yield (
            f"with padding_idx={layer.padding_idx} and a forward of its own, which could not keep the padding row at 0",
            "leave padding_idx out, and multiply the output by (tokens != padding)",
        )


def _reparametrised(layer: nn.Module) -> str | None:
    """Name of a tensor of the layer that torch computes from others; None if there is none."""
    held = layer._modules.get("parametrizations")
    if parametrize.is_parametrized(layer) and isinstance(held, nn.ModuleDict):
        return str(next(iter(held)))
    hooks = layer._forward_pre_hooks.values()
    old = [hook for hook in hooks if type(hook).__module__.startswith("torch.nn.utils.")]
    return str(getattr(old[0], "name", getattr(old[0], "_tensor_name", "weight"))) if old else None


def _refuse_tied_padding(module: nn.Module, task: str) -> None:
    """Refuse a table with a padding row that another layer uses, too: the row has a gradient there, and does not stay 0."""
    for name, holders in owners(module).items():
        padded = [layer for layer, _ in holders if isinstance(layer, nn.Embedding) and layer.padding_idx is not None]
        if padded and len(holders) > 1 and padded[0].weight.requires_grad:
            raise InvalidData(
                f"parameter {name!r} of task {task!r} is a table with padding_idx={padded[0].padding_idx} and is tied to "
                "another layer, where its padding row is trained",
                "leave padding_idx out, and multiply the output of the embedding by (tokens != padding)",
            )
