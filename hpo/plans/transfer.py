"""Makes the transfer plan of a tuned proxy for a target size, or refuses if the evidence is against it. No torch here."""

from collections.abc import Sequence
from datetime import datetime
from math import prod

from hpo.families.facts.registry import proxy_tensors
from hpo.laws.counting import count
from hpo.mup.penalty import predicted_penalty
from hpo.mup.resolve import (
    attention_multiplier,
    global_value,
    mixture_weights,
    regularization,
    resolve,
)
from hpo.mup.roles import EMBEDDINGS
from hpo.plans.caveats import assumptions, in_your_loop, not_covered
from hpo.plans.findings import Findings
from hpo.plans.gate import gate
from hpo.plans.regularisers import follow, regulariser_knots
from hpo.plans.role_rows import role_rows
from hpo.plans.translation import translate
from windtunnel.types.ladders import PredictedPenalty
from windtunnel.types.plans import TensorRow, TransferPlan
from windtunnel.types.results import TensorFacts, TuneResult
from windtunnel.types.schedules import AnySchedule, ShapeName
from windtunnel.types.spec import Target
from windtunnel.types.tensors import FrozenTensor


def make_plan(
    result: TuneResult,
    target: Target,
    *,
    plan_id: str,
    job_id: str,
    created_at: datetime,
    force: bool = False,
) -> TransferPlan:
    """Config of the large model, from the best point of a finished job; arguments and errors as of ``plan_of``.

    Args:
        result: the finished job.
        target: size of the large model; missing fields stay as in the proxy.
        plan_id: id of the plan.
        job_id: id of the job that gave ``result``.
        created_at: time at which the plan is made.
        force: make the plan even if a measurement speaks against it; the plan then says so.
    """
    return plan_of(Findings.of(result), target, plan_id=plan_id, job_id=job_id, created_at=created_at, force=force)


def plan_of(
    found: Findings,
    target: Target,
    *,
    plan_id: str,
    job_id: str | None,
    created_at: datetime,
    force: bool = False,
) -> TransferPlan:
    """Config of the large model, from values of a proxy and the evidence on them.

    At the proxy's own width, depth and number of steps the plan is exactly the proxy's own config. At the proxy's own
    width no rule and no coordinate check are needed; at any other width the check gates the plan.

    Args:
        found: values and evidence.
        target: size of the large model; missing fields stay as in the proxy.
        plan_id: id of the plan.
        job_id: id of the job that gave the values; None where no job did.
        created_at: time at which the plan is made.
        force: make the plan even if the coordinate check failed or is missing; the plan then says so.

    Raises:
        Refused: the coordinate check did not pass and ``force`` was not given; or a value was tuned that no rule carries
            to another width (L2 inside Adam), whatever ``force`` says.
        PydanticCustomError: the target is out of reach from this proxy (``JobSpec.check_target``).
    """
    spec, values = found.spec, found.values
    spec.check_target(target, "/target")
    depth = target.depth or spec.model.depth
    steps = target.steps or spec.inner.steps
    batch_size = target.batch_size or spec.inner.batch_size
    proxy = found.proxy
    plan_size = spec.model.model_copy(update={"width": target.width, "depth": depth})
    tensors = proxy_tensors(plan_size, spec.info)
    rows = resolve(spec, values, proxy.tensors, tensors)
    settings = spec.optimizer.info.settings
    averages = {name: global_value(spec, values, name) for name in ("momentum", "beta1", "beta2") if name in settings}
    betas = {name: value for name, value in averages.items() if value is not None and name in ("beta1", "beta2")}
    moved = translate(found, target, betas)
    averages |= moved.betas
    objections = [each for each in (gate(found, target), moved.objection) if each is not None]
    if objections and not force:
        raise objections[0]
    rows = [
        row.model_copy(
            update={
                "learning_rate": row.learning_rate * moved.learning_rate,
                "weight_decay": row.weight_decay * moved.weight_decay,
                "eps": None if row.eps is None else row.eps * moved.eps,
            }
        )
        for row in rows
    ]
    frozen = [] if spec.info.module is None else spec.info.module.frozen_at(target.width, depth)
    size = count(plan_size, spec.info, spec.optimizer.name)
    knots = regulariser_knots(found)
    return TransferPlan(
        id=plan_id,
        job_id=job_id,
        created_at=created_at,
        task=spec.task,
        kind=spec.info.kind,
        loss=spec.info.loss,
        parametrization=spec.parametrization,
        model=spec.model,
        width=target.width,
        depth=depth,
        steps=steps,
        batch_size=batch_size,
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
        momentum=averages.get("momentum"),
        beta1=averages.get("beta1"),
        beta2=averages.get("beta2"),
        optimizer_options=spec.optimizer.options,
        clip_norm=global_value(spec, values, "clip_norm"),
        regularization=regularization(spec, values, plan_size),
        regulariser_schedule=knots,
        mixture_weights=mixture_weights(spec, values),
        attention_multiplier=attention_multiplier(spec, values),
        schedule=tuned_schedule(found),
        roles=role_rows(spec, values, proxy.tensors, rows, moved.formulas),
        tensors=[*rows, *map(TensorRow.of_frozen, frozen)],
        parameters=sum(prod(row.shape) for row in rows),
        non_embedding=size.non_embedding,
        compute=size.compute(batch_size * spec.context, steps),
        compute_leaves_out=size.left_out,
        hyperparameters=dict(values),
        proxy_validation=found.validation,
        tuning_share=tuning_share(found, tensors, steps * batch_size),
        assumptions=[
            *(each for each in assumptions(spec, values, plan_size, steps) if each.quantity not in moved.betas),
            *moved.assumptions,
        ],
        not_covered=[
            *found.unmeasured,
            *not_covered(found, plan_size, [objection.message for objection in objections]),
            *moved.uncovered,
        ],
        coordinate_check=found.coordinate_check,
        ladder=found.ladder,
        penalties=penalties(found, target),
        noise_scale=found.noise_scale,
        horizon=found.horizon,
        in_your_loop=[*in_your_loop(spec, values, plan_size), *follow(found, knots), *kept(frozen)],
        forced=bool(objections),
        provenance=found.provenance,
    )


def kept(frozen: Sequence[FrozenTensor]) -> list[str]:
    """Sentence about tensors that are not trained; [] if there is none."""
    if not frozen:
        return []
    names = ", ".join(tensor.name for tensor in frozen)
    return [
        f"Keep frozen, as in the proxies, with requires_grad=False and the values that your module gives them: {names}."
    ]


def tuned_schedule(found: Findings) -> AnySchedule:
    """The proxy's schedule with the found shape parameters in place of the given ones."""
    spec, values = found.spec, found.values
    shape: dict[ShapeName, float | list[float]] = {name: values[name] for name in spec.schedule.shape if name in values}
    knots = [values[f"knot.{key}"] for key in spec.knot_keys if f"knot.{key}" in values]
    if knots:
        shape["knot"] = knots
    return spec.schedule.with_shape(shape)


def penalties(found: Findings, target: Target) -> list[PredictedPenalty]:
    """Predicted losses from the drifts on the job's ladder at the target's width; [] without a ladder or a new width."""
    if found.ladder is None or target.width == found.spec.model.width:
        return []
    ladders = (found.ladder.learning_rate, found.ladder.weight_decay)
    told = [predicted_penalty(each, found.spec.model.width, target.width) for each in ladders if each is not None]
    return [each for each in told if each is not None]


def tuning_share(found: Findings, tensors: Sequence[TensorFacts], examples: int) -> float | None:
    """Multiply-adds of the whole tuning over those of one run of the target on ``examples`` examples; None: not known."""
    if found.gradient_evaluations is None:
        return None
    seen = found.gradient_evaluations * found.spec.inner.batch_size
    return seen * _matrix_entries(found.proxy.tensors) / (examples * _matrix_entries(tensors))


def _matrix_entries(tensors: Sequence[TensorFacts]) -> int:
    """Multiply-adds of the matrices at one position of one example; embeddings have none, as their rows are looked up."""
    return sum(prod(fact.shape) for fact in tensors if len(fact.shape) > 1 and not _looked_up(fact))


def _looked_up(fact: TensorFacts) -> bool:
    """Whether the tensor is an embedding table."""
    return fact.name in EMBEDDINGS or fact.is_table
