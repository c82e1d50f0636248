"""Assumptions of the tables and rules of transfer, in sentences: width, decay, clipping, depth. Imports no torch."""

from windtunnel.types.model import ModelSpec
from windtunnel.types.plans import Assumption
from windtunnel.types.powers import ONE, Power
from windtunnel.types.spec import JobSpec
from windtunnel.types.transfer import DecayRule, Parametrization

_LARGE = "both widths are large enough for averages over units to be close to their limits"
WIDTHS: dict[Parametrization, str] = {
    "mup": _LARGE,
    "u-mup": f"{_LARGE}; the table is muP's with the scale in forward multipliers, and under Adam it slows embeddings down "
    "as width^-1/2",
    "spectral": f"{_LARGE}; the table is muP's without forward multipliers",
    "ntk": f"{_LARGE}, which are those of a kernel: the wider the model, the less its layers learn",
    "standard": "none: under the standard parametrization values are copied, and their optimum moves with the width",
}
"""Parametrization -> assumption of its table about the width."""

CLIPPING: dict[Parametrization, str] = {
    "mup": "the global gradient norm tends to a limit as the width grows, and the same share of steps is clipped",
    "u-mup": "none that holds: gradients of stored hidden weights are smaller by sqrt(m) than under muP, and fewer steps "
    "are clipped as the width grows",
    "spectral": "none that holds: without a multiplier the readout's gradient grows as sqrt(m), and more steps are clipped "
    "as the width grows",
    "ntk": "the global gradient norm, that of the readout, tends to a limit as the width grows",
    "standard": "none: the global gradient norm grows with the width",
}
"""Parametrization -> assumption behind copying the clip threshold."""

SHRINKAGE: dict[DecayRule, str] = {
    "independent": "the shrinkage of a step is the same at every width",
    "sqrt": "the shrinkage of a step falls as 1 / sqrt(m) for hidden matrices, and stays the same for all others",
    "none": "lambda is copied as torch.optim.AdamW takes it, and the shrinkage of a step goes with the learning rate",
}
"""Decay rule -> quantity that it keeps constant, in words."""

CONVENTIONS = {
    "decoupled": "w <- w - s * lr * lambda * w at schedule multiplier s",
    "independent": "w <- w - s * lambda * w at schedule multiplier s",
    "l2": "lambda * w is added to the gradient after clipping, a step shrinks by lr * lambda * w",
}
"""Decay kind -> formula of the step in which lambda acts."""


def decay_formula(spec: JobSpec) -> str:
    """Convention and rule of the weight decay, in words."""
    return f"{CONVENTIONS[spec.optimizer.decay_kind]}: {SHRINKAGE[spec.transfer.decay_rule]}"


def penalty_formula(spec: JobSpec) -> str:
    """Convention and rule of an L2 penalty, in words."""
    return f"lambda / 2 |w|^2 in the loss, a step shrinks by lr * lambda * w: {SHRINKAGE[spec.transfer.decay_rule]}"


def depth_premise(spec: JobSpec, depth: int) -> Assumption:
    """The assumption behind carrying values to a target of ``depth`` layers or blocks, more than the proxy's."""
    layer, layers = spec.model.info.layer, spec.model.layers
    formula = f"every added {layer} takes the values of the last one of its stack"
    if layers:
        formula = f"every {layer.split()[-1]} beyond {layers[-1]} takes the values of {layers[-1]}"
    wanted = f"an added {layer} wants what the proxy's last {layer} wants"
    alpha = spec.depth_exponent
    if alpha is not None:
        branch, eps = Power(depth=-alpha), Power(depth=-alpha).formula("eps")
        rate = Power(depth=alpha - 1)
        rates = "" if rate == ONE else f", {rate.formula('eta')} in blocks"
        formula = (
            f"x + {branch.formula('branch(x)')}{rates}, {eps} in blocks, m_L = {depth / spec.model.depth:g}; {formula}"
        )
        wanted = f"both depths are large enough for sums over blocks to be close to their limits; {wanted}"
    return Assumption(quantity="depth", value=depth, formula=formula, assumption=wanted)


def beyond_the_table(spec: JobSpec, target: ModelSpec, *, clips: bool) -> list[str]:
    """Sentences on the limits of the parametrization at the target's width; [] at the proxy's own width.

    Args:
        spec: the job.
        target: the large model.
        clips: whether the gradient is clipped by its global norm.
    """
    if target.width == spec.model.width:
        return []
    found: list[str] = []
    if spec.parametrization == "ntk":
        found.append(
            "Features: under parametrization 'ntk' what a layer puts out changes in training by as little as width^-1/2. A "
            "large model is a kernel method: it learns with its readout, not features. Use 'mup' for layers that learn."
        )
    if spec.parametrization == "u-mup" and spec.optimizer.info.normalises:
        found.append(
            "Embeddings: u-muP lets their learning rate fall as width^-1/2, which its authors observed to transfer better "
            "for language; by theory they learn the less the wider the model is. Use 'mup' to keep their rate."
        )
    if clips and spec.parametrization in ("u-mup", "spectral"):
        found.append(
            f"Clipping: the threshold is copied, but under parametrization {spec.parametrization!r} the global gradient "
            "norm goes with the width. Use 'mup', or switch clipping off."
        )
    if spec.model.info.embeds and any(item.name == "weight_decay" and item.scope == "global" for item in spec.search):
        found.append(
            "Decay: one weight decay was tuned for all matrices. The embedding and the readout of a transformer want far "
            "less of it than the matrices between, and where the two wishes balance moves with the width: carried from "
            "narrow proxies, such a decay was ten times too large. Search weight_decay with scope 'role'."
        )
    return found


RULE_NAMES = {1.0: "CompleteP", 0.5: "depth-muP"}
"""Exponent alpha -> name of its depth rule."""


def deeper(spec: JobSpec, depth: int) -> str:
    """A sentence on the limits of the rules at the added depth."""
    proxy, info, alpha = spec.model, spec.model.info, spec.depth_exponent
    if alpha is None:
        return f"Depth: the rules are for width. {info.deeper.format(proxy=proxy.depth, target=depth)}"
    lazy = "" if alpha == 1 else " Below alpha 1 the layers of deep models move less and less against their initial values."
    factor = Power(depth=-alpha).formula("1")
    return (
        f"Depth: {RULE_NAMES.get(alpha, 'CompleteP')}. From {proxy.depth} to {depth} residual blocks each branch is "
        f"multiplied by {factor}; that is {info.completep}. No coordinate check over depth was made.{lazy}"
    )
