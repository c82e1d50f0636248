"""Watches one forward pass and tells how each parameter is used, and how many of its numbers one output sums over."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    return {name: frozenset(Use(use.kind, use.fan_in) for use in found) for name, found in watch.uses.items()}


@dataclass
class _Seen:
    """A use that a later operation may still turn into another: a product becomes a sum when it is summed."""

    kind: UseKind
    fan_in: int = 1


@dataclass(frozen=True)
class _Shadow:
    """Positions, in its parameter, of the entries that a storage holds."""

    parameter: str
    positions: Tensor
    """[entries of the storage]; -1 where there is no entry of the parameter."""
    product: _Seen | None = None
    """The use to amend, where the storage holds activations times the parameter; None: it holds the parameter alone."""

    def of(self, value: Tensor) -> Tensor:
        """Positions of the entries of a tensor on that storage, in its shape."""
        return self.positions.as_strided(value.shape, value.stride(), value.storage_offset())


SUMMED_AXES: Mapping[str, Sequence[tuple[int, ...]]] = {
    "mm": ((1,), (0,)),
    "bmm": ((2,), (1,)),
    "mv": ((1,), (0,)),
    "dot": ((0,), (0,)),
    "vdot": ((0,), (0,)),
    "addmm": ((), (1,), (0,)),
    "_addmm_activation": ((), (1,), (0,)),
    "baddbmm": ((), (2,), (1,)),
    "addbmm": ((), (0, 2), (0, 1)),
    "addmv": ((), (1,), (0,)),
    "_grouped_mm": ((1,), (-2,)),
    "linear": ((-1,), (-1,)),
}
"""Products -> the axes of each operand that they sum over; of an operand that is added, none."""

NORMALISES = ("native_layer_norm", "native_group_norm", "native_batch_norm", "_fused_rms_norm", "_native_batch_norm_legit")
LOOKS_UP = ("embedding", "_embedding_bag", "_embedding_bag_forward_only", "index", "index_select", "gather", "take")
ADDS = ("add", "sub", "rsub", "where", "masked_fill", "copy", "cat", "stack", "index_put", "scatter", "lift_fresh")
"""Operations in which parameters that meet activations are added to them or put among them."""

MOVES = ("cat", "stack", "repeat", "roll", "flip", "constant_pad_nd", "index", "index_select", "gather", "copy")
"""Operations that copy entries to other places, and can be done to positions as to entries."""

SAME_PLACES = ("_to_copy", "tril", "triu", "_weight_norm_interface")
"""Operations whose result has, at each place, a function of the entry at that place, beside those that torch tags so."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of torch below automatic differentiation."""

    def __init__(self, module: nn.Module, weights: frozenset[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = weights
        self.uses: dict[str, list[_Seen]] = {}
        self.live: set[int] = set()
        self.shadows: dict[int, list[_Shadow]] = {}
        self.kept: list[Tensor] = []
        for name, parameter in module.named_parameters():
            self.cast(name, parameter, torch.arange(parameter.numel()).view(parameter.shape))

    def place(self, value: Tensor) -> int:
        """Key of the storage that holds a tensor, which is kept so that no other takes its place."""
        self.kept.append(value)
        return int(value.untyped_storage()._cdata)

    def cast(self, name: str, value: Tensor, positions: Tensor, product: _Seen | None = None) -> None:
        """Note that a tensor holds the entries of a parameter at these positions."""
        if value.numel() == 0:
            return
        before = [shadow.positions for shadow in self.pure(value) if shadow.parameter == name]
        entries = value.untyped_storage().nbytes() // value.element_size()
        flat = before[0].clone() if before else torch.full((entries,), -1)
        flat.as_strided(value.shape, value.stride(), value.storage_offset()).copy_(positions)
        kept = [shadow for shadow in self.shadows.get(self.place(value), []) if shadow.parameter != name]
        self.shadows[self.place(value)] = [*kept, _Shadow(name, flat, product)]

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
        """Note what one operation did."""
        places = [self.place(value) for value in given]
        held = [self.shadows.get(place, []) for place in places]
        is_live = any(place in self.live for place in places)
        name = func.overloadpacket.__name__
        name = name if name.startswith("_") and name.endswith("__") else name.rstrip("_") or name
        is_view = not func._schema.is_mutable and all(self.place(value) in places for value in results)
        if is_view:
            return
        if not any(held):
            if is_live:
                self.live.update(map(self.place, results))
            return
        if name == "sum":
            self.sum(given[0], args)
        if any(shadow.product is not None for shadows in held for shadow in shadows):
            is_live = True
        if name in SUMMED_AXES:
            self.contract(given, SUMMED_AXES[name])
        elif name == "convolution":
            self.convolve(given, args)
        elif name == "_trilinear":
            self.trilinear(given, args)
        elif name in NORMALISES or name == "_prelu_kernel":
            self.note(given[:1], "added")
            self.note(given[1:], "scaled")
        elif name in LOOKS_UP and (name.startswith(("emb", "_emb")) or self.place(given[-1]) in self.live):
            self.note(given[:1], "looked up")
            self.note(given[1:], "added")
        elif is_live:
            self.meet(name, func, given, results)
            return
        else:
            self.carry(name, func, args, given, results)
            return
        self.live.update(map(self.place, results))

    def pure(self, value: Tensor) -> list[_Shadow]:
        """Shadows of a tensor that holds entries of parameters alone."""
        return [shadow for shadow in self.shadows.get(self.place(value), []) if shadow.product is None]

    def note(self, values: Sequence[Tensor], kind: UseKind) -> None:
        """Note a use of all parameters that these tensors hold."""
        for value in values:
            for shadow in self.pure(value):
                if (shadow.of(value) >= 0).any():
                    self.uses.setdefault(shadow.parameter, []).append(_Seen(kind))

    def contract(self, operands: Sequence[Tensor], axes: Sequence[tuple[int, ...]]) -> None:
        """Note a product that sums over these axes of its operands."""
        pairs = list(zip(operands, axes, strict=False))
        factors = [value for value, summed in pairs if summed]
        both = all(self.pure(value) for value in factors)
        for value, summed in pairs:
            if not summed:
                self.note([value], "added")
                continue
            shadows = self.pure(value)
            if both and not any(shadow.parameter in self.weights for shadow in shadows):
                # Of two parameters that are multiplied with each other, one is the weight and one takes activations' place.
                other = [each for each in factors if each is not value]
                if any(shadow.parameter in self.weights for each in other for shadow in self.pure(each)):
                    self.note([value], "added")
                continue
            self.summed(value, summed, prod(value.shape[axis] for axis in summed))

    def summed(self, value: Tensor, axes: tuple[int, ...], terms: int) -> None:
        """Note a sum over axes of a tensor, of so many terms."""
        for shadow in self.pure(value):
            positions = shadow.of(value)
            if not (positions >= 0).any():
                continue
            use = _Seen("summed", terms) if _varies(positions, axes) or terms == 1 else _Seen("scaled")
            self.uses.setdefault(shadow.parameter, []).append(use)

    def convolve(self, given: list[Tensor], args: tuple[Any, ...]) -> None:
        """Note a convolution; one output of a transposed one sums over the window's entries that its stride leaves it."""
        weight, stride, is_transposed, groups = given[1], args[3], args[6], args[8]
        self.note(given[:1], "added")
        self.note(given[2:], "added")
        terms = prod(weight.shape[1:])
        if is_transposed:
            terms = transposed_fan_in(weight.shape, groups, stride)
        for shadow in self.pure(weight):
            self.uses.setdefault(shadow.parameter, []).append(_Seen("summed", terms))

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
                self.uses.setdefault(shadow.parameter, []).append(_Seen("summed", prod(sizes[axis] for axis in args[6])))

    def sum(self, value: Tensor, args: tuple[Any, ...]) -> None:
        """Turn products of a parameter and activations into sums, where they are summed over entries of the parameter."""
        given = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else []
        axes = tuple(given) or tuple(range(value.dim()))
        for shadow in self.shadows.get(self.place(value), []):
            if shadow.product is not None and _varies(shadow.of(value), axes):
                shadow.product.kind, shadow.product.fan_in = "summed", prod(value.shape[axis] for axis in axes)

    def meet(self, name: str, func: OpOverload, given: list[Tensor], results: list[Tensor]) -> None:
        """Note an operation in which parameters meet activations."""
        self.live.update(map(self.place, results))
        self.note(given, "added" if name in ADDS else "scaled")
        if name not in ("mul", "div") or len(results) != 1:
            return
        for value in given:
            for shadow in self.shadows.get(self.place(value), []):
                use = shadow.product or next(reversed(self.uses.get(shadow.parameter, [])), None)
                if use is not None and not func._schema.is_mutable:
                    self.cast(shadow.parameter, results[0], shadow.of(value).expand(results[0].shape), use)

    def carry(self, name: str, func: OpOverload, args: tuple[Any, ...], given: list[Tensor], results: list[Tensor]) -> None:
        """Let positions follow an operation on parameters alone; where they cannot, the parameter is lost from sight."""
        if not results:
            return
        result = results[0]
        at_places = torch.Tag.pointwise in func.tags or name in SAME_PLACES
        for value in given:
            for shadow in self.pure(value):
                if at_places or name == "clone":
                    self.cast(shadow.parameter, result, shadow.of(value).expand(result.shape))
                elif name in MOVES:
                    self.cast(shadow.parameter, result, self.moved(name, func, args, shadow.parameter))

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


def transposed_fan_in(shape: Sequence[int], groups: int, stride: Sequence[int]) -> int:
    """Numbers that one output of a transposed convolution sums over: at most one of ``stride`` window entries reaches it.

    Args:
        shape: shape of the weight, [in, out / groups, *window].
        groups: groups of the channels.
        stride: stride along each axis of the window.
    """
    return shape[0] // groups * prod(-(-window // step) for window, step in zip(shape[2:], stride, strict=True))


def _varies(positions: Tensor, axes: tuple[int, ...]) -> bool:
    """True if a sum over these axes adds up different entries."""
    first = positions
    for axis in axes:
        first = first.narrow(axis, 0, 1)
    return bool((first != positions).any())


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized
