"""The rows of a plan by role: the base value in the proxy, the value in the target, the formula. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence

from hpo.mup.growth import BranchPart, branch_part
from hpo.mup.resolve import base_value
from hpo.mup.rules import role_rule
from windtunnel.types.plans import RoleRow, TensorRow
from windtunnel.types.results import Role, TensorFacts
from windtunnel.types.spec import JobSpec


def role_rows(
    spec: JobSpec,
    values: Mapping[str, float],
    base: Sequence[TensorFacts],
    rows: Sequence[TensorRow],
    translated: Mapping[str, str],
) -> list[RoleRow]:
    """One row for each role that occurs, in the order of the tensors.

    Args:
        spec: the job.
        values: tuned hyperparameters by label.
        base: tensors of the proxy.
        rows: tensors of the target.
        translated: quantity -> factor on the formula of the width, as text, for batch, horizon and data.
    """
    roles: dict[Role, None] = dict.fromkeys(row.role for row in rows if row.role != "frozen")
    return [_role_row(spec, values, role, base, [row for row in rows if row.role == role], translated) for role in roles]


def _role_row(
    spec: JobSpec,
    values: Mapping[str, float],
    role: Role,
    base: Sequence[TensorFacts],
    rows: Sequence[TensorRow],
    translated: Mapping[str, str],
) -> RoleRow:
    proxy = [fact for fact in base if fact.role == role]
    optimizer = spec.optimizer.info
    hidden = set() if "eps" in optimizer.settings and role not in optimizer.matrices else {"eps"}

    def common(value: Callable[[TensorRow], float | None]) -> float | None:
        return _common([value(row) for row in rows])

    return RoleRow(
        role=role,
        tensors=len(rows),
        learning_rate=common(lambda row: row.learning_rate),
        weight_decay=common(lambda row: row.weight_decay),
        l2=common(lambda row: row.l2),
        eps=common(lambda row: row.eps),
        init_std=common(lambda row: row.init_std),
        multiplier=common(lambda row: row.multiplier),
        base_learning_rate=_common([base_value(spec, values, "learning_rate", fact) for fact in proxy]),
        base_weight_decay=_common([base_value(spec, values, "weight_decay", fact) for fact in proxy]),
        formulas={
            name: _times(text, translated.get(name, ""))
            for name, text in _formulas(spec, role, rows, proxy).items()
            if name not in hidden
        },
    )


PARTS: dict[BranchPart, str] = {"outside": "", "inside": "in a block: ", "end": "last of a branch: "}
"""Place of a tensor in a residual block -> words before its formula if the tensors of a role differ in their places."""


def _formulas(spec: JobSpec, role: Role, rows: Sequence[TensorRow], proxy: Sequence[TensorFacts]) -> dict[str, str]:
    """Quantity -> formula; one for each place in a block, and for readout, matrices and biases, where they differ."""
    places = {"outside"} if spec.depth_exponent is None else {branch_part(row.name) for row in rows}
    kinds = {_kind(fact): fact for fact in proxy}
    found: dict[str, dict[str, str]] = {}
    for number, part in enumerate(part for part in PARTS if part in places):
        rule = role_rule(
            spec.parametrization,
            spec.optimizer.info,
            spec.optimizer.decay_kind,
            role,
            decay_rule=spec.transfer.decay_rule,
            depth_exponent=spec.depth_exponent,
            part=part,
        )
        for kind, tensor in kinds.items():
            words = (f"{kind}: " if len(kinds) > 1 else "") + (PARTS[part] if number else "")
            for quantity, text in rule.formulas(role, tensor).items():
                # A formula that several places or kinds share is listed once, with the words of the first.
                found.setdefault(quantity, {}).setdefault(text, words)
    return {quantity: _listed(texts) for quantity, texts in found.items()}


def _kind(fact: TensorFacts) -> str:
    """Word for a tensor that tells it from others of its role by how it starts, decays and is multiplied."""
    if fact.makes_outputs:
        return "random readout" if fact.random else "readout"
    return ("random" if fact.random else "constant") if fact.decayed else ("random bias" if fact.random else "bias")


def _listed(texts: dict[str, str]) -> str:
    """Formulas (formula -> words before it) as one text; one alone has no words."""
    return next(iter(texts)) if len(texts) == 1 else "; ".join(words + text for text, words in texts.items())


def _times(formula: str, factor: str) -> str:
    """The formula, or the formulas of several places, times a factor given as `` * text``."""
    if not factor or formula in ("0", "no rule"):
        return formula
    return f"({formula}){factor}" if ";" in formula else formula + factor


def _common(values: Sequence[float | None]) -> float | None:
    """The value that all entries share; None if they differ."""
    return values[0] if len(set(values)) == 1 else None
