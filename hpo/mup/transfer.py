"""Tuned proxy + target size -> transfer plan, or a refusal where the evidence speaks against it. Imports no torch."""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import prod

from hpo.mup.caveats import assumptions, in_your_loop, not_covered
from hpo.mup.gate import gate
from hpo.mup.growth import BranchPart, branch_part
from hpo.mup.proxies import EMBEDDINGS, proxy_tensors
from hpo.mup.resolve import (
    attention_multiplier,
    base_value,
    global_value,
    mixture_weights,
    regularization,
    resolve,
)
from hpo.mup.rules import role_rule
from windtunnel.types.plans import RoleRow, TensorRow, TransferPlan
from windtunnel.types.results import Role, TensorFacts, TuneResult
from windtunnel.types.schedules import AnySchedule, ShapeName
from windtunnel.types.spec import JobSpec, Target
from windtunnel.types.tasks import TASKS


def make_plan(
    result: TuneResult,
    target: Target,
    *,
    plan_id: str,
    job_id: str,
    created_at: datetime,
    force: bool = False,
) -> TransferPlan:
    """Config of the large model, from the best point of a finished job.

    At the proxy's own width, depth and number of steps the plan is exactly the proxy's own config. At the proxy's own
    width no rule is needed, and so no coordinate check; at any other the check gates the plan.

    Args:
        result: the finished job.
        target: size of the large model; what it leaves out stays as in the proxy.
        plan_id: id of the plan.
        job_id: the job that ``result`` is of.
        created_at: when the plan was made.
        force: make the plan although the coordinate check failed or does not exist; the plan then says so.

    Raises:
        Refused: the coordinate check did not pass and ``force`` was not given; or a value was tuned that no rule carries
            to another width (L2 inside Adam), whatever ``force`` says.
        PydanticCustomError: the target is out of reach from this proxy (``JobSpec.check_target``).
    """
    spec, best = result.spec, result.best
    spec.check_target(target, "/target")
    depth = target.depth or spec.model.depth
    steps = target.steps or spec.inner.steps
    proxy = result.proxy
    plan_size = spec.model.model_copy(update={"width": target.width, "depth": depth})
    tensors = proxy_tensors(plan_size, TASKS[spec.task])
    rows = resolve(spec, best.hyperparameters, proxy.tensors, tensors)
    objection = gate(result, target)
    if objection is not None and not force:
        raise objection
    is_sgd = spec.optimizer.name == "sgd"
    values = best.hyperparameters
    return TransferPlan(
        id=plan_id,
        job_id=job_id,
        created_at=created_at,
        task=spec.task,
        parametrization=spec.parametrization,
        model=spec.model,
        width=target.width,
        depth=depth,
        steps=steps,
        batch_size=spec.inner.batch_size,
        context=spec.context,
        width_ratio=target.width / spec.model.width,
        depth_ratio=depth / spec.model.depth,
        depth_rule=spec.depth_rule,
        depth_exponent=spec.depth_exponent,
        decay_rule=spec.transfer.decay_rule,
        features=proxy.features,
        classes=proxy.classes,
        optimizer=spec.optimizer.name,
        decay=spec.optimizer.decay_kind,
        momentum=global_value(spec, values, "momentum") if is_sgd else None,
        beta1=None if is_sgd else global_value(spec, values, "beta1"),
        beta2=None if is_sgd else global_value(spec, values, "beta2"),
        clip_norm=global_value(spec, values, "clip_norm"),
        regularization=regularization(spec, values),
        mixture_weights=mixture_weights(spec, values),
        attention_multiplier=attention_multiplier(spec, values),
        schedule=tuned_schedule(result),
        roles=role_rows(spec, values, proxy.tensors, rows),
        tensors=rows,
        parameters=sum(prod(row.shape) for row in rows),
        hyperparameters=values,
        proxy_validation=best.validation,
        tuning_share=tuning_share(result, tensors, steps),
        assumptions=assumptions(spec, values, plan_size, steps),
        not_covered=not_covered(result, plan_size, steps, None if objection is None else objection.message),
        coordinate_check=result.coordinate_check,
        in_your_loop=in_your_loop(spec, values),
        forced=objection is not None,
        provenance=result.provenance,
    )


def tuned_schedule(result: TuneResult) -> AnySchedule:
    """The job's schedule with the tuned shape in place of the given one."""
    spec, values = result.spec, result.best.hyperparameters
    shape: dict[ShapeName, float | list[float]] = {name: values[name] for name in spec.schedule.shape if name in values}
    knots = [values[f"knot.{key}"] for key in spec.knot_keys if f"knot.{key}" in values]
    if knots:
        shape["knot"] = knots
    return spec.schedule.with_shape(shape)


def role_rows(
    spec: JobSpec, values: dict[str, float], base: Sequence[TensorFacts], rows: Sequence[TensorRow]
) -> list[RoleRow]:
    """One row for each role that occurs, in the order of the tensors."""
    roles: dict[Role, None] = dict.fromkeys(row.role for row in rows)
    return [_role_row(spec, values, role, base, [row for row in rows if row.role == role]) for role in roles]


def _role_row(
    spec: JobSpec, values: dict[str, float], role: Role, base: Sequence[TensorFacts], rows: Sequence[TensorRow]
) -> RoleRow:
    proxy = [fact for fact in base if fact.role == role]
    hidden = {"eps"} if spec.optimizer.name == "sgd" else set()

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
        formulas={name: text for name, text in _formulas(spec, role, rows).items() if name not in hidden},
    )


PARTS: dict[BranchPart, str] = {"outside": "", "inside": "in a block: ", "end": "last of a branch: "}
"""Where a tensor stands -> how a formula says so, where the tensors of a role stand at several places."""


def _formulas(spec: JobSpec, role: Role, rows: Sequence[TensorRow]) -> dict[str, str]:
    """Quantity -> formula; where tensors of the role differ by their place in a block, one formula for each place."""
    places = {"outside"} if spec.depth_exponent is None else {branch_part(row.name) for row in rows}
    found: dict[str, dict[str, str]] = {}
    for part, words in PARTS.items():
        if part in places:
            rule = role_rule(
                spec.parametrization,
                spec.optimizer.name,
                spec.optimizer.decay_kind,
                role,
                decay_rule=spec.transfer.decay_rule,
                depth_exponent=spec.depth_exponent,
                part=part,
            )
            for quantity, text in rule.formulas(role).items():
                # The first place that a formula holds at names it; others that share it need no words.
                found.setdefault(quantity, {}).setdefault(text, words)
    return {quantity: _listed(texts) for quantity, texts in found.items()}


def _listed(texts: dict[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    first, *others = texts
    return "; ".join([first, *(texts[text] + text for text in others)])


def _common(values: Sequence[float | None]) -> float | None:
    """The value that all share; None where they differ."""
    return values[0] if len(set(values)) == 1 else None


def tuning_share(result: TuneResult, tensors: Sequence[TensorFacts], steps: int) -> float:
    """Multiply-adds of the whole tuning over those of one run of the target; the batch size is the same and cancels."""
    tuning = result.cost.gradient_evaluations * _matrix_entries(result.proxy.tensors)
    return tuning / (steps * _matrix_entries(tensors))


def _matrix_entries(tensors: Sequence[TensorFacts]) -> int:
    """Multiply-adds of the matrices at one position of one example; rows of an embedding are looked up."""
    return sum(prod(fact.shape) for fact in tensors if len(fact.shape) > 1 and not _looked_up(fact))


def _looked_up(fact: TensorFacts) -> bool:
    return fact.name in EMBEDDINGS or (fact.role == "input" and fact.flipped)
