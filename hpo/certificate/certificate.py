"""Certificate of a job: its hypergradient against finite differences of its own training runs, in float64.

Both sides take the same short run: the job's proxy, data, optimizer, clipping and regularisers, at the job's point. It has
at most 20 updates, whose coefficients are rows spread over the whole of the job's tables, so that every part of the
schedule takes part. Over a full run near the edge of chaos no difference quotient settles, so nothing could be compared;
over 20 steps it does, and those steps go through every line of the engine that a long run goes through.

The adjoint is exact. The engine is certified: training step, update rule, clipping, schedule, storage. Terms that an
estimator leaves out on purpose (the bounded adjoint, a window, a smoothing) are its documented bias, no error.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from hpo.errors import CertificateFailed
from hpo.estimators.protocol import Estimator, ReverseMode
from hpo.estimators.reverse import Reverse
from hpo.footprint.budget import CERTIFIED_SHORTEST, CERTIFIED_STEPS, CERTIFIED_WIDTHS
from hpo.seeding import Purpose, generator_of
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Draw, InnerProblem, OnStep, silent
from windtunnel.types import Certificate, CertificatePoint
from windtunnel.types.results import CertifiedPoint, CertifiedThrough

TOLERANCE = 1e-6
"""Largest relative error that passes. Errors of a correct engine were 1e-10 to 3e-7, largest where gradients are small."""
FLAT = 1e-3
"""Share of the loss that errors are relative to, if it is larger than the gradient's norm."""
SETTLED = TOLERANCE / 10
"""Relative difference of two rules below which the search for a good width ends."""
MORE_WIDTHS = (2.5e-7, 6.25e-8, 6.4e-5, 2.56e-4)
"""Half widths tried one by one after the first ones: narrower, to get between the kinks of ReLU; wider, against
rounding."""
NUDGE = 1e-3
"""Distance from the point at which the certificate is taken, in every coordinate, give or take a half. A start is often a
round number, at which a schedule may have a kink (a warmup or a cycle that ends exactly on a step) with two derivatives,
both of them right; at a distance larger than most widths above there is only one."""
MEMBERS = 2
"""Members (seeds) on which a disagreement must show to count: a kink exactly at the point shows on one only."""

Loss = Callable[[Tensor], Tensor]
"""Offsets along a direction [n] -> validation losses [n]."""


class ShortRun(InnerProblem):
    """A job's run with few updates: evenly spread rows of its tables over time, and the first of its batches.

    Args:
        whole: the job's problem, in any dtype.
        steps: number of updates, at most those of ``whole``.
    """

    def __init__(self, whole: InnerProblem, steps: int) -> None:
        super().__init__(whole.spec, whole.layout, whole.init_std, whole.space, whole.data, torch.float64)
        rows = torch.linspace(0, self.steps - 1, steps, dtype=torch.float64).round().long()
        self.rows, ends = rows.to(self.device), torch.cat([rows, torch.tensor([self.steps])]).to(self.device)
        self.regularisers = {name: table[ends] for name, table in self.regularisers.items()}
        self.steps = steps

    def coefficients(self, points: Tensor) -> Coefficients:
        """Coefficients at points [members, k]; tables over time have one row for each update of the short run."""
        found = super().coefficients(points)
        return replace(found, scheduled={name: table[self.rows] for name, table in found.scheduled.items()})


def certify(
    problem: InnerProblem,
    estimator: Estimator,
    point: Tensor,
    which: CertifiedPoint,
    population: int,
    on_step: OnStep = silent,
) -> CertificatePoint:
    """Compares the exact hypergradient with finite differences, along itself and along a random direction.

    Args:
        problem: inner problem of the job.
        estimator: estimator of the job; its ``exact`` form is certified.
        point: unconstrained coordinates, [k].
        which: name of the point.
        population: most members trained as one computation.
        on_step: called after every inner step with the number of member-steps done.

    Returns:
        The direction of larger error.

    Raises:
        CertificateFailed: they disagree, or the differences settle at no length of run.
    """
    point = beside(point, problem.spec.seed)

    def compare(member: int, steps: int) -> CertificatePoint:
        run = ShortRun(problem, steps)
        draw = run.draw([(problem.spec.seed, Purpose.CERTIFICATE, member)])
        estimate = exact(estimator).estimate(run, point[None], draw, on_step)

        def along(unit: Tensor) -> Loss:
            return _losses(run, draw, point, unit, population, on_step)

        return compared(run, which, float(estimate.value[0]), estimate.gradient[0].double(), along)

    return passing(
        compare,
        problem,
        "hypergradient",
        "no hypergradient of this job can be trusted. A task or model of your own must be differentiable through every "
        "operation: nothing detached, no random numbers of its own. Otherwise report this spec as a defect",
    )


