"""Reads from the type of a layer what shapes do not tell of its parameters: roles, fans, and where muP breaks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import prod

from torch import Tensor, nn

from hpo.families.own.entries import transposed_fan_in
from hpo.mup.roles import Evidence, Shape, TensorRole
from hpo.mup.uses import Use, evidence_of_uses
from windtunnel.torch._effective import is_in_by_out
from windtunnel.types.tensors import Role

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, *BATCH_NORMS, *INSTANCE_NORMS)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
ROW_BY_ROW = (nn.Linear, nn.RNNBase, nn.RNNCellBase)
"""Layers that store a matrix as [fan_out, fan_in]."""


Holders = list[tuple[nn.Module, str]]
"""The (layer, attribute) pairs that hold one parameter."""


def owners(module: nn.Module) -> dict[str, Holders]:
    """Parameter name -> every (layer, attribute) that holds it: more than one where weights are tied."""
    first: dict[int, str] = {}
    found: dict[str, Holders] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        path, _, attribute = name.rpartition(".")
        found.setdefault(known, []).append((module.get_submodule(path), attribute))
    return found


def evidence_of(low: Holders, high: Holders, seen: tuple[Collection[Use], Collection[Use]] = ((), ())) -> Evidence:
    """Evidence of a parameter's role from what forward does with it, else from the layers that hold it.

    Args:
        low: holders of the parameter at the base width.
        high: its holders at the delta width.
        seen: its uses in a forward pass at the base and at the delta width; empty: no pass was watched.
    """
    shapes = _shape(low), _shape(high)
    by_layer = _by_layers(low, high)
    by_use = evidence_of_uses(*seen, *shapes)
    if by_use is None:
        return by_layer
    layer, attribute = low[0]
    is_weight = attribute == "weight" and isinstance(layer, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED))
    if is_weight and {use.kind for use in seen[0]} == {"added"}:
        return by_layer  # another weight is added to it, as a low-rank one, before a layer's product takes the sum
    among = next((use.among for use in seen[0] if use.among is not None), None)
    if among is not None and not (len(low) > 1 and by_layer.role == "input"):
        return _within_a_product(by_layer, by_use, among, *shapes)
    if len(low) > 1 and by_layer.role == "input":
        return by_layer  # a table that is read again as a readout: one role, and a warning
    if by_layer.role == "vector" and by_use.role == "input" and set(by_use.fan_in or ()) == {1}:
        return by_layer
    same = by_layer.role is not None and by_layer.role == by_use.role
    return replace(by_use, why=by_layer.why) if same else by_use


def _within_a_product(by_layer: Evidence, by_use: Evidence, among: tuple[int, ...], base: Shape, delta: Shape) -> Evidence:
    """Evidence of a parameter that is multiplied with another one before activations are.

    The product alone does not tell which of the two takes the place of activations, as learned queries do. A layer's
    weight is summed over as the layer sums over it, in this product or together with the other, as a low-rank weight is.

    Args:
        by_layer: what the layer tells.
        by_use: what the product tells.
        among: dimensions that activations are summed over with the product.
        base: shape at the base width.
        delta: shape at the delta width.
    """
    if by_layer.over is not None and by_layer.over in (by_use.over, among):
        return by_layer
    grows = any(base[axis] != delta[axis] for axis in among)
    if (by_layer.over is None and not grows) or (by_layer.role is not None and by_layer.role == by_use.role):
        return by_use
    why = "it is multiplied with another parameter before activations are, which does not tell what it sums over"
    return Evidence(None, why, open=True, ask=True)


def _shape(holders: Holders) -> Shape:
    layer, attribute = holders[0]
    value = getattr(layer, attribute)
    assert isinstance(value, Tensor)
    return tuple(value.shape)


def _by_layers(holders: Holders, wide: Holders) -> Evidence:
    shape, grown = _shape(holders), _shape(wide)
    kinds = [type(layer).__name__ for layer, _ in holders]
    if len(holders) > 1 and any(isinstance(layer, EMBEDDINGS) for layer, _ in holders):
        return Evidence("input", f"tied: a table of {' and '.join(dict.fromkeys(kinds))}", fan_in=(1, 1))
    low, high = (
        {_use(layer, attribute, _shape([(layer, attribute)])) for layer, attribute in each} for each in (holders, wide)
    )
    if None in low or None in high:
        # A parameter that a module holds itself: [fan_out, fan_in] is the convention of torch's layers only.
        return Evidence(None, "tied" if len(holders) > 1 else kinds[0], open=True)
    found = evidence_of_uses(
        [use for use in low if use is not None], [use for use in high if use is not None], shape, grown
    )
    assert found is not None, "the layers are the same at both widths"
    return replace(found, why=_reason(*holders[0], found.why, grows=shape != grown))


def _reason(layer: nn.Module, attribute: str, why: str, *, grows: bool) -> str:
    """The reason for a role that a layer's type tells."""
    kind = type(layer).__name__
    if not grows:
        return kind
    if isinstance(layer, EMBEDDINGS):
        return f"table of {kind}: its rows are looked up"
    if isinstance(layer, NORMS):
        return f"{'gain' if attribute == 'weight' else 'bias'} of {kind}"
    if attribute in ("bias_k", "bias_v"):
        return f"{attribute} of {kind}"
    if attribute == "weight" and (isinstance(layer, TRANSPOSED) or is_in_by_out(layer)):
        return f"{why}: {attribute} of {kind}, stored as [fan_in, fan_out]"
    return why


