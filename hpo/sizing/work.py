"""Work of a job in gradient evaluations, by phase. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from hpo.estimators.facts.registry import facts, response_facts
from hpo.footprint.budget import (
    CERTIFIED_STEPS,
    GRADIENT_SEEDS,
    MOST_PERTURBED_RATES,
    QUALITY_MEMBERS,
    QUALITY_POINTS,
    RACE_FINALISTS,
    RACERS,
    SCOUT_FULL_RUNS,
    SCOUT_POINTS,
    SMOOTHNESS_RUNS,
    STARTS_SPREAD,
    SWEEP,
    SWEEP_FINALISTS,
    short_steps,
)
from hpo.footprint.measurements import CHECK_STEPS, FACTORS, FIT_SEEDS, NOISE_BATCHES, NOISE_RUNS, NOISE_TIMES, ladder
from hpo.footprint.memory import DOUBLE
from hpo.footprint.sizes import Sizes
from hpo.sizing.hypergradients import hypergradient_cost
from windtunnel.types.checks.transfer import ladder_widths, scaling_steps, scaling_widths
from windtunnel.types.spec import JobSpec

PhaseName = Literal["scout", "tune", "finish", "certify", "check"]
AUTO_RUNS = 10
"""Plain runs in an outer step of ``auto``: the points of one arm, and the runs that compare the best of them."""
AUTO_GRADIENTS = 0.5
"""Share of the outer steps of ``auto`` that take a gradient."""
LAST_CANDIDATES = 5
"""Points that the finish compares: 2 to 8, depending on how often the search moved; each further start adds its last
point."""
CERTIFIED, CERTIFYING = 2, 20
"""Certificate: number of points, and of short runs at each, typically."""
UNBOUNDED = ("none", "exact")
"""Adjoints without a chaos reading."""
RESPONDING = 8
"""Certificate of a best response: cost in short runs of one run and of losses beside its end."""


@dataclass(frozen=True)
class Phase:
    """Work of one phase of a job."""

    name: PhaseName
    plain: float
    """Member-steps of plain training."""
    differentiated: float = 0.0
    """Gradient evaluations of hypergradients; a Hessian-vector product counts as two."""

    @property
    def gradient_evaluations(self) -> float:
        """Member-steps of plain training and gradient evaluations of hypergradients, added."""
        return self.plain + self.differentiated


def phases(sizes: Sizes, limit: int) -> list[Phase]:
    """Phases of the job in order, with their work. Of several starts all are counted to the end, which they rarely reach.

    Args:
        sizes: sizes of the job.
        limit: memory for populations in bytes; decides what ``checkpointing: auto`` means.
    """
    spec, steps = sizes.spec, sizes.spec.inner.steps
    scout, tune = _scout(sizes), _tune(sizes, limit)
    if spec.outer.budget is not None:
        # The scout is paid first; the outer steps go on until the rest is spent, or for as many as were asked for.
        left = max(0.0, spec.outer.budget * steps - scout.gradient_evaluations)
        share = min(1.0, left / tune.gradient_evaluations)
        tune = Phase("tune", tune.plain * share, tune.differentiated * share)
    found = [scout, tune]
    smoothing = 0 if facts(spec.method.estimator).adjoint(spec) in UNBOUNDED else SMOOTHNESS_RUNS * steps
    found.append(Phase("finish", _finish(sizes) + smoothing))
    short = min(steps, CERTIFIED_STEPS)
    runs = (0 if spec.method.info.is_best_response else CERTIFYING + 5) + (RESPONDING if spec.method.response else 0)
    found.append(Phase("certify", CERTIFIED * DOUBLE * runs * short))
    found.append(Phase("check", _check(sizes)))
    return found


def _finish(sizes: Sizes) -> float:
    """Member-steps of the finish; for a best response including the runs of its schedule and of its predictions."""
    spec = sizes.spec
    steps, fresh = spec.inner.steps, spec.outer.finish_seeds
    if spec.method.info.is_best_response:
        return (2 * fresh + _conclusion(spec)) * steps
    candidates = min(LAST_CANDIDATES, 2 + spec.outer.steps) + spec.outer.starts - 1
    return (candidates * fresh + _conclusion(spec)) * steps


def _conclusion(spec: JobSpec) -> int:
    """Runs that replay the schedule of a best response, and runs that are trained again to check its predictions."""
    if spec.method.response is None:
        return 0
    return spec.outer.finish_seeds + QUALITY_POINTS * min(QUALITY_MEMBERS, spec.inner.seeds)


def _check(sizes: Sizes) -> float:
    """Work of all measurements for the transfer, in member-steps of the proxy."""
    spec = sizes.spec
    steps, rules = spec.inner.steps, spec.transfer
    work = 0.0
    if spec.parametrization != "standard":
        work += sizes.family.check.seeds * CHECK_STEPS * _check_weight(sizes)
    if rules.noise_scale:
        work += NOISE_RUNS * (NOISE_TIMES[-1] * steps + len(NOISE_TIMES) * NOISE_BATCHES)
    if rules.horizons:
        work += len(FACTORS) * FIT_SEEDS * steps * sum(2.0**-halvings for halvings in range(rules.horizons))
    if rules.ladder is not None:
        wide = sum(map(sizes.multiply_adds_at, ladder_widths(spec.model, rules.ladder)))
        each = wide / sizes.footprint.multiply_adds
        climbs = 1 + (rules.ladder.weight_decay and spec.decays) + rules.ladder.standard
        work += climbs * len(FACTORS) * rules.ladder.seeds * steps * each
    if rules.scaling is not None:
        wide = sum(map(sizes.multiply_adds_at, scaling_widths(spec.model, rules.scaling)))
        each = wide / sizes.footprint.multiply_adds
        work += rules.scaling.seeds * sum(scaling_steps(steps, rules.scaling)) * each
    return work


def _scout(sizes: Sizes) -> Phase:
    spec = sizes.spec
    steps, seeds = spec.inner.steps, spec.inner.seeds
    if spec.method.info.is_best_response:
        # Outer step 0 is the warm-up of the one run.
        return Phase("scout", 0.0)
    short = short_steps(steps)
    others = STARTS_SPREAD * (spec.outer.starts - 1) * short
    if not spec.outer.scout or not (spec.method.info.has_sampler or spec.searches("learning_rate")):
        return Phase("scout", seeds * steps + others)
    if spec.method.info.has_sampler:
        perturbed = perturbed_rates(sizes)
        return Phase("scout", (SCOUT_POINTS + 2 * perturbed) * short + (SCOUT_FULL_RUNS + bool(perturbed) + seeds) * steps)
    return Phase("scout", SWEEP * short + SWEEP_FINALISTS * seeds * steps + others)


def perturbed_rates(sizes: Sizes) -> int:
    """Number of learning rates that the scout of ``auto`` raises and lowers one by one."""
    return sizes.rates if 1 < sizes.rates <= MOST_PERTURBED_RATES else 0


def _tune(sizes: Sizes, limit: int) -> Phase:
    spec = sizes.spec
    steps, seeds = spec.inner.steps, spec.inner.seeds
    if spec.method.info.is_best_response:
        return Phase("tune", 0.0, seeds * response_facts(spec.method.estimator).run_cost(spec, 1 + spec.outer.steps))
    cost = hypergradient_cost(sizes, limit)
    if spec.method.info.has_sampler:
        gradients = 0.0 if spec.optimizer.info.pathwise else AUTO_GRADIENTS * min(seeds, GRADIENT_SEEDS) * cost
        return Phase("tune", spec.outer.steps * AUTO_RUNS * steps, spec.outer.steps * gradients)
    racing = (RACERS + RACE_FINALISTS * (seeds - 1)) * steps
    moves = spec.outer.steps * spec.outer.starts
    if spec.method.best_response is None:
        return Phase("tune", moves * racing, moves * seeds * cost)
    responses, response = spec.outer.steps // 2, response_facts(spec.method.best_response)
    moves = (spec.outer.steps - responses) * spec.outer.starts
    return Phase("tune", moves * racing, seeds * (moves * cost + responses * response.run_cost(spec, 1)))


def _check_weight(sizes: Sizes) -> float:
    """Work of one step of the coordinate check at all widths together, over that of a step of the proxy."""
    check = sizes.family.check
    own = sizes.footprint.multiply_adds * sizes.spec.inner.batch_size
    at = [sizes.multiply_adds_at(width) for width in ladder(sizes)]
    return sum(at) * check.share(sizes.task) * check.batch / own
