"""Muon's facts: its options, the adjustments of its rate to the shape of a matrix, its law of transfer, its optax text.

A step of a hidden matrix [A, B] is ``lr adjust(A, B) U V^T``, whose singular values are all about ``lr adjust(A, B)``.
Under muP the change that a step makes has spectral norm sqrt(m_out / m_in) (Yang, Simon & Bernstein 2023, condition 1), so

    adjustment        factor                rate of a hidden matrix, fans that grow alike
    original          sqrt(max(1, A / B))   eta
    spectral          sqrt(A / B)           eta
    match_rms_adamw   .2 sqrt(max(A, B))    eta / sqrt(m)

A convolution [A, in, height, width] is the matrix [A, in * height * width]; a window does not grow, so the law is the same.
Tensors of all other roles move by AdamW and have its law.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt

from windtunnel.types.optimizers.info import OptionName, Options, OptionValue, RateLaw, RateLaws
from windtunnel.types.powers import Power
from windtunnel.types.tensors import Role

MATRICES: frozenset[Role] = frozenset({"hidden"})
"""Roles of the tensors that move by an orthogonalised momentum."""


@dataclass(frozen=True)
class Adjustment:
    """Factor on the rate of a matrix, by its shape."""

    factor: Callable[[int, int], float]
    """(rows A, columns B) -> factor."""
    growth: Power
    """Power law of the factor where both fans grow alike, written in the fan that leaves the shorter law."""


ADJUSTMENTS: Mapping[str, Adjustment] = {
    "match_rms_adamw": Adjustment(
        lambda rows, columns: 0.2 * sqrt(max(rows, columns)),
        Power(fan_out=0.5),
    ),
    "original": Adjustment(
        lambda rows, columns: sqrt(max(1.0, rows / columns)),
        Power(fan_in=-0.5, fan_out=0.5),
    ),
    "spectral": Adjustment(
        lambda rows, columns: sqrt(rows / columns),
        Power(fan_in=-0.5, fan_out=0.5),
    ),
}
"""Name of an adjustment -> its factor. ``match_rms_adamw`` gives a matrix updates as large as AdamW's, so that one rate
serves both parts of the model (Liu et al. 2025, section 2.2); ``original`` is torch's default."""

OPTIONS: Mapping[OptionName, OptionValue] = {"nesterov": True, "ns_steps": 5, "adjust_lr_fn": "match_rms_adamw"}
"""Option -> its default."""

OPTAX = "muon({momentum!r}, {nesterov!r}, {ns_steps!r}, {adjust_lr_fn!r})"
"""Call of ``muon`` in ``OPTAX_HELPERS``, a template over Muon's settings and options."""

OPTAX_HELPERS = '''

def as_matrices(params):
    """How a weight [fan_out, fan_in, ...] is a matrix: its first dimension by all others."""
    return jax.tree.map(lambda each: optax.contrib.MuonDimensionNumbers(tuple(range(1, each.ndim)), 0), params)


def muon(momentum, nesterov, ns_steps, adjust_lr_fn):
    """Muon's steps as torch.optim.Muon takes them, before the learning rate.

    The momentum is optax.trace's: optax.contrib.scale_by_muon corrects the bias of its own, which torch does not, and here
    orthogonalises alone.
    """

    def adjusted(update):
        rows, columns = update.shape[0], update.size // update.shape[0]
        adjust = {
            "original": math.sqrt(max(1, rows / columns)),
            "match_rms_adamw": 0.2 * math.sqrt(max(rows, columns)),
            "spectral": math.sqrt(rows / columns),
        }
        return adjust[adjust_lr_fn] * update

    return optax.chain(
        optax.trace(decay=momentum, nesterov=nesterov),
        optax.contrib.scale_by_muon(
            ns_steps=ns_steps, beta=0.0, eps=1e-20, nesterov=False, weight_dimension_numbers=as_matrices
        ),
        optax.stateless(lambda updates, params: jax.tree.map(adjusted, updates)),
    )'''


def learning_rate(adjustment: Adjustment) -> RateLaw:
    """Law by which the learning rate scales with the size of the model, under that adjustment."""

    def law(laws: RateLaws, role: Role) -> Power:
        if role not in MATRICES or laws.orthogonal is None:
            return laws.adam
        return laws.orthogonal / adjustment.growth

    return law


def with_options(options: Options) -> dict[str, object]:
    """Fields of Muon's record under its options: the law of the learning rate."""
    return {"rate": learning_rate(ADJUSTMENTS[str(options["adjust_lr_fn"])])}
