"""A module of one's own as a family: any ``torch.nn.Module`` that a function of width and depth makes."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Self

import numpy
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hpo.errors import InvalidData
from hpo.families.dials import NO_DIALS, NO_NOISE, Dials, Noise, check_dials, noisy
from hpo.families.own.doubles import StayDouble
from hpo.families.own.plain_outputs import with_plain_outputs
from hpo.families.own.refusals import refuse_lazy, refuse_untrainable
from hpo.families.proxy import Proxy, Record, places
from windtunnel.tasks.user import UserTask, user_task
from windtunnel.types import ModelSpec, TaskInfo


class UserModule(Proxy):
    """The module, with the names of its parameters as they are.

    It stays in training mode: the fast paths of evaluation have no derivatives. Fused attention has no double backward, so
    attention is computed by torch's own plain formula. Parameters with ``requires_grad=False`` are buffers here.

    Args:
        module: plain torch; ``forward(inputs)`` gives logits.
        task: task that the module learns.

    Raises:
        InvalidData: the module holds what no population can train; the checks are those of ``refuse_untrainable``.
    """

    dials = ("input_noise",)

    def __init__(self, module: nn.Module, task: TaskInfo) -> None:
        super().__init__()
        refuse_untrainable(module, task.name)
        hold_padding(module)
        freeze(module)
        # Shared, not registered: names are the module's own, and a tensor swapped here is swapped there.
        self._parameters, self._buffers, self._modules = module._parameters, module._buffers, module._modules
        self._alone = (module.train(),)
        self.task = task
        self.converts = True
        self.places = list(places(module).values())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Change the type of parameters and buffers; complex ones stay complex, where torch would drop a part."""

        def both(value: Tensor) -> Tensor:
            return torch.complex(fn(value.real), fn(value.imag)) if value.is_complex() else fn(value)

        found: Self = super()._apply(both, recurse)  # type: ignore[no-untyped-call]
        return found

    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """Logits [batch, classes], or [batch, context, classes], of inputs [batch, *input_shape].

        Raises:
            InvalidData: the logits have another shape.
        """
        (module,) = self._alone
        layers = [(name, layer) for name, layer in module.named_modules() if list(layer.parameters(recurse=False))]
        outputs: list[tuple[str, Tensor]] = []

        def hook(name: str, output: object) -> None:
            found = output[0] if isinstance(output, tuple) else output
            if isinstance(found, Tensor):
                outputs.append((name, found))

        hooks = [layer.register_forward_hook(lambda _m, _i, out, name=name: hook(name, out)) for name, layer in layers]
        try:
            logits = self.forward(inputs, dials, noise)
        finally:
            for handle in hooks:
                handle.remove()
        for name, output in outputs:
            if output is not logits:
                record(name or "module", output)
        return logits

    def forward(self, inputs: Tensor, dials: Dials = NO_DIALS, noise: Noise = NO_NOISE) -> Tensor:
        """Logits of a batch, without the record that ``compute`` keeps and a training step can do without."""
        check_dials(dials, self.dials)
        (module,) = self._alone
        with sdpa_kernel(SDPBackend.MATH):
            logits = self._in_double(module, noisy(inputs, dials, noise))
        return self._checked(logits, len(inputs))

    def _in_double(self, module: nn.Module, inputs: Tensor) -> object:
        """Output of the module; if it is in float64, all of it is computed in float64."""
        if not self.converts or next(module.parameters()).dtype != torch.float64:
            return module(inputs)
        with StayDouble() as mode:
            found = module(inputs)
        # The mode costs time at every operation, and most modules have no need of it.
        self.converts = mode.used
        return found

    def _checked(self, logits: object, batch: int) -> Tensor:
        task = self.task
        expected = (batch, *((task.features,) if task.kind == "language" else ()), task.classes)
        if isinstance(logits, Tensor) and task.kind == "regression" and logits.shape == (batch,):
            logits = logits[:, None]
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            given = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise InvalidData(
                f"the module of task {task.name!r} gives {given} for {batch} examples; expected {list(expected)}",
                "forward(inputs) must give logits [batch, classes]; for text [batch, context, classes], for a regression "
                "[batch, 1] or [batch]",
            )
        if not logits.is_floating_point():
            raise InvalidData(
                f"the module of task {task.name!r} gives outputs of {logits.dtype}, not real numbers with a gradient",
                "give real logits: the absolute value or the real part of complex ones, and no argmax",
            )
        return logits

    def population(
        self, tensors: Sequence[Tensor], inputs: Tensor, *, shared: bool, dials: Dials = NO_DIALS, noise: Noise = NO_NOISE
    ) -> Tensor:
        """Logits of every member of a population, by ``vmap`` over the module; arguments as of ``Proxy.population``."""
        check_dials(dials, self.dials)

        def one(weights: Sequence[Tensor], settings: Dials, random: Noise, features: Tensor) -> Tensor:
            held = {place: weight for weight, at in zip(weights, self.places, strict=True) for place in at}
            found: Tensor = functional_call(self, held, (features, settings, random), tie_weights=False)
            return found

        in_dims = (0, 0, 0, None if shared else 0)
        # A population of one goes this way too: a module must not draw random numbers that a larger one could not draw.
        found: Tensor = vmap(one, in_dims=in_dims)(tensors, dict(dials), dict(noise), inputs)
        return found

    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """``input`` [batch, *input_shape]."""
        return {"input": (batch, *self.task.input_shape)} if "input_noise" in dials else {}


