"""Hyperparameters that act inside the forward pass, and the randomness they need.

A dial that is absent is off. The noise is drawn outside, so that a forward pass is a function of its arguments alone, and
differentiable in the dials with the noise held fixed.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from torch import Tensor

from hpo.families.shifting import shifted

Dials = Mapping[str, Tensor]
"""Name -> 0-dim tensor; ``dropout`` has a value for each hidden layer or block, [layers]. A regulariser may have one for
each example, [batch] or [batch, layers]."""
Noise = Mapping[str, Tensor]
"""``shift``, ``input`` and ``dropout.<place>`` -> standard normal values."""
NO_DIALS: Dials = MappingProxyType({})
NO_NOISE: Noise = MappingProxyType({})


def branch_noise(shape: tuple[int, ...], blocks: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the noise of a decoder: ``input``, ``dropout.blocks.i.attention`` and ``dropout.blocks.i.mlp``.

    Args:
        shape: shape of the residual stream, [batch, context, width].
        blocks: number of blocks.
        dials: names of the dials that are on.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if "input_noise" in dials:
        shapes["input"] = shape
    if "dropout" in dials:
        branches = [(index, branch) for index in range(blocks) for branch in ("attention", "mlp")]
        shapes |= {f"dropout.blocks.{index}.{branch}": shape for index, branch in branches}
    return shapes


def gaussian_dropout(hidden: Tensor, rate: Tensor, noise: Tensor) -> Tensor:
    """``hidden * (1 + sqrt(p / (1 - p)) * eps)``: multiplicative noise with the mean and variance of dropout at rate p.

    Bernoulli dropout multiplies by 0 or 1 / (1 - p), which has mean 1 and variance p / (1 - p), and no derivative in p
    (Srivastava et al. 2014, section 10). The square root has no derivative at p = 0.

    Args:
        hidden: any shape.
        rate: p in (0, 1); 0-dim, or one for each example, [batch].
        noise: standard normal, of hidden's shape.
    """
    rate = spread(rate, hidden)
    return hidden * (1 + (rate / (1 - rate)).sqrt() * noise)


def add_noise(inputs: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """``inputs + sigma * eps``, with noise of the inputs' shape."""
    return inputs + spread(deviation, inputs) * noise


def spread(dial: Tensor, hidden: Tensor) -> Tensor:
    """A dial of each example, [batch], in a shape that goes with its hidden values; any other as it is."""
    return dial.view(-1, *[1] * (hidden.dim() - 1)) if dial.dim() == 1 else dial


def noisy(inputs: Tensor, dials: Dials, noise: Noise) -> Tensor:
    """The inputs under the dial ``input_noise``, and as they are without it."""
    return add_noise(inputs, dials["input_noise"], noise["input"]) if "input_noise" in dials else inputs


def augmented(inputs: Tensor, image: tuple[int, int, int] | None, dials: Dials, noise: Noise) -> Tensor:
    """Flattened images under the dial ``augmentation``, and as they are without it."""
    if "augmentation" not in dials or image is None:
        return inputs
    return shifted(inputs, image, dials["augmentation"], noise["shift"])


def dropped(hidden: Tensor, layer: int, place: str, dials: Dials, noise: Noise) -> Tensor:
    """Hidden values at one place of a layer under the dial ``dropout``, and as they are without it."""
    if "dropout" not in dials:
        return hidden
    return gaussian_dropout(hidden, dials["dropout"][..., layer], noise[f"dropout.{place}"])


def check_dials(dials: Dials, allowed: tuple[str, ...]) -> None:
    """Raise ValueError on a dial that a family does not have: it would be ignored."""
    unknown = sorted(set(dials) - set(allowed))
    if unknown:
        raise ValueError(f"no dial {', '.join(map(repr, unknown))} in this family; allowed: {', '.join(allowed)}")
