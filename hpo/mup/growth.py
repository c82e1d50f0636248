"""Finds the proxy's counterpart of each target tensor, and how much larger the target tensor is. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from windtunnel.types.modules import place
from windtunnel.types.results import TensorFacts

BranchPart = Literal["outside", "inside", "end"]
"""Place of a tensor: outside of residual blocks, inside of a branch, or in the last layer of a branch."""

BRANCH_ENDS = ("second", "attention_out", "mlp_out", "o", "down")
"""Layers of a block whose output is added to the residual stream unchanged: a branch is linear in their weight."""


@dataclass(frozen=True)
class Growth:
    """Growth of a tensor's two fans since the base width, m_in and m_out, and of the number of blocks, m_L."""

    fan_in: float
    fan_out: float
    depth: float = 1.0


def growth_of(base: TensorFacts, target: TensorFacts) -> Growth:
    """Growth of both fans of one tensor from base to target.

    A tensor with one growing dimension may store it anywhere (a readout is [classes, width], an embedding table
    [tokens, width]): its role decides which fan grows. Where the fan-in of both is known, it decides.

    Raises:
        ValueError: more dimensions differ than the tensor's role allows (another number of features or classes).
    """
    ratios = [large / small for small, large in zip(base.shape, target.shape, strict=True)]
    known = base.fan_in is not None and target.fan_in is not None
    free = {"hidden": 2, "scalar": 0, "output": 2 if known else 1}.get(target.role, 1)
    moved = [index for index, ratio in enumerate(ratios) if ratio != 1]
    apart = any(index > 1 for index in moved) and len({ratios[index] for index in moved}) > 1
    odd = target.role == "hidden" and apart and not known
    if len(moved) > free or odd:
        raise ValueError(
            f"tensor {target.name!r} ({target.role}) has shape {list(base.shape)} in the proxy and {list(target.shape)} "
            f"in the target; at most {free} of its dimensions may differ: keep the number of features and classes"
        )
    if base.fan_in is not None and target.fan_in is not None:
        fan_in = target.fan_in / base.fan_in
        return Growth(fan_in=fan_in, fan_out=prod(ratios) / fan_in)
    match target.role:
        case "hidden" if any(index > 1 for index in moved):
            # The dimensions are stored in another order (such as heads first); both fans grow alike, or its role were open.
            return Growth(fan_in=ratios[moved[0]], fan_out=ratios[moved[0]])
        case "hidden":
            return Growth(fan_in=ratios[1], fan_out=ratios[0])
        case "output":
            return Growth(fan_in=prod(ratios), fan_out=1.0)
        case "input" | "vector":
            return Growth(fan_in=1.0, fan_out=prod(ratios))
        case "scalar":
            return Growth(fan_in=1.0, fan_out=1.0)


def counterparts(base: Sequence[TensorFacts], target: Sequence[TensorFacts]) -> dict[str, TensorFacts]:
    """Name of each target tensor -> the proxy's tensor whose values it takes.

    The counterpart has the same name. For a layer or block beyond the proxy's depth (``layers.5.weight``,
    ``blocks.5.qkv.weight``) it is the same tensor of the proxy's last layer or block.

    Raises:
        ValueError: a target tensor has no counterpart, or its counterpart has another role or rank.
    """
    known = {fact.name: fact for fact in base}
    last: dict[str, int] = {}
    for fact in base:
        if (found_place := _place(fact.name)) is not None:
            stack, index = found_place
            last[stack] = max(index, last.get(stack, 0))
    pairs: dict[str, TensorFacts] = {}
    for fact in target:
        name = fact.name
        if (found_place := _place(name)) is not None:
            stack, index = found_place
            if index > last.get(stack, index):
                name = name.replace(f"{stack}.{index}.", f"{stack}.{last[stack]}.", 1)
        name = name if name in known else _last_alike(fact, base)
        if name not in known:
            raise ValueError(f"the proxy has no tensor for {fact.name!r} of the target; it has: {', '.join(known)}")
        found = known[name]
        if found.role != fact.role or len(found.shape) != len(fact.shape):
            raise ValueError(
                f"tensor {fact.name!r} is {fact.role} of shape {list(fact.shape)} in the target, but {found.name!r} "
                f"is {found.role} of shape {list(found.shape)} in the proxy; a proxy of depth 1 has no hidden matrix "
                f"to copy from"
            )
        pairs[fact.name] = found
    return pairs


def _last_alike(fact: TensorFacts, base: Sequence[TensorFacts]) -> str:
    """Name of the base tensor in the same place of the last layer of the same list, for a user's module.

    The target tensor's own name if there is no such tensor.
    """
    found = place(fact.name)
    alike = [
        (where[1], other.name)
        for other in base
        if found is not None
        and (where := place(other.name)) is not None
        and (where[0], where[2], other.role, len(other.shape)) == (found[0], found[2], fact.role, len(fact.shape))
    ]
    return max(alike)[1] if alike else fact.name


def branch_part(name: str) -> BranchPart:
    """Place of a tensor in a residual block, by its name: ``blocks.3.mlp_out.weight`` is at the end of a branch."""
    where = _place(name)
    if where is None or where[0] != "blocks":
        return "outside"
    return "end" if name.split(".")[2] in BRANCH_ENDS else "inside"


def depth_growth(base: Sequence[TensorFacts], target: Sequence[TensorFacts]) -> float:
    """Ratio m_L of the numbers of residual blocks, target over base; 1 if the base has none."""
    base_blocks, target_blocks = (len({block for fact in facts if (block := _block(fact))}) for facts in (base, target))
    return target_blocks / base_blocks if base_blocks else 1.0


def _block(fact: TensorFacts) -> tuple[str, int] | None:
    """("blocks", index) of the residual block that holds the tensor; None outside of blocks."""
    return None if branch_part(fact.name) == "outside" else _place(fact.name)


def _place(name: str) -> tuple[str, int] | None:
    """("layers", 3) for ``layers.3.weight``; None for a tensor outside of a stack of layers or blocks."""
    stack, _, rest = name.partition(".")
    index, _, inside = rest.partition(".")
    return (stack, int(index)) if stack in ("layers", "blocks") and index.isdigit() and inside else None