def _use(layer: nn.Module, attribute: str, shape: Shape) -> Use | None:
    """Use of a parameter by the layer that holds it; None where its type does not tell."""
    if isinstance(layer, EMBEDDINGS):
        return Use("looked up")
    if isinstance(layer, (*NORMS, nn.PReLU)):
        return Use("scaled")
    if isinstance(layer, TRANSPOSED) and attribute == "weight":
        over = (0, *range(2, len(shape)))
        return Use("summed", transposed_fan_in(shape, layer.groups, layer.stride), over)
    if is_in_by_out(layer) and attribute == "weight":
        return Use("summed", shape[0], (0,))
    known = (*CONVOLUTIONS, *TRANSPOSED, *ROW_BY_ROW, nn.Bilinear, nn.MultiheadAttention)
    if isinstance(layer, known) or is_in_by_out(layer):
        is_bias = len(shape) < 2 or attribute in ("bias_k", "bias_v")
        return Use("added") if is_bias else Use("summed", prod(shape[1:]), tuple(range(1, len(shape))))
    return None


def weights_of_layers(holders: Mapping[str, Holders]) -> list[str]:
    """Names of the parameters that are matrices or windows of a layer whose type is known."""
    return [
        name
        for name, held in holders.items()
        for layer, attribute in held
        if (use := _use(layer, attribute, _shape([(layer, attribute)]))) is not None and use.kind == "summed"
    ]


def is_matrix(holders: Holders, row: TensorRole) -> bool:
    """Whether a parameter that does not grow is a weight that something is summed over, and no bias, gain or scale."""
    if row.summed is not None:
        return row.summed
    return "bias" not in holders[0][1] and sum(size > 1 for size in row.base) > 1


@dataclass(frozen=True)
class Pair:
    """A module at the base and at the delta width."""

    base: nn.Module
    delta: nn.Module


def is_norm(layer: nn.Module) -> bool:
    """True for torch's norms, and for classes that say in their name that they are one, such as ``LlamaRMSNorm``."""
    return isinstance(layer, NORMS) or type(layer).__name__.endswith(("LayerNorm", "RMSNorm"))


UNSEEN = (
    "Attention: shapes do not show what its logits are divided by. muP wants d_head, not sqrt(d_head); with the same "
    "d_head at every width the two differ by a constant, and with a growing one they do not transfer."
)
"""Warning that every module gets, for no check can see it."""


def warnings_of(pair: Pair, holders: Mapping[str, Holders], roles: Mapping[str, Role]) -> list[str]:
    """Warnings about what shapes cannot show, and about where muP is known to break."""
    found = [
        _head(name, low, pair.delta) for name, low in pair.base.named_modules() if isinstance(low, nn.MultiheadAttention)
    ]
    found = [sentence for sentence in found if sentence] or [UNSEEN]
    gains = [name for name, held in holders.items() if is_norm(held[0][0]) and held[0][1] == "weight"]
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
    return found


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
