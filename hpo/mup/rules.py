"""The muP table: role x optimizer -> how init, learning rate, decay, eps and forward multiplier go with width.

Imports no torch. Every entry is a power law in the growth of a tensor's two fans since the base (= proxy) width::

    m_in = fan_in / fan_in at base,   m_out = fan_out / fan_out at base

so the same entry gives the number and the formula that a plan shows. Source: Yang et al., Tensor Programs V, table 8.

**Adam's eps.** An update is width-consistent where eps keeps its ratio to the gradient. Logits are ``(alpha / m) W_out h
+ b`` with every coordinate of ``h`` of order 1, so ``dL/dh``, and with it ``dL/dz`` of every hidden unit, is of order
``1/m``. The gradients of input and hidden matrices (``dL/dz h``) and of hidden biases (``dL/dz``) are of order ``1/m_out``,
that of the readout's weight (``(alpha / m) h``) is of order ``1/m_in`` by the multiplier, and that of the readout's bias
does not depend on the width. Hence eps / m for every role but scalar: one eps for all would damp the updates of a wide
model away.

**Decay.** What is kept is the shrinkage per step: lr * lambda where the step is lr * lambda * w (decoupled, and L2 under
SGD, which is linear as well), lambda where the step is lambda * w (independent). L2 inside Adam is divided by the
gradient's size; entries of hidden weights are of order 1/sqrt(m) at init and what they learn is of order 1/m, so
``lambda w / g`` has no single width exponent, and there is no rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Literal

from hpo.mup.growth import Growth, counterparts, growth_of
from hpo.mup.proxies import EMBEDDINGS
from windtunnel.types.optimizer import DecayKind, OptimizerName
from windtunnel.types.results import Role, TensorFacts

Parametrization = Literal["mup", "standard"]
Quantity = Literal["init_std", "learning_rate", "weight_decay", "eps", "multiplier"]


@dataclass(frozen=True)
class Power:
    """The factor ``m_in ** fan_in * m_out ** fan_out``."""

    fan_in: float = 0.0
    fan_out: float = 0.0

    def at(self, growth: Growth) -> float:
        """The factor for a tensor whose fans grew that much; exactly 1 where they did not."""
        return float(growth.fan_in**self.fan_in * growth.fan_out**self.fan_out)

    def inverse(self) -> "Power":
        """One over the factor."""
        return Power(-self.fan_in, -self.fan_out)

    def formula(self, symbol: str) -> str:
        """``symbol`` times the factor, as a formula: ``eta / m``, ``lambda * m_in / m_out``.

        m is short for m_in where m_out does not occur.
        """
        fan_in = "m" if not self.fan_out else "m_in"
        powers = [("m_out", self.fan_out), (fan_in, self.fan_in)]
        above = "".join(f" * {_power_text(name, power)}" for name, power in powers if power > 0)
        below = "".join(f" / {_power_text(name, -power)}" for name, power in powers if power < 0)
        return symbol + above + below


def _power_text(name: str, power: float) -> str:
    if power == 1:
        return name
    return f"sqrt({name})" if power == 0.5 else f"{name}^{power:g}"


ONE = Power()


@dataclass(frozen=True)
class RoleRule:
    """The entry of the table for one role: a power law for each quantity."""

    init_std: Power
    learning_rate: Power
    weight_decay: Power | None
    """None: no rule exists, a decay of this kind cannot be carried to another width."""
    eps: Power
    multiplier: Power

    def formulas(self, role: Role) -> dict[Quantity, str]:
        """Quantity -> formula; eta, lambda, eps, sigma0 and alpha (the output multiplier) stand for the proxy's values."""
        decay = "no rule" if self.weight_decay is None else self.weight_decay.formula("lambda")
        return {
            "init_std": "0" if role in ZERO_INITIALISED else self.init_std.formula("sigma0"),
            "learning_rate": self.learning_rate.formula("eta"),
            "weight_decay": "0" if role in UNDECAYED else decay,
            "eps": self.eps.formula("eps"),
            "multiplier": self.multiplier.formula("alpha") if role == "output" else "1",
        }


@dataclass(frozen=True)
class TensorRule:
    """Factors on the base values of one tensor, relative to the base width."""

    init_std: float
    learning_rate: float
    weight_decay: float | None
    """None: no rule exists (L2 inside Adam), only a decay of 0 can be carried to another width."""
    eps: float
    multiplier: float