def passing(
    compare: Callable[[int, int], CertificatePoint], problem: InnerProblem, what: str, distrust: str
) -> CertificatePoint:
    """Comparison that passes, on the first member that has one, over the longest run whose differences settle.

    Args:
        compare: (member, steps) -> comparison of both sides over a short run of that member.
        problem: inner problem of the job.
        what: name of the certified gradient, for the error.
        distrust: advice to the user if no member passes.

    Raises:
        CertificateFailed: the two sides disagree, or the differences settle at no length of run.
    """
    for member in range(MEMBERS):
        steps = min(CERTIFIED_STEPS, problem.steps)
        found = compare(member, steps)
        # A NaN doubt counts as not settled: runs diverged, and shorter ones may not.
        while not found.doubt <= TOLERANCE and steps > CERTIFIED_SHORTEST:
            steps = max(steps // 2, CERTIFIED_SHORTEST)
            found = compare(member, steps)
        if found.passed:
            return found
    raise CertificateFailed(
        f"at the {found.point} point, over {found.steps} steps, the {what} is {found.reverse:.9g} along the "
        f"{found.direction} direction and finite differences say {found.finite_difference:.9g}: relative error "
        f"{found.relative_error:.1e}, doubt of the differences {found.doubt:.1e}, allowed {TOLERANCE:.0e}",
        distrust,
    )


def compared(
    run: ShortRun,
    which: CertifiedPoint,
    value: float,
    gradient: Tensor,
    along: Callable[[Tensor], Loss],
    through: CertifiedThrough = "run",
) -> CertificatePoint:
    """Comparison of a gradient [k] with differences along itself and along a random direction.

    Args:
        run: short run that both sides take.
        which: name of the point.
        value: loss at the point.
        gradient: gradient to compare, [k], float64.
        along: unit vector -> the loss along it.
        through: part of the job that the gradient went through.

    Returns:
        The direction of larger doubt, or of larger error if both have settled.
    """
    least = max(float(gradient.norm()), FLAT * abs(value))
    noise = torch.randn(len(gradient), generator=generator_of((run.spec.seed, Purpose.CERTIFICATE)), dtype=torch.float64)
    found: list[CertificatePoint] = []
    directions: dict[Literal["random", "gradient"], Tensor] = {"random": noise, "gradient": gradient}
    for name, direction in directions.items():
        length = direction.norm()
        # Where nothing has a slope, any direction is the gradient's.
        unit = direction / length if length > 0 else noise / noise.norm()
        numeric, doubt = slope(along(unit), least)
        reverse = float(gradient @ unit)
        error = abs(reverse - numeric) / max(least, abs(numeric))
        found.append(
            CertificatePoint(
                point=which,
                direction=name,
                reverse=reverse,
                finite_difference=numeric,
                relative_error=error,
                doubt=doubt,
                steps=run.steps,
                passed=max(error, doubt) <= TOLERANCE,
                through=through,
            )
        )
    return max(found, key=lambda point: (max(point.doubt, TOLERANCE), point.relative_error))


def certificate(estimator: Estimator, points: Sequence[CertificatePoint]) -> Certificate:
    """Certificate of a result: engine, tolerance, and the points that passed."""
    engine = estimator.engine if isinstance(estimator, ReverseMode) else Reverse.engine
    return Certificate(engine=engine, tolerance=TOLERANCE, points=list(points))


def beside(point: Tensor, seed: int) -> Tensor:
    """Point [k] moved in each coordinate by ``NUDGE``, give or take a half of it, up or down at random."""
    up, size = torch.rand(
        2, len(point), generator=generator_of((seed, Purpose.CERTIFICATE, Purpose.CERTIFICATE)), dtype=torch.float64
    )
    away: Tensor = NUDGE * (0.5 + size) * torch.where(up < 0.5, -1.0, 1.0)
    return point + away


def exact(estimator: Estimator) -> Estimator:
    """Exact reverse mode by the engine of an estimator, with its storage.

    An estimator that is no reverse mode trains through the population engine, so that engine is certified.
    """
    return estimator.exact() if isinstance(estimator, ReverseMode) else Reverse("sqrt", "exact")


def _losses(run: ShortRun, draw: Draw, point: Tensor, unit: Tensor, population: int, on_step: OnStep) -> Loss:
    """Validation loss along a line through the point, as a function of offsets [n]."""

    def along(offsets: Tensor) -> Tensor:
        points = point + offsets[:, None] * unit
        parts = []
        for chunk in torch.split(points, population):
            trained = run.train(chunk, draw.select([0] * len(chunk)), on_step)
            with torch.no_grad():
                parts.append(run.evaluate(trained.parameters, trained.loss, run.data.validation)[0].to(point.device))
        return torch.cat(parts)

    return along


def slope(loss: Loss, least: float) -> tuple[float, float]:
    """Derivative at 0 by central differences, and its doubt: the distance between the two rules that agree best.

    Neighbouring half widths h < H make a five-point rule, (r^2 d(h) - d(H)) / (r^2 - 1) with r = H / h and d the central
    difference, exact to the fourth order. Kinks (a gradient norm that crosses the clip threshold) and jumps (a ReLU that
    switches, and with it the training gradient) spoil the wide rules, rounding the narrow ones. The two neighbouring
    rules that agree best are believed, because an accidental error is different at every width.

    Args:
        loss: loss along a line.
        least: smallest slope that the doubt is taken relative to.

    Returns:
        (derivative, doubt relative to the larger of its size and ``least``).
    """
    differences: dict[float, float] = {}
    best = (0.0, float("inf"))
    for wanted in (CERTIFIED_WIDTHS, *((width,) for width in MORE_WIDTHS)):
        widths = torch.tensor(wanted, dtype=torch.float64)
        ahead, behind = loss(torch.cat([widths, -widths])).double().chunk(2)
        differences |= zip(wanted, ((ahead - behind) / (2 * widths)).tolist(), strict=True)
        best = _best_pair(differences, least)
        if best[1] <= SETTLED:
            break
    return best


def _best_pair(differences: dict[float, float], least: float) -> tuple[float, float]:
    """(mean, relative distance) of the two neighbouring five-point rules that agree best."""
    widths = sorted(differences, reverse=True)
    rules = []
    for wide, narrow in itertools.pairwise(widths):
        square = (wide / narrow) ** 2
        rules.append((square * differences[narrow] - differences[wide]) / (square - 1))
    pairs = [((a + b) / 2, abs(a - b) / max(abs(a + b) / 2, least)) for a, b in itertools.pairwise(rules)]
    # A NaN (a run beside the point diverged) compares as false everywhere: it must not win.
    return min(pairs, key=lambda pair: float("inf") if math.isnan(pair[1]) else pair[1])
