"""Watches one forward pass and tells how each parameter is used, and how many of its numbers one output sums over."""

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpo.families.own.entries import (
    ADDS,
    MOVES,
    NORMALISES,
    PICKS,
    SAME_PLACES,
    SUMMED_AXES,
    TABLES,
    Seen,
    Shadow,
    repeats,
    transposed_fan_in,
    varies,
)
from hpo.families.own.merging import Merging
from hpo.mup.uses import Use, UseKind

UsesByName = Mapping[str, frozenset[Use]]
"""Parameter name -> its uses; a parameter whose way through the forward pass cannot be followed has none."""


def uses_in_forward(module: nn.Module, *inputs: Any, weights: Collection[str] = ()) -> UsesByName:
    """Uses of every parameter in one call of the module, whatever its layers store and however they reshape it.

    A table of positions runs beside every tensor that holds nothing but entries of parameters: where the entries went is
    read off it, through views, copies, casts and elementwise functions, up to the operation in which they meet activations.

    Args:
        module: module on the CPU. The pass runs in its present mode; buffers that change in forward change.
        inputs: arguments of ``forward`` for one or more examples.
        weights: names of parameters that are weights of a layer. Where two parameters are multiplied with each other, as
            learned queries with a projection, the other one is taken for activations.
    """
    watch = _Watch(module, frozenset(weights))
    watch.live.update(watch.place(value) for value in tree_leaves(inputs) if isinstance(value, Tensor))
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), watch:
        module(*inputs)
    found = {name: uses for name, uses in watch.uses.items() if name not in watch.lost}
    return {
        name: frozenset(
            Use(use.kind, use.fan_in, use.over, watch.merging.among.get(name), use.repeats or name in watch.factors)
            for use in uses
        )
        for name, uses in found.items()
    }


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of torch below automatic differentiation."""

    def __init__(self, module: nn.Module, weights: frozenset[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = weights
        self.uses: dict[str, list[Seen]] = {}
        self.lost: set[str] = set()
        self.live: set[int] = set()
        self.shadows: dict[int, list[Shadow]] = {}
        self.merging = Merging(self)
        self.factors: set[str] = set()
        self.kept: list[Tensor] = []
        self.shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
        for name, parameter in module.named_parameters():
            self.cast(name, parameter, torch.arange(parameter.numel()).view(parameter.shape))

    def place(self, value: Tensor) -> int:
        """Key of the storage that holds a tensor, which is kept so that no other takes its place."""
        self.kept.append(value)
        return int(value.untyped_storage()._cdata)

    def cast(self, name: str, value: Tensor, positions: Tensor, product: Seen | None = None) -> None:
        """Note that a tensor holds the entries of a parameter at these positions."""
        if value.numel() == 0:
            return
        before = [shadow.positions for shadow in self.pure(value) if shadow.parameter == name]
        entries = value.untyped_storage().nbytes() // value.element_size()
        flat = before[0].clone() if before else torch.full((entries,), -1)
        flat.as_strided(value.shape, value.stride(), value.storage_offset()).copy_(positions)
        kept = [shadow for shadow in self.shadows.get(self.place(value), []) if shadow.parameter != name]
        self.shadows[self.place(value)] = [*kept, Shadow(name, flat, value.element_size(), product)]

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = [value for value in tree_leaves((args, kwargs)) if _is_plain(value)]
        results = [value for value in tree_leaves(out) if _is_plain(value)]
        with torch.utils._python_dispatch._disable_current_modes():
            self.follow(func, args, given, results)
        return out

    def follow(self, func: OpOverload, args: tuple[Any, ...], given: list[Tensor], results: list[Tensor]) -> None:
        """Note what one operation did: its results are activations if it used a parameter, or was given some."""
        places = [self.place(value) for value in given]
        if not func._schema.is_mutable and all(self.place(value) in places for value in results):
            return  # a view, which the storage knows
        is_live = any(place in self.live for place in places)
        products = self.merging.products(func, given)
        if any(self.held(value) for value in given):
            is_live = self.use(func, args, given, results, is_live=is_live)
        if is_live:
            self.live.update(map(self.place, results))
        if len(results) == 1:
            self.merging.note(results[0], products)

    def use(
        self, func: OpOverload, args: tuple[Any, ...], given: list[Tensor], results: list[Tensor], *, is_live: bool
    ) -> bool:
        """Note what an operation does with parameters; True if its results are activations."""
        name = func.overloadpacket.__name__.rstrip("_")
        if name == "sum":
            self.sum(given[0], args)
        if name in SUMMED_AXES:
            return self.contract(given, SUMMED_AXES[name])
        if name == "convolution":
            self.convolve(given, args)
        elif name == "_trilinear":
            self.trilinear(given, args)
        elif name in NORMALISES:
            self.note(given[:1], "added")
            self.note(given[1:], "scaled")
        elif name in TABLES or (name in PICKS and given[0].dim() < 3 and self.place(given[-1]) in self.live):
            self.note(given[:1], "looked up")
            self.note(given[1:], "added")
        elif name not in PICKS and (is_live or any(shadow.product for value in given for shadow in self.held(value))):
            self.meet(name, func, given, results)
        else:
            self.carry(name, func, args, given, results)
            return False
        return True

    def held(self, value: Tensor) -> list[Shadow]:
        """Shadows of a tensor."""
        return [each for each in self.shadows.get(self.place(value), []) if each.bytes == value.element_size()]

    def pure(self, value: Tensor) -> list[Shadow]:
        """Shadows of a tensor that holds entries of parameters alone."""
        return [shadow for shadow in self.held(value) if shadow.product is None]

    def note(self, values: Sequence[Tensor], kind: UseKind) -> None:
        """Note a use of all parameters that these tensors hold."""
        for value in values:
            for shadow in self.pure(value):
                if (shadow.of(value) >= 0).any():
                    self.uses.setdefault(shadow.parameter, []).append(Seen(kind))

    def contract(self, operands: Sequence[Tensor], axes: Sequence[tuple[int, ...]]) -> bool:
        """Note a product that sums over these axes of its operands; True if its result is activations.

        Of two parameters that are multiplied with each other, one is a weight, and one takes the place of activations.
        A parameter that is multiplied with constants is still on its way, as that of a spectral norm: nothing is noted.
        """
        factors = [(value, summed) for value, summed in zip(operands, axes, strict=False) if summed]
        live = [self.place(value) in self.live for value, _ in factors]
        known = [any(shadow.parameter in self.weights for shadow in self.pure(value)) for value, _ in factors]
        for index, (value, summed) in enumerate(factors):
            if known[index] or any(live):
                self.summed(value, summed, prod(value.shape[axis] for axis in summed))
            elif any(known):
                self.note([value], "added")
        if any(live) or any(known):
            self.note([value for value, summed in zip(operands, axes, strict=False) if not summed], "added")
        return any(live) or any(known)

    def summed(self, value: Tensor, axes: tuple[int, ...], terms: int) -> None:
        """Note a sum over axes of a tensor, of so many terms."""
        for shadow in self.pure(value):
            positions = shadow.of(value)
            if not (positions >= 0).any():
                continue
            if varies(positions, axes) or terms == 1:
                self.note_sum(shadow, positions.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes)), terms)
            else:
                self.uses.setdefault(shadow.parameter, []).append(Seen("scaled"))

    def note_sum(self, shadow: Shadow, positions: Tensor, terms: int) -> None:
        """Note a sum of so many terms; positions of the parameter's entries in them are [outputs, ..., terms]."""
        over = self.dimensions(shadow.parameter, positions)
        self.uses.setdefault(shadow.parameter, []).append(Seen("summed", terms, over, repeats(positions)))

    def dimensions(self, parameter: str, positions: Tensor) -> tuple[int, ...]:
        """Dimensions of a parameter along which its entries differ within one of the sums [outputs, ..., terms]."""
        sums = positions.reshape(-1, positions.shape[-1])
        one = sums[(sums >= 0).sum(1).argmax()]
        indices = torch.unravel_index(one[one >= 0], self.shapes[parameter])
        return tuple(index for index, found in enumerate(indices) if (found != found[:1]).any())

    def convolve(self, given: list[Tensor], args: tuple[Any, ...]) -> None:
        """Note a convolution; one output of a transposed one sums over the window's entries that its stride leaves it."""
        weight, stride, is_transposed, groups = given[1], args[3], args[6], args[8]
        self.note(given[:1], "added")
        self.note(given[2:], "added")
        terms = prod(weight.shape[1:])
        if is_transposed:
            terms = transposed_fan_in(weight.shape, groups, stride)
        for shadow in self.pure(weight):
            positions = shadow.of(weight).transpose(0, 1) if is_transposed else shadow.of(weight)
            self.note_sum(shadow, positions.flatten(1), terms)

    def trilinear(self, given: list[Tensor], args: tuple[Any, ...]) -> None:
        """Note a product of three tensors, each with inserted axes, summed over some of them: a bilinear layer."""
        expanded = []
        for value, inserted in zip(given, args[3:6], strict=True):
            shape = list(value.shape)
            for axis in sorted(inserted):
                shape.insert(axis, 1)
            expanded.append(shape)
        sizes = [max(each) for each in zip(*expanded, strict=True)]
        for value in given:
            for shadow in self.pure(value):
                self.note_sum(shadow, shadow.of(value).flatten(1), prod(sizes[axis] for axis in args[6]))

    def sum(self, value: Tensor, args: tuple[Any, ...]) -> None:
        """Turn products of a parameter and activations into sums, where they are summed over entries of the parameter."""
        given = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else []
        axes = tuple(given) or tuple(range(value.dim()))
        for shadow in self.held(value):
            if shadow.product is not None and varies(shadow.of(value), axes):
                positions = shadow.of(value).movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes))
                shadow.product.kind, shadow.product.fan_in = "summed", prod(value.shape[axis] for axis in axes)
                shadow.product.over = self.dimensions(shadow.parameter, positions)
                shadow.product.repeats = repeats(positions)

    def meet(self, name: str, func: OpOverload, given: list[Tensor], results: list[Tensor]) -> None:
        """Note an operation in which parameters meet activations; what it does with them is known of a few."""
        if name not in ADDS and torch.Tag.pointwise not in func.tags:
            self.lost.update(shadow.parameter for value in given for shadow in self.pure(value))
            return
        self.note(given, "added" if name in ADDS else "scaled")
        if name not in ("mul", "div") or len(results) != 1:
            return
        for value in given:
            for shadow in self.held(value):
                use = shadow.product or next(reversed(self.uses.get(shadow.parameter, [])), None)
                if use is not None and not func._schema.is_mutable:
                    self.cast(shadow.parameter, results[0], shadow.of(value).expand(results[0].shape), use)

    def carry(self, name: str, func: OpOverload, args: tuple[Any, ...], given: list[Tensor], results: list[Tensor]) -> None:
        """Let positions follow an operation on parameters alone; where they cannot, the parameter is lost from sight."""
        if not results:
            return
        result = results[0]
        matrices = {each.parameter for value in given for each in self.pure(value) if self.is_matrix(each.parameter)}
        if name in ("mul", "div") and len(matrices) > 1:
            self.factors |= matrices
        at_places = torch.Tag.pointwise in func.tags or name in SAME_PLACES
        for value in given:
            for shadow in self.pure(value):
                if at_places or name == "clone":
                    self.cast(shadow.parameter, result, shadow.of(value).expand(result.shape))
                elif name in MOVES:
                    self.cast(shadow.parameter, result, self.moved(name, func, args, shadow.parameter))

    def is_matrix(self, parameter: str) -> bool:
        """Whether a parameter has more than one number a unit."""
        return sum(size > 1 for size in self.shapes[parameter]) > 1

    def moved(self, name: str, func: OpOverload, args: tuple[Any, ...], parameter: str) -> Tensor:
        """Positions of a parameter's entries after an operation that copies them, from positions before it."""

        def swapped(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(swapped(each) for each in value)
            if not _is_plain(value) or not (value.is_floating_point() or value.is_complex()):
                return value
            for shadow in self.pure(value):
                if shadow.parameter == parameter:
                    return shadow.of(value)
            return torch.full(value.shape, -1)

        if name == "copy":
            found: Tensor = swapped(args[1]).expand(args[0].shape)
        elif name == "constant_pad_nd":
            found = func(swapped(args[0]), args[1], -1)
        else:
            found = func(*(swapped(value) for value in args))
        return found


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized
