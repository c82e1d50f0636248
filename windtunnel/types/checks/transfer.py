"""Checks that the rules of transfer cover a job: its depth rule, decay rule, target, ladder and scaling grid."""

from collections.abc import Callable

from windtunnel.types.base import misfit
from windtunnel.types.families import FAMILIES
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizer import OptimizerSpec
from windtunnel.types.optimizers import OPTIMIZERS, OptimizerInfo, names
from windtunnel.types.transfer import (
    AVERAGING,
    FOLLOWS_MUP,
    HORIZON_RULES,
    PUBLISHED_DEPTH_EXPONENT,
    LadderSpec,
    Parametrization,
    ScalingSpec,
    TransferSpec,
)


def why_no_completep(family: str, optimizer: OptimizerInfo, parametrization: Parametrization) -> str | None:
    """Reason why CompleteP does not cover a job; None where it does."""
    info = FAMILIES[family]
    if info.completep is None:
        return info.why_no_completep
    if optimizer.why_no_completep:
        return optimizer.why_no_completep
    if parametrization not in FOLLOWS_MUP:
        return f"it is derived for layers that learn as under muP, and not for parametrization {parametrization!r}"
    return None


def depth_exponent(
    rules: TransferSpec, family: str, optimizer: OptimizerInfo, parametrization: Parametrization
) -> float | None:
    """Exponent alpha of CompleteP in force; None under ``copy``, where values do not depend on the depth."""
    if rules.depth_rule == "copy" or why_no_completep(family, optimizer, parametrization):
        return None
    return PUBLISHED_DEPTH_EXPONENT[parametrization] if rules.depth_exponent is None else rules.depth_exponent


def check_rules(rules: TransferSpec, family: str, optimizer: OptimizerSpec, parametrization: Parametrization) -> None:
    """Refuse a rule that does not cover this job: it would change no value, or the wrong ones."""
    reason = why_no_completep(family, optimizer.info, parametrization)
    if rules.depth_rule == "completep" and reason is not None:
        raise misfit(
            "/transfer/depth_rule", f"depth_rule 'completep' cannot be used: {reason}; allowed: 'copy'", "completep"
        )
    if rules.depth_exponent is not None and depth_exponent(rules, family, optimizer.info, parametrization) is None:
        why = reason or "depth_rule is 'copy'"
        raise misfit(
            "/transfer/depth_exponent",
            f"depth_exponent is a setting of depth_rule 'completep', which is not in force: {why}; leave it out",
            rules.depth_exponent,
        )
    check_run_rules(rules.horizon_rule, rules.averages_rule, optimizer.info, "/transfer")
    measured = [info for info in OPTIMIZERS.values() if info.sqrt_decay]
    if rules.decay_rule == "sqrt" and not (optimizer.info.sqrt_decay and parametrization in FOLLOWS_MUP):
        raise misfit(
            "/transfer/decay_rule",
            f"decay_rule 'sqrt' is measured for hidden matrices under {names(measured, 'and')} with parametrization "
            f"{', '.join(map(repr, sorted(FOLLOWS_MUP)))}, not for {optimizer.name} with {parametrization!r}; "
            "allowed: 'independent', 'none'",
            "sqrt",
        )
    if rules.decay_rule != "independent" and not optimizer.info.carries(optimizer.decay_kind):
        raise misfit(
            "/transfer/decay_rule",
            f"decay_rule {rules.decay_rule!r} with L2 decay inside {optimizer.name}, which no rule carries to another "
            "size; use optimizer.decay 'decoupled' or 'independent', or leave decay_rule out",
            rules.decay_rule,
        )


def check_run_rules(horizon: str | None, averages: str | None, optimizer: OptimizerInfo, path: str) -> None:
    """Refuse a rule for the length of the run that does not cover the optimizer; None: no rule is asked for.

    Args:
        horizon: name of the rule of the learning rate.
        averages: name of the rule of betas and eps.
        optimizer: record of the optimizer.
        path: pointer to the object that holds ``horizon_rule`` and ``averages_rule``.
    """
    if horizon is not None and HORIZON_RULES[horizon].exponent is not None and not optimizer.normalises:
        able = names([info for info in OPTIMIZERS.values() if info.normalises], "and")
        raise misfit(
            f"{path}/horizon_rule",
            f"horizon_rule {horizon!r} is for updates whose size does not follow the gradient's ({able}), not for "
            f"{optimizer.name}; allowed: 'fitted'",
            horizon,
        )
    if averages not in (None, "copy") and optimizer not in AVERAGING:
        raise misfit(
            f"{path}/averages_rule",
            f"averages_rule {averages!r} is for {names(AVERAGING, 'and')}, not for {optimizer.name}; allowed: 'copy'",
            averages,
        )


def check_that_rules_carry(
    parametrization: Parametrization, optimizer: OptimizerSpec, *, decays: bool, penalty: tuple[str, object] | None
) -> None:
    """Refuse a job whose target is of another size and whose values no rule carries there: it would end without a plan.

    Args:
        parametrization: table of the muP exponents.
        optimizer: the update rule.
        decays: whether any weight decays.
        penalty: pointer and value of the field that asks for an L2 penalty in the loss; None: no field does.
    """
    if parametrization == "standard":
        raise misfit(
            "/parametrization",
            "parametrization 'standard' has no rule for another width, so this target would get no plan; "
            "use 'mup', or leave target out",
            "standard",
        )
    if not optimizer.info.carries(optimizer.decay_kind) and decays:
        raise misfit(
            "/optimizer/decay",
            f"L2 decay inside {optimizer.name} has no rule for another size, so this target would get no plan; "
            "use decay 'decoupled' or 'independent', or leave target out",
            "l2",
        )
    if not optimizer.info.carries("l2") and penalty is not None:
        pointer, given = penalty
        raise misfit(
            pointer,
            f"an L2 penalty under {optimizer.name} has no rule for another size, so this target would get no plan; "
            "use weight_decay with decay 'decoupled' or 'independent', or leave target out",
            given,
        )


