"""Positions of the entries of parameters during a forward pass, and what torch's operations do to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from hpo.mup.uses import UseKind

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

NORMALISES = (
    "native_layer_norm",
    "native_group_norm",
    "native_batch_norm",
    "_fused_rms_norm",
    "_native_batch_norm_legit",
    "_prelu_kernel",
)
"""Operations that multiply activations, their first argument, by the others."""

TABLES = ("embedding", "_embedding_bag", "_embedding_bag_forward_only")
"""Operations that look rows up."""

PICKS = ("index", "index_select", "gather", "take")
"""Operations that pick entries: rows of a table if activations say which, or one of several matrices."""

ADDS = ("add", "sub", "rsub", "where", "masked_fill", "copy", "cat", "stack", "index_put", "scatter", "lift_fresh")
"""Operations in which parameters that meet activations are added to them or put among them."""

MOVES = ("cat", "stack", "repeat", "roll", "flip", "constant_pad_nd", "index", "index_select", "gather", "copy")
"""Operations that copy entries to other places, and can be done to positions as to entries."""

SAME_PLACES = ("_to_copy", "tril", "triu", "_weight_norm_interface")
"""Operations whose result has, at each place, a function of the entry at that place, beside those that torch tags so."""


@dataclass
class Seen:
    """A use that a later operation may still turn into another: a product becomes a sum when it is summed."""

    kind: UseKind
    fan_in: int = 1
    over: tuple[int, ...] = ()
    repeats: bool = False
    """Whether sums share entries, or one has an entry twice."""


@dataclass(frozen=True)
class Shadow:
    """Positions, in its parameter, of the entries that a storage holds."""

    parameter: str
    positions: Tensor
    """[entries of the storage]; -1 where there is no entry of the parameter."""
    bytes: int
    """Bytes of one entry; a view as another type has other entries."""
    product: Seen | None = None
    """The use to amend, where the storage holds activations times the parameter; None: it holds the parameter alone."""

    def of(self, value: Tensor) -> Tensor:
        """Positions of the entries of a tensor on that storage, in its shape."""
        return self.positions.as_strided(value.shape, value.stride(), value.storage_offset())


def transposed_fan_in(shape: Sequence[int], groups: int, stride: Sequence[int]) -> int:
    """Numbers that one output of a transposed convolution sums over: at most one of ``stride`` window entries reaches it.

    Args:
        shape: shape of the weight, [in, out / groups, *window].
        groups: groups of the channels.
        stride: stride along each axis of the window.
    """
    return shape[0] // groups * prod(-(-window // step) for window, step in zip(shape[2:], stride, strict=True))


def repeats(positions: Tensor) -> bool:
    """Whether different sums [outputs, ..., terms] share entries of a parameter, or one of them has an entry twice.

    So it is in a circulant matrix and in a Kronecker product: the number of terms is not the fan-in of the parameter then.
    """
    sums = positions.reshape(-1, positions.shape[-1])
    keys = torch.randint(2**62, (sums.shape[1],), generator=torch.Generator().manual_seed(0))
    # Equal sums, as of a matrix that is expanded over a batch, are one; the products wrap around.
    _, same = torch.unique((sums * keys).sum(1), return_inverse=True)
    first = torch.zeros(int(same.max()) + 1, dtype=torch.long).scatter_(0, same, torch.arange(len(same)))
    entries = sums[first]
    entries = entries[entries >= 0]
    used = torch.zeros(int(entries.max()) + 1 if len(entries) else 0, dtype=torch.bool)
    used[entries] = True
    return len(entries) > int(used.sum())


def varies(positions: Tensor, axes: tuple[int, ...]) -> bool:
    """True if a sum over these axes adds up different entries."""
    first = positions
    for axis in axes:
        first = first.narrow(axis, 0, 1)
    return bool((first != positions).any())
