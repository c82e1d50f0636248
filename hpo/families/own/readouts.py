"""Finds the tensors that make the outputs of a module of one's own, by what its forward pass does and not by their names.

A readout is a matrix behind which no other matrix acts on the way to the outputs, and in which the outputs are affine.
Where every last matrix has a nonlinearity behind it, it is the one without which the outputs do not see the inputs. Of
matrices that multiply each other, as of two factors of a low-rank readout, one is the readout: both at 0 would stay there.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpo.errors import InvalidData
from hpo.families.own.user_module import UserModule, example_inputs
from windtunnel.types import TaskInfo

BATCH = 5
TOLERANCE = 1e-9
"""Largest difference of float64 outputs, relative to their size, where only rounding may differ."""
Outputs = Callable[[Mapping[str, Tensor]], Tensor]
"""Some tensors by name, in place of those of a fixed random draw -> outputs [batch, ...]."""


def readouts(
    module: UserModule, info: TaskInfo, candidates: Sequence[str], matrices: Collection[str], zeros: Collection[str]
) -> list[str]:
    """Names of the candidates that make the module's outputs, in order.

    Args:
        module: the module; its own values are not used.
        info: the task, which gives the inputs' shape.
        candidates: matrices that may be readouts.
        matrices: all matrices: tensors other than biases, gains and temperatures.
        zeros: tensors that start at 0 by the module itself.

    Raises:
        InvalidData: forward fails in float64.
    """
    if not candidates:
        return []
    drawn = drawn_values(module)
    inputs = example_inputs(info, BATCH)
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        flow = _Flow({name: drawn[name] for name in matrices}, inputs)
        _call(module, drawn, inputs, info, flow)

        def outputs(some: Mapping[str, Tensor]) -> Tensor:
            return _call(module, {**drawn, **some}, inputs, info)

        last = [name for name in candidates if not flow.behind(name)]
        affine = [name for name in last if _is_affine(outputs, drawn, name)]
        blind = {name for name in last if _hides_inputs(outputs, drawn, name)}
        found = affine or [name for name in last if name in blind]
        kept: list[str] = []
        for name in sorted(found, key=lambda name: (name not in zeros, name not in blind, -candidates.index(name))):
            if not any(_multiply(outputs, drawn, name, other) for other in kept):
                kept.append(name)
    return [name for name in candidates if name in kept]


def drawn_values(module: UserModule) -> dict[str, Tensor]:
    """Random float64 values for all tensors of a module, none of them 0, of the size that layers keep."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64) * max(value[:1].numel(), 1) ** -0.5
        if value.dim()
        else torch.ones((), dtype=torch.float64)
        for name, value in module.named_parameters()
    }


def _call(
    module: UserModule, values: Mapping[str, Tensor], inputs: Tensor, info: TaskInfo, flow: "_Flow | None" = None
) -> Tensor:
    try:
        with nullcontext() if flow is None else flow:
            found: Tensor = functional_call(module, dict(values), (inputs,))
            return found
    except InvalidData:
        raise
    except Exception as error:
        raise InvalidData(
            f"forward of the module of task {info.name!r} failed on inputs {list(inputs.shape)} of {inputs.dtype}: "
            f"{type(error).__name__}: {error}",
            "it is called as module(inputs) with inputs [batch, *input_shape]; float64 must pass, too: convert no dtype",
        ) from error


def _is_affine(outputs: Outputs, drawn: Mapping[str, Tensor], name: str) -> bool:
    """Whether outputs are affine in a tensor; at a negative factor that is no whole number, so that relu and tanh show."""
    value, factor = drawn[name], 1.7
    back, at, zero = (outputs({name: value * scale}) for scale in (-factor, 1.0, 0.0))
    return _is_nothing(back + factor * at - (1 + factor) * zero, at) and not _is_nothing(at - zero, at)


def _hides_inputs(outputs: Outputs, drawn: Mapping[str, Tensor], name: str) -> bool:
    """Whether outputs are the same for all examples where the tensor is 0."""
    at, zero = outputs({}), outputs({name: torch.zeros_like(drawn[name])})
    return _is_nothing(zero - zero[:1], at)


def _multiply(outputs: Outputs, drawn: Mapping[str, Tensor], first: str, second: str) -> bool:
    """Whether outputs hold a product of the two tensors."""
    one, other = ({name: drawn[name] * 2} for name in (first, second))
    at = outputs({})
    return not _is_nothing(outputs({**one, **other}) - outputs(one) - outputs(other) + at, at)


def _is_nothing(difference: Tensor, scale: Tensor) -> bool:
    return bool(difference.abs().max() <= TOLERANCE * scale.abs().max())


@dataclass(frozen=True)
class _Source:
    """Matrices that a piece of memory was computed from, and whether the inputs were among the rest."""

    matrices: frozenset[str] = frozenset()
    data: bool = False


class _Flow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every operation of a forward pass: which matrices act on what other matrices made of the inputs."""

    def __init__(self, values: Mapping[str, Tensor], inputs: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sources: dict[int, _Source] = {}
        self._alive: list[Tensor] = []
        self._later: dict[str, set[str]] = {}
        for name, value in values.items():
            self._give(value, _Source(frozenset([name])))
        self._give(inputs, _Source(data=True))

    def behind(self, name: str) -> frozenset[str]:
        """Other matrices that act on what this one made of the inputs."""
        return frozenset(self._later.get(name, set()) - {name})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        sources = [self._sources.get(_memory(value), _Source()) for value in _tensors((args, kwargs))]
        moved = [source for source in sources if source.data]
        still = [source for source in sources if not source.data]
        if moved:
            for earlier in chain.from_iterable(source.matrices for source in moved):
                self._later.setdefault(earlier, set()).update(*(source.matrices for source in still))
        whole = _Source(frozenset().union(*(source.matrices for source in sources)), bool(moved))
        for value in _tensors(found):
            self._give(value, whole)
        return found

    def _give(self, value: Tensor, source: _Source) -> None:
        # What is kept alive keeps its memory to itself.
        self._alive.append(value)
        self._sources[_memory(value)] = source


def _memory(value: Tensor) -> int:
    found: int = value.untyped_storage()._cdata
    return found


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
