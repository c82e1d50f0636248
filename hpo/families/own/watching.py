"""Runs a module and tells which of its layers was running, what each gave, and which tensors it used unregistered."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hpo.errors import InvalidData


class Watch:
    """Record of one forward pass."""

    def __init__(self) -> None:
        self.running: list[str] = []
        """Layers that were entered and not left, outermost first: after an error those in which it happened."""
        self.outputs: list[tuple[str, Tensor]] = []
        """(layer, output) in the order in which the layers ended."""

    @property
    def place(self) -> str:
        """Words for the innermost layer that was running, to follow a message; empty outside of any layer."""
        return f" in layer {self.running[-1]}" if self.running else ""


@contextmanager
def watched(module: nn.Module) -> Iterator[Watch]:
    """Context in which every call of a layer of the module is recorded."""
    watch = Watch()
    handles: list[Any] = []
    for name, layer in module.named_modules():
        if name:
            label = f"{name!r} ({type(layer).__name__})"

            def enter(_layer: nn.Module, _inputs: Any, label: str = label) -> None:
                watch.running.append(label)

            def leave(_layer: nn.Module, _inputs: Any, output: Any, label: str = label) -> None:
                if watch.running:
                    watch.running.pop()
                first = output[0] if isinstance(output, tuple) and output else output
                if isinstance(first, Tensor):
                    watch.outputs.append((label, first.detach()))

            handles += [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


def forwarded(module: nn.Module, inputs: Tensor, task: str) -> Tensor:
    """Output of the module for these inputs.

    Raises:
        InvalidData: forward failed; the message names the layer.
    """
    watch = Watch()
    try:
        with watched(module) as watch:
            found: Tensor = module(inputs)
    except InvalidData:
        raise
    except Exception as error:
        raise InvalidData(
            f"forward of the module of task {task!r} failed on inputs {list(inputs.shape)} of {inputs.dtype}{watch.place}: "
            f"{type(error).__name__}: {error}",
            "it is called as module(inputs) with inputs [batch, *input_shape], one example or many; float32 and "
            "float64 must pass: convert no dtype, and make constant tensors buffers",
        ) from error
    return found


class PlainLookups(TorchFunctionMode):
    """Mode that refuses a look-up in a trained table whose gradient is not that of the loss, by ``functional.embedding``.

    Layers of torch's own are refused by their settings, and their padding rows are kept by ``hold_padding``.
    """

    def __init__(self, module: nn.Module, task: str) -> None:
        super().__init__()
        self.names = {id(parameter): f"parameter {name!r}" for name, parameter in module.named_parameters()}
        self.task = task

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, unless it is such a look-up."""
        if func is functional.embedding:
            given = inspect.signature(functional.embedding).bind(*args, **(kwargs or {})).arguments
            self._check(given["weight"], given.get("padding_idx"), given.get("scale_grad_by_freq"), given.get("sparse"))
        if func is torch.embedding:
            weight, padding, by_frequency, sparse = (args[0], *args[2:], -1, False, False)[:4]
            self._check(weight, padding if padding >= 0 else None, by_frequency, sparse)
        return func(*args, **(kwargs or {}))

    def _check(self, weight: Tensor, padding: int | None, by_frequency: bool | None, sparse: bool | None) -> None:
        """Refuse a look-up in a trained table with one of these settings."""
        faults = {f"padding_idx={padding}": padding is not None, "scale_grad_by_freq": by_frequency, "sparse=True": sparse}
        fault = next((name for name, is_set in faults.items() if is_set), None)
        if weight.requires_grad and fault is not None:
            raise InvalidData(
                f"{self.names.get(id(weight), 'a table')} of task {self.task!r} is looked up by functional.embedding with "
                f"{fault}, whose gradient is not that of the loss",
                "leave it out; for padding take nn.Embedding(padding_idx=...), or multiply by (tokens != padding)",
            )


def refuse_unregistered(module: nn.Module, output: object, task: str) -> None:
    """Raise InvalidData if a tensor that wants a gradient went into the output and is no parameter of the module.

    An output that is no tensor is left to the check of its shape.

    Args:
        module: the module, whose forward gave the output.
        output: the output, with its graph.
        task: name of the task.
    """
    if not isinstance(output, Tensor):
        return
    known = {id(parameter) for parameter in module.parameters()}
    loose = next((leaf for leaf in _leaves(output) if id(leaf) not in known), None)
    if loose is None:
        return
    place = next((path for path, tensor in _unregistered(module) if tensor is loose), None)
    if place is None:
        raise InvalidData(
            f"forward of task {task!r} uses a tensor of shape {list(loose.shape)} that wants a gradient and is no "
            "parameter of the module: no optimizer would train it",
            "make the layer or the nn.Parameter that holds it an attribute of the module",
        )
    raise InvalidData(
        f"parameter {place!r} of task {task!r} is used in forward and is not registered: it is in a plain list, dict or "
        "object, or is no nn.Parameter, and no optimizer would train it",
        "take nn.ModuleList or nn.ModuleDict for layers, nn.Parameter, nn.ParameterList or nn.ParameterDict for tensors",
    )


def _leaves(output: Tensor) -> Iterator[Tensor]:
    """Leaves of the graph of a tensor that want a gradient."""
    nodes, seen = [output.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(leaf := getattr(node, "variable", None), Tensor):
            yield leaf
        nodes += [following for following, _ in node.next_functions]


def _unregistered(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of what the attributes of a module and its layers hold and torch does not know of."""
    for name, layer in module.named_modules():
        for attribute, value in vars(layer).items():
            if attribute not in ("_parameters", "_buffers", "_modules"):
                yield from _within(value, f"{name}.{attribute}" if name else attribute, 4)


def _within(value: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, nn.Module):
        yield from ((f"{path}.{name}", tensor) for name, tensor in value.named_parameters())
    elif depth and isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _within(item, f"{path}[{index}]", depth - 1)
    elif depth and isinstance(value, dict):
        for key, item in value.items():
            yield from _within(item, f"{path}[{key!r}]", depth - 1)
    elif depth and hasattr(value, "__dict__") and not isinstance(value, type):
        for key, item in vars(value).items():
            yield from _within(item, f"{path}.{key}", depth - 1)
