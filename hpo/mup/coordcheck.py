"""Coordinate check: do activations, and what training changes in them, keep their size when the width grows?

Tensor Programs V, appendix D: a few steps on one fixed batch at a large learning rate, over a ladder of widths. The runs
use the job's own optimizer, init scales and multipliers, with two differences: one learning rate for every tensor,
so that no role hides behind a larger one, and neither decay nor clipping nor regularisers, which damp the growth that is
looked for.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import isfinite, sqrt
from statistics import fmean, stdev

from hpo.inner import OnStep, silent
from hpo.mup.coordinates.probe import PerSeed, Probe, Trace
from hpo.mup.ladder import SEEDS, ladder
from hpo.mup.slopes import finite
from hpo.mup.verdict import Sizes, exempted, initial_logits_dominate, measured_slope, overall, rises
from hpo.tasks import TaskData, load
from windtunnel.types import CoordinateCheck, JobSpec, OptimizerName
from windtunnel.types.results import CoordinateSlope

LEARNING_RATES: dict[OptimizerName, float] = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01}
"""Large: a step moves activations by about their own size. Times 2 / depth for more than two layers, whose moves compound;
divided by 4 until the narrowest model learns from its steps."""
STEPS = 4
READOUT = "readout"
NETWORK = "network"


def check_steps(spec: JobSpec) -> int:
    """Member-steps of a check with the defaults, for progress bars; a lower learning rate takes a few more."""
    return len(ladder(spec)) * SEEDS[spec.model.family] * STEPS


def coordinate_check(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    widths: Sequence[int] | None = None,
    *,
    seeds: int | None = None,
    steps: int = STEPS,
    learning_rate: float | None = None,
    on_step: OnStep = silent,
    data: TaskData | None = None,
) -> CoordinateCheck:
    """Train a few steps at every width of a ladder and judge the exponents of what changed at the last step.

    Args:
        spec: the job; its parametrization is the one under test.
        hyperparameters: label -> value; learning rates and decays among them are not used (see the file's first lines).
        widths: at least two, rising; ``ladder(spec)`` by default.
        seeds: initialisations at each width, at least two; by default as many as ``SEEDS`` says.
        steps: optimizer updates, at least one.
        learning_rate: for every tensor of the proxy; by default ``LEARNING_RATES``, lowered until the narrowest
            model learns.
        on_step: called with the number of member-steps after each update; it may raise to stop the check.
        data: the task, where it is loaded already.

    Raises:
        ValueError: fewer than two widths, widths that do not rise or that cut an attention head, fewer than two seeds, or no
            steps.
    """
    widths = ladder(spec) if widths is None else list(widths)
    seeds = SEEDS[spec.model.family] if seeds is None else seeds
    _check_request(spec, widths, seeds, steps)
    probe = Probe(spec, _kept(hyperparameters), load(spec.task) if data is None else data, seeds, steps, on_step)
    large = LEARNING_RATES[spec.optimizer.name] * min(1.0, 2 / spec.model.depth)
    rate = large if learning_rate is None else learning_rate
    narrowest = probe.trace(widths[0], rate)
    while learning_rate is None and not narrowest.learns and rate > 1e-9:
        rate /= 4
        narrowest = probe.trace(widths[0], rate)
    traces = [narrowest, *(probe.trace(width, rate) for width in widths[1:])]
    slopes = _slopes(widths, steps, traces)
    losses = [trace.losses[-1] for trace in traces]
    gained = fmean(narrowest.losses[0]) - fmean(narrowest.losses[-1])
    verdict, reasons = overall(slopes, rises(widths, losses, gained))

    def means(each: Callable[[Trace], PerSeed]) -> list[float]:
        return [finite(fmean(each(trace))) for trace in traces]

    return CoordinateCheck(
        verdict=verdict,
        widths=widths,
        steps=steps,
        seeds=seeds,
        learning_rate=rate,
        slopes=slopes,
        sizes={module: means(lambda trace, at=module: trace.change[at][-1]) for module in narrowest.change},
        losses=means(lambda trace: trace.losses[-1]),
        loss_errors=[stdev(each) / sqrt(seeds) if all(map(isfinite, each)) else finite(float("inf")) for each in losses],
        weight_norms={name: means(lambda trace, at=name: trace.weight_norm[at]) for name in narrowest.weight_norm},
        update_norms={name: means(lambda trace, at=name: trace.update_norm[at]) for name in narrowest.update_norm},
        kernel_change=means(lambda trace: trace.kernel_change),
        linearisation_error=means(lambda trace: trace.linearisation_error),
        reasons=reasons,
    )


def _slopes(widths: Sequence[int], steps: int, traces: Sequence[Trace]) -> list[CoordinateSlope]:
    """Exponents of activations and changes at every step, of the rest after the last."""

    def over(each: Callable[[Trace], PerSeed]) -> Sizes:
        return [each(trace) for trace in traces]

    found: list[CoordinateSlope] = []
    first = traces[0]
    for module in first.activation:
        sizes = [over(lambda trace, at=step: trace.activation[module][at]) for step in range(steps + 1)]
        moves = [over(lambda trace, at=step: trace.change[module][at]) for step in range(steps)]
        activations = [
            measured_slope(module, "activation", step, widths, size, last=step == steps) for step, size in enumerate(sizes)
        ]
        if module == READOUT and initial_logits_dominate(sizes, moves):
            activations = [exempted(slope) for slope in activations]
        found += activations
        found += [
            measured_slope(module, "change", step, widths, move, last=step == steps) for step, move in enumerate(moves, 1)
        ]
    for name in first.weight_norm:
        norms, updates = over(lambda trace: trace.weight_norm[name]), over(lambda trace: trace.update_norm[name])
        found.append(measured_slope(name, "weight_norm", steps, widths, norms, last=True))
        found.append(measured_slope(name, "update_norm", steps, widths, updates, last=True))
    kernels, errors = over(lambda trace: trace.kernel_change), over(lambda trace: trace.linearisation_error)
    found.append(measured_slope(NETWORK, "kernel_change", steps, widths, kernels, last=True))
    found.append(measured_slope(NETWORK, "linearisation_error", steps, widths, errors, last=True))
    return found


def _check_request(spec: JobSpec, widths: Sequence[int], seeds: int, steps: int) -> None:
    if len(widths) < 2 or any(a >= b for a, b in pairwise(widths)) or widths[0] < 1:
        raise ValueError(f"the widths of a coordinate check must rise and be at least two, got {list(widths)}")
    head = spec.model.head if spec.model.family == "transformer" else 1
    cut = [width for width in widths if width % head]
    if cut:
        raise ValueError(f"width {cut[0]} is no multiple of d_head {head}, which is the same at every width")
    if seeds < 2:
        raise ValueError(f"seeds of a coordinate check is {seeds}; allowed: at least 2, or no exponent has an interval")
    if steps < 1:
        raise ValueError(f"steps of a coordinate check is {steps}; allowed: at least 1")


def _kept(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    replaced = ("learning_rate", "weight_decay", "l2")
    return {label: value for label, value in hyperparameters.items() if label.partition(".")[0] not in replaced}