INIT_STD: dict[Role, Power] = {
    "input": ONE,
    "hidden": Power(fan_in=-0.5),
    "output": ONE,
    "vector": ONE,
    "scalar": ONE,
}
ADAM_LEARNING_RATE: dict[Role, Power] = {
    "input": ONE,
    "hidden": Power(fan_in=-1),
    "output": ONE,
    "vector": ONE,
    "scalar": ONE,
}
SGD_LEARNING_RATE: dict[Role, Power] = {
    "input": Power(fan_out=1),
    "hidden": Power(fan_in=-1, fan_out=1),
    "output": Power(fan_in=1),
    "vector": Power(fan_out=1),
    "scalar": ONE,
}
GRADIENT: dict[Role, Power] = {
    "input": Power(fan_out=-1),
    "hidden": Power(fan_out=-1),
    "output": Power(fan_in=-1),
    "vector": Power(fan_out=-1),
    "scalar": ONE,
}
"""Size of one entry of the gradient under muP; Adam's eps goes with it."""
MULTIPLIER: dict[Role, Power] = {
    "input": ONE,
    "hidden": ONE,
    "output": Power(fan_in=-1),
    "vector": ONE,
    "scalar": ONE,
}
UNDECAYED: frozenset[Role] = frozenset({"vector", "scalar"})
"""Roles that are never decayed: their base value is 0 whatever was asked for matrices."""
ZERO_INITIALISED: frozenset[Role] = frozenset({"output", "vector", "scalar"})
"""Roles that start at zero, whatever the init scale: biases, and the readout, which muP prefers at zero."""


def role_rule(parametrization: Parametrization, optimizer: OptimizerName, decay: DecayKind, role: Role) -> RoleRule:
    """The entry of the table for one role.

    ``standard`` is the usual practice: init by fan-in, every other value copied.
    """
    if parametrization == "standard":
        fan_in = Power(fan_in=-0.5) if role in ("hidden", "output") else ONE
        return RoleRule(init_std=fan_in, learning_rate=ONE, weight_decay=ONE, eps=ONE, multiplier=ONE)
    learning_rate = (SGD_LEARNING_RATE if optimizer == "sgd" else ADAM_LEARNING_RATE)[role]
    return RoleRule(
        init_std=INIT_STD[role],
        learning_rate=learning_rate,
        weight_decay=_decay_power(optimizer, decay, learning_rate),
        eps=GRADIENT[role],
        multiplier=MULTIPLIER[role],
    )


def _decay_power(optimizer: OptimizerName, decay: DecayKind, learning_rate: Power) -> Power | None:
    match decay:
        case "independent":
            return ONE
        case "decoupled":
            return learning_rate.inverse()
        case "l2":
            return learning_rate.inverse() if optimizer == "sgd" else None


def tensor_rules(
    parametrization: Parametrization,
    optimizer: OptimizerName,
    decay: DecayKind,
    base: Sequence[TensorFacts],
    target: Sequence[TensorFacts],
) -> dict[str, TensorRule]:
    """Factors for every tensor of the target, by name. At the base width all of them are exactly 1.

    Args:
        base: tensors of the proxy.
        target: tensors of the model to train; a layer or block that the proxy does not have follows the proxy's last one.

    Raises:
        ValueError: a target tensor has no counterpart in the base, another role or rank there, or grew where its role
            may not.
    """
    rules: dict[str, TensorRule] = {}
    pairs = counterparts(base, target)
    for fact in target:
        rule = role_rule(parametrization, optimizer, decay, fact.role)
        growth = growth_of(pairs[fact.name], fact)
        rules[fact.name] = TensorRule(
            init_std=rule.init_std.at(growth),
            learning_rate=rule.learning_rate.at(growth),
            weight_decay=_decay_factor(rule.weight_decay, growth),
            eps=rule.eps.at(growth),
            multiplier=rule.multiplier.at(growth),
        )
    return rules


def _decay_factor(power: Power | None, growth: Growth) -> float | None:
    if power is not None:
        return power.at(growth)
    return 1.0 if growth == Growth(1.0, 1.0) else None


GAIN = {"relu": 2.0, "gelu": 2.0, "tanh": 1.0}
"""Variance that keeps a layer's output at the size of its input (He et al. 2015; LeCun et al. 1998 for tanh)."""


NOT_ACTIVATED: frozenset[str] = frozenset({"qkv", "attention-out", "mlp-in"})
"""Groups whose inputs are normalised values, or averages of such, and did not go through the activation: gain 1."""


def base_init_std(fact: TensorFacts, activation: str) -> float:
    """sigma0 of a tensor at the base width: 0 for readout and biases, 1 for embeddings, else sqrt(gain / fan_in).

    The fan-in of a convolution counts the entries of its window; a row of an embedding table is looked up, not summed
    over.

    Raises:
        ValueError: an activation without a known gain.
    """
    if activation not in GAIN:
        raise ValueError(f"no init gain for activation {activation!r}; allowed: {', '.join(GAIN)}")
    if fact.role in ZERO_INITIALISED:
        return 0.0
    if fact.name in EMBEDDINGS:
        return 1.0
    gain = 1.0 if fact.group in NOT_ACTIVATED else GAIN[activation]
    return sqrt(gain / prod(fact.shape[1:]))
