"""Reads from the type of a layer what shapes do not tell of its parameters: roles, fans, and where muP breaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from hpo.mup.roles import Evidence
from windtunnel.types.modules import Role

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, *BATCH_NORMS, *INSTANCE_NORMS)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
ROW_BY_ROW = (nn.Linear, nn.RNNBase, nn.RNNCellBase)
"""Layers that store a matrix as [fan_out, fan_in]."""


def owners(module: nn.Module) -> dict[str, list[tuple[nn.Module, str]]]:
    """Parameter name -> every (layer, attribute) that holds it: more than one where weights are tied."""
    first: dict[int, str] = {}
    found: dict[str, list[tuple[nn.Module, str]]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        path, _, attribute = name.rpartition(".")
        found.setdefault(known, []).append((module.get_submodule(path), attribute))
    return found


def evidence_of(holders: list[tuple[nn.Module, str]], parameter: Tensor, grown: Tensor) -> Evidence:
    """Evidence of a parameter's role from the layers that hold it.

    Args:
        holders: (layer, attribute) pairs that hold the parameter.
        parameter: the parameter at the base width.
        grown: the parameter at the delta width.
    """
    told = [_evidence(layer, attribute, parameter, grown) for layer, attribute in holders]
    kinds = [type(layer).__name__ for layer, _ in holders]
    if len(holders) > 1 and any(isinstance(layer, EMBEDDINGS) for layer, _ in holders):
        return Evidence("input", f"tied: a table of {' and '.join(dict.fromkeys(kinds))}")
    if len({evidence.role for evidence in told}) > 1:
        return Evidence(None, "tied", open=True)
    return told[0]


def _evidence(layer: nn.Module, attribute: str, parameter: Tensor, grown: Tensor) -> Evidence:
    kind = type(layer).__name__
    moved = [index for index, (low, high) in enumerate(zip(parameter.shape, grown.shape, strict=False)) if low != high]
    role: Role | None = None
    why, is_open = kind, False
    if not moved:
        return Evidence(None, kind)
    if isinstance(layer, EMBEDDINGS):
        role, why, is_open = "input" if moved == [1] else None, f"table of {kind}: its rows are looked up", True
    elif isinstance(layer, NORMS):
        role, why = "vector", f"{'gain' if attribute == 'weight' else 'bias'} of {kind}"
    elif isinstance(layer, nn.MultiheadAttention) and attribute in ("bias_k", "bias_v"):
        role, why = "vector", f"{attribute} of {kind}"
    elif isinstance(layer, TRANSPOSED) and attribute == "weight" and len(moved) == 1:
        role = "output" if moved == [0] else "input"
        why = f"weight of {kind}, stored as [fan_in, fan_out, window]"
    elif not isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED, *ROW_BY_ROW, nn.Bilinear, nn.MultiheadAttention, nn.PReLU)):
        # A parameter that a module holds itself: [fan_out, fan_in] is the convention of torch's layers only.
        is_open = True
    return Evidence(role, why, is_open)


def fan_in(holders: list[tuple[nn.Module, str]], parameter: Tensor, role: Role) -> int | None:
    """Numbers that one output of the parameter sums over; None where the layer's type does not tell.

    A convolution counts its window, a table has 1 for its rows are looked up.
    """
    layer, _ = holders[0]
    shape = parameter.shape
    if role in ("vector", "scalar") or parameter.dim() < 2:
        return 1
    if isinstance(layer, EMBEDDINGS):
        return 1
    if isinstance(layer, TRANSPOSED):
        return shape[0] // layer.groups * prod(shape[2:])
    if isinstance(layer, (*CONVOLUTIONS, *ROW_BY_ROW, nn.MultiheadAttention)):
        return prod(shape[1:])
    return shape[1] if parameter.dim() == 2 and role == "hidden" else None


def is_matrix(holders: list[tuple[nn.Module, str]], parameter: Tensor) -> bool:
    """Whether a parameter that does not grow is a weight that sums something, and no bias, gain or temperature."""
    layer, attribute = holders[0]
    if parameter.dim() < 2 or isinstance(layer, NORMS) or "bias" in attribute:
        return False
    known = fan_in(holders, parameter, "input") is not None
    return known or sum(size > 1 for size in parameter.shape) > 1


@dataclass(frozen=True)
class Pair:
    """A module at the base and at the delta width."""

    base: nn.Module
    delta: nn.Module


UNSEEN = (
    "Attention: shapes do not show what its logits are divided by. muP wants d_head, not sqrt(d_head); with the same "
    "d_head at every width the two differ by a constant, and with a growing one they do not transfer."
)
"""Warning that every module gets, for no check can see it."""


def warnings_of(pair: Pair, holders: Mapping[str, list[tuple[nn.Module, str]]], roles: Mapping[str, Role]) -> list[str]:
    """Warnings about what shapes cannot show, and about where muP is known to break."""
    found = [
        _head(name, low, pair.delta) for name, low in pair.base.named_modules() if isinstance(low, nn.MultiheadAttention)
    ]
    found = [sentence for sentence in found if sentence] or [UNSEEN]
    gains = [name for name, held in holders.items() if isinstance(held[0][0], NORMS) and held[0][1] == "weight"]
    if gains:
        found.append(
            f"Trainable norm gains ({_some(gains)}) can break the transfer over widths: elementwise_affine=False or "
            "affine=False leaves them out."
        )
    if "output" not in roles.values() and not any(len(held) > 1 for held in holders.values()):
        found.append(
            "No tensor is a readout. Where a table is read as one without a layer of its own (F.linear(x, table.weight)), "
            "shapes cannot show it: multiply the logits by base width / width in the module, or give it an nn.Linear."
        )
    tied = [name for name, held in holders.items() if len(held) > 1]
    for name in tied:
        if any(isinstance(layer, EMBEDDINGS) for layer, _ in holders[name]):
            found.append(
                f"{name} is tied: it is an input, and as a readout it has no multiplier of its own. The module itself must "
                "multiply the logits by base width / width, or they grow with the width."
            )
        else:
            found.append(f"{name} is tied: one rule and one learning rate serve all of its uses.")
    batch = [
        name for name, layer in pair.base.named_modules() if isinstance(layer, BATCH_NORMS) and layer.track_running_stats
    ]
    if batch:
        found.append(
            f"BatchNorm ({_some(batch)}) keeps running statistics, which a population cannot train: take GroupNorm or "
            "LayerNorm."
        )
    changed = [name for name in holders if ".parametrizations." in f".{name}" or name.endswith((".weight_g", ".weight_v"))]
    if changed:
        found.append(f"Reparametrised weights ({_some(changed)}): the rules are for the weight, not for its parts.")
    loose = [name for name, role in roles.items() if role == "output" and not isinstance(holders[name][0][0], LAYERS)]
    if loose:
        found.append(
            f"Readouts outside of a layer ({_some(loose)}): windtunnel.torch cannot attach their multiplier; make each the "
            "weight of an nn.Linear."
        )
    return found


LAYERS = (nn.Linear, *CONVOLUTIONS)


def _head(name: str, low: nn.MultiheadAttention, wide: nn.Module) -> str:
    high = wide.get_submodule(name)
    assert isinstance(high, nn.MultiheadAttention)
    if low.head_dim == high.head_dim:
        return (
            f"{name} divides its logits by sqrt(d_head) with d_head {low.head_dim} at both widths: a constant factor away "
            "from muP's 1 / d_head, which does no harm while heads are added and d_head stays."
        )
    return (
        f"{name} has d_head {low.head_dim} at base and {high.head_dim} at delta and divides its logits by its root: they "
        "grow with the width under muP. Keep embed_dim / num_heads fixed: num_heads = width // d_head."
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
