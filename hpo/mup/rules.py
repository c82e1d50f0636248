"""Applies the rules: role x parametrization x optimizer -> factors of every tensor of a target, and their formulas.

Imports no torch. The tables are in ``tables``, rules of decay in ``decay``, rules of depth in ``depth``. All of them are
power laws in the growth of a tensor since the base (= proxy) size::

    m_in = fan_in / fan_in at base,   m_out = fan_out / fan_out at base,   m_L = blocks / blocks at base

so one entry gives both the number and the formula in a plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Literal

from hpo.errors import Refused
from hpo.mup.decay import decay_power
from hpo.mup.depth import deepened
from hpo.mup.growth import BranchPart, Growth, branch_part, counterparts, depth_growth, growth_of
from hpo.mup.roles import EMBEDDINGS
from hpo.mup.tables import TABLES
from windtunnel.types.hyperparameters import HyperparameterName
from windtunnel.types.optimizers import DecayKind, OptimizerInfo
from windtunnel.types.powers import Power
from windtunnel.types.results import Role, TensorFacts
from windtunnel.types.transfer import DecayRule, Parametrization

Quantity = Literal["init_std", "learning_rate", "weight_decay", "eps", "multiplier"]


def multiplier_of(fact: TensorFacts) -> HyperparameterName | None:
    """The searched multiplier that acts on a tensor: alpha on what makes the outputs, one on inputs; None: none does."""
    if fact.makes_outputs:
        return "output_multiplier"
    return "embedding_multiplier" if fact.role == "input" else None


@dataclass(frozen=True)
class RoleRule:
    """The rule of one role: a power law for each quantity."""

    init_std: Power
    learning_rate: Power
    weight_decay: Power | None
    """Power law of the decay; None: no rule exists, so that a decay of this kind cannot be carried to another size."""
    eps: Power
    multiplier: Power

    def formulas(self, role: Role, tensor: TensorFacts | None = None) -> dict[Quantity, str]:
        """Quantity -> formula; eta, lambda, eps, sigma0 and alpha (the output multiplier) stand for the proxy's values.

        Args:
            role: the rule's role.
            tensor: a tensor of that role, for alpha acts on what makes the outputs alone, and of scalars only matrices are
                decayed; None: the readout of a model whose every output tensor is one, and biases.
        """
        tensor = tensor or TensorFacts(name="", shape=[], role=role)
        decay = "no rule" if self.weight_decay is None else self.weight_decay.formula("lambda")
        return {
            "init_std": self.init_std.formula("sigma0") if tensor.random else "0",
            "learning_rate": self.learning_rate.formula("eta"),
            "weight_decay": decay if tensor.decayed else "0",
            "eps": self.eps.formula("eps"),
            "multiplier": self.multiplier.formula("alpha" if tensor.makes_outputs else "1"),
        }


@dataclass(frozen=True)
class TensorRule:
    """Factors on the base values of one tensor, relative to the base size."""

    init_std: float
    learning_rate: float
    weight_decay: float | None
    """Factor of the decay; None: no rule exists (L2 inside Adam), so that only a decay of 0 can be carried."""
    eps: float
    multiplier: float


def role_rule(
    parametrization: Parametrization,
    optimizer: OptimizerInfo,
    decay: DecayKind,
    role: Role,
    *,
    decay_rule: DecayRule = "independent",
    depth_exponent: float | None = None,
    part: BranchPart = "outside",
) -> RoleRule:
    """The rule of one role.

    Args:
        parametrization: the table.
        optimizer: the update rule.
        decay: the convention of the weight decay.
        role: role of the tensor.
        decay_rule: how the shrinkage of a step scales with the width.
        depth_exponent: alpha of CompleteP; None: values do not depend on the depth.
        part: place of the tensor in a residual block.

    Raises:
        Refused: the theory has no law for the learning rate of this optimizer.
    """
    entry = TABLES[parametrization][role]
    if depth_exponent is not None:
        entry = deepened(entry, role, part, depth_exponent)
    learning_rate = optimizer.rate(entry, role)
    if learning_rate is None:
        raise Refused(
            f"no rule says how the learning rate of a tensor of role {role!r} goes with the width under optimizer "
            f"{optimizer.name!r}",
            "tune at the size of the large model, or with an optimizer that has a rule",
        )
    return RoleRule(
        init_std=entry.init_std,
        learning_rate=learning_rate,
        weight_decay=decay_power(decay_rule, decay, optimizer, role, learning_rate),
        eps=entry.gradient,
        multiplier=entry.multiplier,
    )


def tensor_rules(
    parametrization: Parametrization,
    optimizer: OptimizerInfo,
    decay: DecayKind,
    base: Sequence[TensorFacts],
    target: Sequence[TensorFacts],
    *,
    decay_rule: DecayRule = "independent",
    depth_exponent: float | None = None,
) -> dict[str, TensorRule]:
    """Factors for every tensor of the target, by name. At the base size all of them are exactly 1.

    Args:
        parametrization: the table.
        optimizer: the update rule.
        decay: the convention of the weight decay.
        base: tensors of the proxy.
        target: tensors of the model to train; a layer or block that the proxy does not have follows the proxy's last one.
        decay_rule: how the shrinkage of a step scales with the width.
        depth_exponent: alpha of CompleteP; None: values do not depend on the depth.

    Raises:
        ValueError: a target tensor has no counterpart in the base, its counterpart has another role or rank, or a dimension
            grew that its role keeps fixed.
        Refused: the theory has no law for the learning rate of this optimizer.
    """
    rules: dict[str, TensorRule] = {}
    pairs, deeper = counterparts(base, target), depth_growth(base, target)
    for fact in target:
        part = "outside" if depth_exponent is None else branch_part(fact.name)
        rule = role_rule(
            parametrization,
            optimizer,
            decay,
            fact.role,
            decay_rule=decay_rule,
            depth_exponent=depth_exponent,
            part=part,
        )
        growth = growth_of(pairs[fact.name], fact)
        if part != "outside":
            growth = replace(growth, depth=deeper)
        rules[fact.name] = TensorRule(
            init_std=rule.init_std.at(growth),
            learning_rate=rule.learning_rate.at(growth),
            weight_decay=_decay_factor(rule.weight_decay, growth),
            eps=rule.eps.at(growth),
            multiplier=rule.multiplier.at(growth),
        )
    return rules


def _decay_factor(power: Power | None, growth: Growth) -> float | None:
    """Factor of the decay; without a rule 1 at the base size and None at any other."""
    if power is not None:
        return power.at(growth)
    return 1.0 if growth == Growth(1.0, 1.0) else None


GAIN = {"relu": 2.0, "gelu": 2.0, "tanh": 1.0, "silu": 2.8}
"""Activation -> variance times fan-in that keeps a layer's output at the size of its input (He et al. 2015; LeCun et al.
1998 for tanh; 1 / E[silu(z)^2] of a standard normal z)."""


NOT_ACTIVATED: frozenset[str] = frozenset({"qkv", "attention-out", "mlp-in", "q", "k", "v", "o", "gate", "up"})
"""Groups whose inputs are normalised values or averages of them, without an activation before: gain 1."""


def base_init_std(fact: TensorFacts, activation: str) -> float:
    """sigma0 of a tensor at the base width: 0 for biases and what makes the outputs, 1 for embeddings, else
    sqrt(gain / fan_in).

    A tensor that starts at a constant has 0; a standard deviation in the tensor's facts comes before these rules.

    The fan-in of a convolution counts the entries of its window; a row of an embedding table is looked up, not summed
    over.

    Raises:
        ValueError: an activation without a known gain.
    """
    if activation not in GAIN:
        raise ValueError(f"no init gain for activation {activation!r}; allowed: {', '.join(GAIN)}")
    if not fact.random:
        return 0.0
    if fact.init_std is not None:
        return fact.init_std
    if fact.name in EMBEDDINGS:
        return 1.0
    gain = 1.0 if fact.group in NOT_ACTIVATED else GAIN[activation]
    return sqrt(gain / prod(fact.shape[1:]))
