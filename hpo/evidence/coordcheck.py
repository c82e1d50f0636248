"""Coordinate check: tests whether activations, and their changes by training, keep their size when the width grows.

Tensor Programs V, appendix D: a few steps on one fixed batch at a large learning rate, over a ladder of widths. The runs
use the job's own optimizer, init scales and multipliers, with two differences: one learning rate for every tensor,
so that no role hides behind a larger one, and neither decay nor clipping nor regularisers, which damp the growth that is
looked for.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite, sqrt
from statistics import fmean, stdev

from hpo.evidence.coordinates.probe import Probe, Trace
from hpo.evidence.slopes import LARGEST, finite
from hpo.evidence.verdict import (
    Sizes,
    excused,
    exempted,
    initial_logits_dominate,
    measured_slope,
    overall,
    rises,
    still,
    unreached,
)
from hpo.families.facts.registry import facts, proxy_tensors
from hpo.footprint.measurements import CHECK_STEPS, ladder
from hpo.footprint.sizes import Sizes as JobSizes
from hpo.tasks import TaskData, data_of
from hpo.training.problem import OnStep, silent
from windtunnel.types import CoordinateCheck, JobSpec
from windtunnel.types.results import CoordinateQuantity, CoordinateSlope, TensorFacts

READOUT = "readout"
NETWORK = "network"


def check_steps(spec: JobSpec) -> int:
    """Member-steps of a check with the defaults, for progress bars; a lower learning rate takes a few more."""
    sizes = JobSizes.of(spec, spec.info)
    return len(ladder(sizes)) * sizes.family.check.seeds * CHECK_STEPS


def coordinate_check(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    widths: Sequence[int] | None = None,
    *,
    seeds: int | None = None,
    steps: int = CHECK_STEPS,
    learning_rate: float | None = None,
    on_step: OnStep = silent,
    data: TaskData | None = None,
) -> CoordinateCheck:
    """Verdict on the exponents of activations and their changes over widths, after a few steps at every width.

    Args:
        spec: the job; its parametrization is the one under test.
        hyperparameters: label -> value; learning rates and decays among them are not used: every tensor has one rate.
        widths: at least two, rising; those of ``ladder`` by default.
        seeds: initialisations at each width, at least two; by default as many as the family asks for.
        steps: optimizer updates, at least one.
        learning_rate: for every tensor of the proxy; by default the optimizer's ``coordinate_rate``, divided by 4
            until the narrowest model learns.
        on_step: called with the number of member-steps after each update; it may raise to stop the check.
        data: the task; None: it is loaded.

    Raises:
        ValueError: fewer than two widths, widths that do not rise or that cut an attention head, fewer than two
            seeds, or no steps.
    """
    widths = ladder(JobSizes.of(spec, spec.info)) if widths is None else list(widths)
    seeds = facts(spec.model.family).check.seeds if seeds is None else seeds
    _check_request(spec, widths, seeds, steps)
    probe = Probe(spec, _kept(hyperparameters), data_of(spec) if data is None else data, seeds, steps, on_step)
    # Times 2 / depth for more than two layers, whose moves compound.
    large = spec.optimizer.info.coordinate_rate * min(1.0, 2 / spec.model.depth)
    rate = large if learning_rate is None else learning_rate
    narrowest = probe.trace(widths[0], rate)
    while learning_rate is None and not narrowest.learns and rate > 1e-9:
        rate /= 4
        narrowest = probe.trace(widths[0], rate)
    traces = [narrowest, *(probe.trace(width, rate) for width in widths[1:])]
    normalises = spec.optimizer.info.normalises
    slopes = _slopes(widths, steps, traces, proxy_tensors(spec.model, spec.info), normalises=normalises)
    losses = [trace.losses[-1] for trace in traces]
    gained = fmean(narrowest.losses[0]) - fmean(narrowest.losses[-1])
    never = unreached(widths, {name: [trace.slope[name] for trace in traces] for name in narrowest.slope}, steps)
    verdict, reasons = overall(slopes, rises(widths, losses, gained), list(never.values()))
    return CoordinateCheck(
        verdict=verdict,
        widths=widths,
        steps=steps,
        seeds=seeds,
        learning_rate=rate,
        slopes=slopes,
        sizes={module: _means([trace.change[module][-1] for trace in traces]) for module in narrowest.change},
        losses=_means(losses),
        loss_errors=[stdev(each) / sqrt(seeds) if all(map(isfinite, each)) else LARGEST for each in losses],
        weight_norms={name: _means([trace.weight_norm[name] for trace in traces]) for name in narrowest.weight_norm},
        update_norms={name: _means([trace.update_norm[name] for trace in traces]) for name in narrowest.update_norm},
        kernel_change=_means([trace.kernel_change for trace in traces]),
        linearisation_error=_means([trace.linearisation_error for trace in traces]),
        reasons=reasons,
        unreached=[*never, *still(slopes)],
    )


def _means(sizes: Sizes) -> list[float]:
    """Mean over seeds at each width."""
    return [finite(fmean(each)) for each in sizes]


def _slopes(
    widths: Sequence[int], steps: int, traces: Sequence[Trace], tensors: Sequence[TensorFacts], *, normalises: bool
) -> list[CoordinateSlope]:
    """Exponents of activations and changes at every step, and of the other quantities after the last step.

    Args:
        widths: rising widths.
        steps: optimizer updates.
        traces: measurements at each width.
        tensors: those of the proxy.
        normalises: whether the size of an update does not depend on that of the gradient.
    """
    found: list[CoordinateSlope] = []
    behind = _behind_random_outputs(traces, tensors)
    trained = {READOUT, *(_owner(fact) for fact in tensors)}
    for module in traces[0].activation:
        sizes, moves = _by_step(traces, module)
        activations = [
            measured_slope(module, "activation", step, widths, size, last=step == steps) for step, size in enumerate(sizes)
        ]
        changes = [
            measured_slope(module, "change", step, widths, move, last=step == steps) for step, move in enumerate(moves, 1)
        ]
        if (module == READOUT or module in behind) and initial_logits_dominate(sizes, moves):
            activations = [exempted(slope) for slope in activations]
        if module not in trained:
            # What reads the inputs and has nothing to train changes at no width.
            changes = [exempted(slope) if slope.verdict == "exempt" else slope for slope in changes]
        found += activations
        found += changes
    after: list[tuple[str, CoordinateQuantity, Sizes]] = []
    for name in traces[0].weight_norm:
        after.append((name, "weight_norm", [trace.weight_norm[name] for trace in traces]))
        after.append((name, "update_norm", [trace.update_norm[name] for trace in traces]))
    after.append((NETWORK, "kernel_change", [trace.kernel_change for trace in traces]))
    after.append((NETWORK, "linearisation_error", [trace.linearisation_error for trace in traces]))
    found += [measured_slope(name, quantity, steps, widths, sizes, last=True) for name, quantity, sizes in after]
    # Gradients come through such a layer: where updates have their size, what is before it falls, too.
    owners = {fact.name: _owner(fact) for fact in tensors}
    excuses = set(owners.values()) | behind if behind and not normalises else behind
    return [excused(slope) if {slope.module, owners.get(slope.module)} & excuses else slope for slope in found]


def _owner(fact: TensorFacts) -> str:
    return fact.name.rpartition(".")[0] or "module"


def _behind_random_outputs(traces: Sequence[Trace], tensors: Sequence[TensorFacts]) -> set[str]:
    """Layers from the first one on that maps the width to finitely many numbers and starts random, as a bottleneck does.

    Under muP what it starts at is a sum that falls as width^-1/2, as that of a random readout would, and all that is
    computed from it falls along until training has moved it. Empty where training moved it by more than it started at.
    """
    narrow = {_owner(fact) for fact in tensors if fact.role == "output" and fact.random}
    modules = list(traces[0].activation)
    for index, module in enumerate(modules):
        if module in narrow and initial_logits_dominate(*_by_step(traces, module)):
            return set(modules[index:])
    return set()


def _by_step(traces: Sequence[Trace], module: str) -> tuple[list[Sizes], list[Sizes]]:
    """(activations [steps + 1][widths][seeds], changes [steps][widths][seeds]) of a module."""
    sizes: list[Sizes] = [list(at) for at in zip(*(trace.activation[module] for trace in traces), strict=True)]
    moves: list[Sizes] = [list(at) for at in zip(*(trace.change[module] for trace in traces), strict=True)]
    return sizes, moves


def _check_request(spec: JobSpec, widths: Sequence[int], seeds: int, steps: int) -> None:
    if len(widths) < 2 or any(a >= b for a, b in pairwise(widths)) or widths[0] < 1:
        raise ValueError(f"the widths of a coordinate check must rise and be at least two, got {list(widths)}")
    cut = [width for width in widths if width % spec.model.width_step]
    if cut:
        raise ValueError(f"width {cut[0]} is no multiple of {spec.model.width_unit}, which is the same at every width")
    if seeds < 2:
        raise ValueError(f"seeds of a coordinate check is {seeds}; allowed: at least 2, or no exponent has an interval")
    if steps < 1:
        raise ValueError(f"steps of a coordinate check is {steps}; allowed: at least 1")


def _kept(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    replaced = ("learning_rate", "weight_decay", "l2")
    return {label: value for label, value in hyperparameters.items() if label.partition(".")[0] not in replaced}