def freeze(module: nn.Module) -> None:
    """Make every parameter with ``requires_grad=False`` a buffer: a constant that no optimizer knows of."""
    constants: dict[int, Tensor] = {}
    for layer in module.modules():
        for name, parameter in list(layer._parameters.items()):
            if parameter is not None and not parameter.requires_grad:
                del layer._parameters[name]
                layer.register_buffer(name, constants.setdefault(id(parameter), parameter.detach()))


def hold_padding(module: nn.Module) -> None:
    """Keep the padding row of every ``nn.Embedding`` out of the outputs, by a product that every derivative goes through.

    Torch's own rule gives the row no gradient, in reverse mode only and for the first member of a population only. A row
    that starts at 0 stays there either way.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None and layer.weight.requires_grad:
            layer.forward = partial(_padded, layer, layer.padding_idx)  # type: ignore[method-assign]


def _padded(layer: nn.Embedding, padding: int, tokens: Tensor) -> Tensor:
    found = functional.embedding(tokens, layer.weight)
    return found * (tokens != padding)[..., None].to(found.dtype)


def build_module(model: ModelSpec, info: TaskInfo, task: UserTask | None = None) -> UserModule:
    """The module of that size, on the CPU: its buffers mean something, its parameters do not.

    Raises:
        InvalidData: the task came without its module, or the module cannot be made or trained.
    """
    return UserModule(made(known(info) if task is None else task, model.width, model.depth), info)


def known(info: TaskInfo) -> UserTask:
    """Task of the user that these facts belong to.

    Raises:
        InvalidData: the facts came without their task.
    """
    try:
        return user_task(info)
    except LookupError as error:
        raise InvalidData(
            str(error), "install the package that brings the task on every machine that runs workers"
        ) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Context with this seed of torch, numpy and Python, whose random numbers are as before afterwards."""
    ours, theirs = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        numpy.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(ours)
            numpy.random.set_state(theirs)


def made(task: UserTask, width: int, depth: int, seed: int = 0) -> nn.Module:
    """The module with its own initial values; the process's random numbers stay as they were.

    Raises:
        InvalidData: the task's build gives none.
    """
    with _seeded(seed), torch.device("cpu"):
        try:
            module = task.builder()(width, depth)
        except Exception as error:
            raise InvalidData(
                f"build of task {task.name!r} failed at width {width} and depth {depth}: {type(error).__name__}: {error}",
                "it is called as build(width, depth) and must give a torch.nn.Module",
            ) from error
    if not isinstance(module, nn.Module):
        raise InvalidData(f"build of task {task.name!r} gave {type(module).__name__}", "it must give a torch.nn.Module")
    refuse_lazy(module, f" of task {task.name!r}")
    return with_plain_outputs(module)


def example_inputs(info: TaskInfo | UserTask, *leading: int) -> Tensor:
    """Inputs of the right shape and dtype, [*leading, *input_shape]; their values mean nothing."""
    shape = (*leading, *info.input_shape)
    count = torch.arange(prod(shape)).view(shape)
    return count % max(info.classes, 2) if info.inputs == "tokens" else torch.sin(count.float())