MULTIPLES = (0.5, 1.0, 2.0, 4.0)
"""Default widths of a ladder, as multiples of the proxy's width."""
SHORTEST_RUN = 8
"""Least steps of a run for which half and quarter runs still tell something."""


def ladder_widths(proxy: ModelSpec, asked: LadderSpec) -> list[int]:
    """Widths of a ladder: as requested, or half, once, twice and four times the proxy's, if attention heads fit."""
    if asked.widths is not None:
        return list(asked.widths)
    head = proxy.width_step
    widths = [int(proxy.width * multiple) for multiple in MULTIPLES]
    return [width for width in widths if width >= max(4, head) and width % head == 0]


LENGTHS = (0.125, 0.25, 0.5, 1.0, 2.0)
"""Default lengths of the runs of a scaling grid, as multiples of the job's own."""


def scaling_widths(proxy: ModelSpec, asked: ScalingSpec) -> list[int]:
    """Widths of a scaling grid: as requested, or a ladder's default widths."""
    return ladder_widths(proxy, LadderSpec(widths=asked.widths))


def scaling_steps(steps: int, asked: ScalingSpec) -> list[int]:
    """Lengths of a scaling grid's runs in updates: as requested, or multiples of the job's own."""
    if asked.steps is not None:
        return list(asked.steps)
    return sorted({max(2, round(steps * length)) for length in LENGTHS})


def check_measurements(
    rules: TransferSpec,
    proxy: ModelSpec,
    optimizer: OptimizerSpec,
    steps: int,
    *,
    decays: bool,
    penalty: float | None,
    check_width: Callable[[int], None] | None,
) -> None:
    """Refuse a ladder, a scaling grid or horizons that would fail at the end of the job, after the tuning was paid for.

    Args:
        rules: the measurements that the job asks for.
        proxy: the proxy.
        optimizer: the update rule.
        steps: updates of a run of the job.
        decays: whether any weight decays.
        penalty: lambda of the L2 penalty in the loss; None: no penalty.
        check_width: raises ValueError for a width that a module of one's own cannot have.
    """
    if rules.horizons and steps < SHORTEST_RUN:
        raise misfit(
            "/transfer/horizons",
            f"horizons are shorter runs, and this job's have {steps} steps; allowed: inner.steps from {SHORTEST_RUN}, or 0",
            rules.horizons,
        )
    if rules.ladder is not None:
        _check_widths("ladder", ladder_widths(proxy, rules.ladder), proxy, optimizer, decays, penalty, check_width)
    if rules.scaling is not None:
        _check_widths("scaling", scaling_widths(proxy, rules.scaling), proxy, optimizer, decays, penalty, check_width)


def _check_widths(
    name: str,
    widths: list[int],
    proxy: ModelSpec,
    optimizer: OptimizerSpec,
    decays: bool,
    penalty: float | None,
    check_width: Callable[[int], None] | None,
) -> None:
    """Refuse widths to which the values of a job cannot be carried, or which the proxy cannot have."""
    if not optimizer.info.carries(optimizer.decay_kind) and decays:
        raise misfit(
            f"/transfer/{name}",
            f"L2 decay inside {optimizer.name} has no rule for another width, so there is no {name} to run; use "
            f"optimizer.decay 'decoupled' or 'independent', or leave {name} out",
            widths,
        )
    if not optimizer.info.carries("l2") and penalty is not None:
        raise misfit(
            f"/transfer/{name}",
            f"an L2 penalty under {optimizer.name} has no rule for another width, so there is no {name} to run; use "
            f"weight_decay with decay 'decoupled' or 'independent', or leave {name} out",
            widths,
        )
    for width in widths:
        try:
            if check_width is not None:
                check_width(width)
        except ValueError as error:
            raise misfit(f"/transfer/{name}/widths", str(error), width) from error
        if width % proxy.width_step:
            raise misfit(
                f"/transfer/{name}/widths",
                f"width {width} is no multiple of {proxy.width_unit}, which is the same at every width",
                width,
            )


def check_size(proxy: ModelSpec, width: int, depth: int, path: str) -> None:
    """Refuse a size that the transfer rules cannot reach from this proxy; ``path`` points at the target."""
    if width < proxy.width:
        raise misfit(
            f"{path}/width",
            f"width {width} is below the proxy's {proxy.width}; allowed: at least that",
            width,
        )
    if width % proxy.width_step:
        raise misfit(
            f"{path}/width",
            f"width {width} is no multiple of {proxy.width_unit}, which is the same at every width",
            width,
        )
    if depth < proxy.depth:
        raise misfit(f"{path}/depth", f"depth {depth} is below the proxy's {proxy.depth}; allowed: at least that", depth)
    if proxy.depth < proxy.info.hidden_from <= depth:
        raise misfit(
            f"{path}/depth",
            f"a target of depth {depth} has hidden matrices, a proxy of depth {proxy.depth} has none; tune a proxy of "
            f"depth {proxy.info.hidden_from}",
            depth,
        )
