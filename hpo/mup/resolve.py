"""Hyperparameters by label -> the values of every single tensor, at any width. Imports no torch.

Labels: ``learning_rate`` (all tensors), ``learning_rate.hidden`` (a role), ``learning_rate.layers.1.weight`` (a tensor);
likewise ``weight_decay`` and ``init_scale``. The narrowest label wins. What has no label takes the value of the spec.
"""

from collections.abc import Mapping, Sequence
from typing import get_args

from hpo.errors import Refused
from hpo.mup.growth import counterparts
from hpo.mup.rules import UNDECAYED, ZERO_INITIALISED, base_init_std, tensor_rules
from windtunnel.types.hyperparameters import SCOPED, HyperparameterName
from windtunnel.types.plans import TensorRow
from windtunnel.types.results import TensorFacts
from windtunnel.types.spec import JobSpec


def resolve(
    spec: JobSpec, hyperparameters: Mapping[str, float], base: Sequence[TensorFacts], target: Sequence[TensorFacts]
) -> list[TensorRow]:
    """Everything that training needs to know about each tensor of the target, in the target's order.

    Args:
        spec: gives the parametrization, the optimizer, and the values that are not in ``hyperparameters``.
        hyperparameters: label -> value at the base width.
        base: tensors of the proxy (the base width).
        target: tensors of the model to train; with ``target == base`` every value is exactly the proxy's own.

    Raises:
        ValueError: a label that names no hyperparameter or tensor, or tensors that do not match.
        Refused: a weight decay that has no rule for another width (L2 inside Adam).
    """
    check_labels(hyperparameters, base)
    rules = tensor_rules(spec.parametrization, spec.optimizer.name, spec.optimizer.decay_kind, base, target)
    pairs = counterparts(base, target)
    output_multiplier = global_value(spec, hyperparameters, "output_multiplier")
    eps = None if spec.optimizer.name == "sgd" else global_value(spec, hyperparameters, "eps")
    rows: list[TensorRow] = []
    for fact in target:
        rule, source = rules[fact.name], pairs[fact.name]
        decay = base_value(spec, hyperparameters, "weight_decay", source)
        if decay > 0 and rule.weight_decay is None:
            raise Refused(
                f"L2 decay inside {spec.optimizer.name} has no rule for another width: Adam divides {decay:g} * w by the "
                f"gradient's size, which falls with the width at another rate than w does (tensor {fact.name!r})",
                "tune with decay 'decoupled' or 'independent', which have a rule, or with weight_decay 0",
            )
        init_std = base_init_std(source, spec.model.activation)
        rows.append(
            TensorRow(
                name=fact.name,
                shape=list(fact.shape),
                role=fact.role,
                init="normal" if init_std > 0 else "zeros",
                init_std=init_std * rule.init_std * base_value(spec, hyperparameters, "init_scale", source),
                learning_rate=base_value(spec, hyperparameters, "learning_rate", source) * rule.learning_rate,
                weight_decay=decay * (rule.weight_decay or 0.0),
                eps=None if eps is None else eps * rule.eps,
                multiplier=rule.multiplier * (output_multiplier or 1.0) if fact.role == "output" else rule.multiplier,
            )
        )
    return rows


def base_value(spec: JobSpec, hyperparameters: Mapping[str, float], name: HyperparameterName, fact: TensorFacts) -> float:
    """Value of ``learning_rate``, ``weight_decay`` or ``init_scale`` for one tensor of the proxy.

    The weight decay of vectors and scalars is 0: shrinking a bias or a gain regularises nothing.
    """
    if name == "weight_decay" and fact.role in UNDECAYED:
        return 0.0
    label = label_for(name, fact, hyperparameters)
    value = spec.start_value(name) if label is None else hyperparameters[label]
    if value is None:
        raise ValueError(f"{name} has no value: it is neither among the hyperparameters nor in the spec")
    return value


def label_for(name: HyperparameterName, fact: TensorFacts, labels: Mapping[str, float]) -> str | None:
    """The label among ``labels`` that decides about this tensor: tensor before role before global; None where none does."""
    candidates = (f"{name}.{fact.name}", f"{name}.{fact.role}", name)
    return next((label for label in candidates if label in labels), None)


def global_value(spec: JobSpec, hyperparameters: Mapping[str, float], name: HyperparameterName) -> float | None:
    """Value of a hyperparameter without scope (``beta1``, ``clip_norm``, ``floor``); None where it is switched off."""
    return hyperparameters[name] if name in hyperparameters else spec.start_value(name)


def check_labels(labels: Mapping[str, float], base: Sequence[TensorFacts]) -> None:
    """Raise ValueError on a label that decides about nothing, so that no tuned value is lost in silence."""
    known = get_args(HyperparameterName)
    for label in labels:
        name, _, scope = label.partition(".")
        if name not in known:
            raise ValueError(f"no hyperparameter {name!r} (label {label!r}); allowed: {', '.join(known)}")
        scopes = _scopes(name, base) if name in SCOPED else []
        if name == "knot" and scope.isdecimal():
            continue
        if scope and scope not in scopes:
            raise ValueError(f"label {label!r}: {name} has no scope {scope!r}; allowed: {', '.join(scopes) or 'none'}")


def _scopes(name: str, base: Sequence[TensorFacts]) -> list[str]:
    """Roles and tensors of the proxy that a scoped hyperparameter acts on."""
    idle = {"weight_decay": UNDECAYED, "init_scale": ZERO_INITIALISED}.get(name, frozenset())
    subject = [fact for fact in base if fact.role not in idle]
    return [*dict.fromkeys(fact.role for fact in subject), *(fact.name for fact in subject)]
