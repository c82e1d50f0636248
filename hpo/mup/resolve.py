"""Resolves hyperparameters by label into the values of every single tensor, at any width. Imports no torch.

Labels: ``learning_rate`` (all tensors), ``learning_rate.hidden`` (a role), ``learning_rate.qkv`` (a group of a role),
``learning_rate.layers.1.weight`` (a tensor); every other hyperparameter with scopes has such labels too.
``dropout.layers.1`` is the dropout of a hidden layer or block. The narrowest label wins. A tensor without a label takes the
value of the spec.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, get_args

from hpo.errors import Refused
from hpo.mup.growth import counterparts
from hpo.mup.rules import base_init_std, multiplier_of, tensor_rules
from windtunnel.types.hyperparameters import LAYERED, REGULARISERS, SCOPED, HyperparameterName
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizers import OptimizerInfo
from windtunnel.types.plans import PlanRegularization, TensorRow
from windtunnel.types.results import TensorFacts
from windtunnel.types.spec import JobSpec

ACTS: dict[str, Callable[[TensorFacts], bool]] = {
    "weight_decay": lambda fact: fact.decayed,
    "l2": lambda fact: fact.decayed,
    "init_scale": lambda fact: fact.random,
    "output_multiplier": lambda fact: multiplier_of(fact) == "output_multiplier",
    "embedding_multiplier": lambda fact: multiplier_of(fact) == "embedding_multiplier",
}
"""Hyperparameter -> whether it acts on a tensor; those that are left out act on all. Decays of other tensors are 0."""


def acts(name: str, fact: TensorFacts) -> bool:
    """Whether a hyperparameter acts on a tensor."""
    return name not in ACTS or ACTS[name](fact)


def subjects(spec: JobSpec, name: str, tensors: Iterable[TensorFacts]) -> list[TensorFacts]:
    """The tensors that a hyperparameter of a job acts on. A tensor that moves as a matrix has no eps (Muon)."""
    matrices = spec.optimizer.info.matrices if name == "eps" else frozenset()
    return [fact for fact in tensors if acts(name, fact) and fact.role not in matrices]


def resolve(
    spec: JobSpec, hyperparameters: Mapping[str, float], base: Sequence[TensorFacts], target: Sequence[TensorFacts]
) -> list[TensorRow]:
    """Row of values for each tensor of the target, in the target's order: everything that training needs to know about it.

    Args:
        spec: gives the parametrization, the rules of transfer, the optimizer, and the values that are not in
            ``hyperparameters``.
        hyperparameters: label -> value at the base width.
        base: tensors of the proxy (the base width).
        target: tensors of the model to train; with ``target == base`` every value is exactly the proxy's own.

    Raises:
        ValueError: a label names no hyperparameter, tensor, source or knot; or the tensors do not match.
        Refused: a weight decay or an L2 penalty has no rule for another size (L2 inside Adam).
    """
    check_labels(spec, hyperparameters, base)
    optimizer = spec.optimizer.info
    carry = partial(
        tensor_rules,
        spec.parametrization,
        optimizer,
        decay_rule=spec.transfer.decay_rule,
        depth_exponent=spec.depth_exponent,
    )
    rules = carry(decay=spec.optimizer.decay_kind, base=base, target=target)
    # The gradient of the penalty goes through the optimizer, as that of L2 decay does, so it has the same rule.
    penalty_rules = carry(decay="l2", base=base, target=target)
    pairs = counterparts(base, target)
    rows: list[TensorRow] = []
    for fact in target:
        rule, source = rules[fact.name], pairs[fact.name]
        init_std = base_init_std(source, spec.model.activation)
        decay = base_value(spec, hyperparameters, "weight_decay", source)
        penalty = base_value(spec, hyperparameters, "l2", source)
        has_eps = "eps" in optimizer.settings and fact.role not in optimizer.matrices
        rows.append(
            TensorRow(
                name=fact.name,
                shape=list(fact.shape),
                role=fact.role,
                group=fact.group,
                init=_start(source, init_std),
                init_value=source.init_value or 0.0,
                init_std=init_std * rule.init_std * base_value(spec, hyperparameters, "init_scale", source),
                learning_rate=base_value(spec, hyperparameters, "learning_rate", source) * rule.learning_rate,
                weight_decay=_carried(decay, rule.weight_decay, optimizer, "L2 decay inside", fact),
                l2=_carried(penalty, penalty_rules[fact.name].weight_decay, optimizer, "an L2 penalty under", fact),
                eps=base_value(spec, hyperparameters, "eps", source) * rule.eps if has_eps else None,
                multiplier=rule.multiplier * _searched_multiplier(spec, hyperparameters, source),
                padding=fact.padding,
            )
        )
    return rows


def _searched_multiplier(spec: JobSpec, hyperparameters: Mapping[str, float], source: TensorFacts) -> float:
    name = multiplier_of(source)
    return 1.0 if name is None else global_value(spec, hyperparameters, name) or 1.0


def _start(source: TensorFacts, init_std: float) -> Literal["normal", "zeros", "constant"]:
    if source.init_value:
        return "constant"
    return "normal" if init_std > 0 else "zeros"


def _carried(value: float, factor: float | None, optimizer: OptimizerInfo, what: str, fact: TensorFacts) -> float:
    """A decay or penalty at the target's size.

    Raises:
        Refused: it is not 0, and no rule carries it.
    """
    if value > 0 and factor is None:
        raise Refused(
            f"{what} {optimizer.name} has no rule for another size: {optimizer.why_no_l2.format(term=f'{value:g} * w')} "
            f"(tensor {fact.name!r})",
            "tune with optimizer.decay 'decoupled' or 'independent', which have a rule, and without L2 in the loss",
        )
    return value * (factor or 0.0)


def base_value(spec: JobSpec, hyperparameters: Mapping[str, float], name: HyperparameterName, fact: TensorFacts) -> float:
    """Value of a hyperparameter with scopes for one tensor of the proxy.

    Weight decay and L2 of vectors, and of scalars that are no matrices, are 0: shrinking a bias or a gain regularises
    nothing. An L2 that is switched off is 0.

    Raises:
        ValueError: neither the hyperparameters nor the spec give a value.
    """
    if name in ("weight_decay", "l2") and not acts(name, fact):
        return 0.0
    hyperparameters = with_ends(spec, hyperparameters)
    label = label_for(name, fact, hyperparameters)
    value = spec.start_value(name) if label is None else hyperparameters[label]
    if value is None and name in REGULARISERS:
        return 0.0
    if value is None:
        raise ValueError(f"{name} has no value: it is neither among the hyperparameters nor in the spec")
    return value


def label_for(name: HyperparameterName, fact: TensorFacts, labels: Mapping[str, float]) -> str | None:
    """The narrowest of ``labels`` that names this tensor: by tensor, group, role, or all; None if none of them does."""
    candidates = (f"{name}.{fact.name}", f"{name}.{fact.part}", f"{name}.{fact.role}", name)
    return next((label for label in candidates if label in labels), None)


def global_value(spec: JobSpec, hyperparameters: Mapping[str, float], name: HyperparameterName) -> float | None:
    """Value of a hyperparameter without scope, such as ``beta1``; None if it is off or if layers differ in it."""
    hyperparameters = with_ends(spec, hyperparameters)
    if name in LAYERED and layer_values(spec, hyperparameters, name):
        return None
    return hyperparameters[name] if name in hyperparameters else spec.start_value(name)


def layer_values(spec: JobSpec, hyperparameters: Mapping[str, float], name: HyperparameterName) -> list[float]:
    """Value of a hyperparameter for each hidden layer or block of the proxy; [] if all layers share one value."""
    known = with_ends(spec, hyperparameters)
    labels = [f"{name}.{layer}" for layer in spec.model.layers]
    if not any(label in known for label in labels):
        return []
    return [known.get(label, known.get(name, 0.0)) for label in labels]


def with_ends(spec: JobSpec, hyperparameters: Mapping[str, float]) -> Mapping[str, float]:
    """Hyperparameters by label, completed by the last values of regularisers that follow a schedule of the spec."""
    return {**spec.regularization.ends, **hyperparameters} if spec.regularization.schedule else hyperparameters


def attention_multiplier(spec: JobSpec, hyperparameters: Mapping[str, float]) -> float | None:
    """Factor on the attention logits; None for families without attention."""
    name: HyperparameterName = "attention_multiplier"
    return global_value(spec, hyperparameters, name) if name in spec.model.info.dials else None


def regularization(spec: JobSpec, hyperparameters: Mapping[str, float], target: ModelSpec) -> PlanRegularization:
    """Regularisers of the forward pass and of the loss for the target; copied, because no rule of width is known for them.

    Layers beyond the proxy's depth take the dropout of its last layer.
    """
    rates = layer_values(spec, hyperparameters, "dropout")
    return PlanRegularization(
        dropout=global_value(spec, hyperparameters, "dropout"),
        layer_dropout={
            layer: rates[min(index, len(rates) - 1)] for index, layer in enumerate(target.layers if rates else ())
        },
        label_smoothing=global_value(spec, hyperparameters, "label_smoothing"),
        input_noise=global_value(spec, hyperparameters, "input_noise"),
        augmentation=global_value(spec, hyperparameters, "augmentation"),
    )


def mixture_weights(spec: JobSpec, hyperparameters: Mapping[str, float]) -> dict[str, float]:
    """Weight of each data source, by name; {} if the weights were not searched."""
    labels = {source: f"mixture_weight.{source}" for source in spec.info.sources}
    return {source: hyperparameters[label] for source, label in labels.items() if label in hyperparameters}


def check_labels(spec: JobSpec, labels: Iterable[str], base: Sequence[TensorFacts]) -> None:
    """Refuses a label that acts on nothing, so that no tuned value is lost silently.

    Raises:
        ValueError: a label names no hyperparameter, or a scope that the hyperparameter does not have.
    """
    known = get_args(HyperparameterName)
    for label in labels:
        name, _, scope = label.partition(".")
        if name not in known:
            raise ValueError(f"no hyperparameter {name!r} (label {label!r}); allowed: {', '.join(known)}")
        scopes = _scopes(spec, name, base)
        needs_one = name in ("mixture_weight", "knot")
        if scope not in scopes and (scope or needs_one):
            raise ValueError(f"label {label!r}: {name} has no scope {scope!r}; allowed: {', '.join(scopes) or 'none'}")


def _scopes(spec: JobSpec, name: str, base: Sequence[TensorFacts]) -> list[str]:
    """Scopes that may follow the name of a hyperparameter: layers, parts, roles and tensors, data sources, or knots."""
    if name == "mixture_weight":
        return list(spec.info.sources)
    if name == "knot":
        return spec.knot_keys
    if name in LAYERED:
        return list(spec.model.layers)
    if name not in SCOPED:
        return []
    subject = subjects(spec, name, base)
    wide = [*(fact.part for fact in subject), *(fact.role for fact in subject)]
    return [*dict.fromkeys(wide), *(fact.name for fact in subject)]
