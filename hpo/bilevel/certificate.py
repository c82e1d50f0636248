"""Certificate of a bilevel problem: its exact hypergradient against finite differences of its own short runs."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hpo.bilevel.inner import PlainProblem
from hpo.bilevel.problem import Bilevel, Named
from hpo.bilevel.uses import uses
from hpo.bilevel.variables import Variables
from hpo.certificate.certificate import FLAT, TOLERANCE, beside, exact, slope
from hpo.errors import CertificateFailed
from hpo.estimators.protocol import Estimator
from hpo.estimators.runs import final_losses
from hpo.footprint.budget import CERTIFIED_SHORTEST, CERTIFIED_STEPS
from hpo.seeding import Purpose, generator_of
from hpo.training.coefficients import Coefficients

Outcome = Literal["passed", "not settled", "no derivative", "single precision"]
"""passed: they agree. not settled: no difference quotient settles, at no length of run, so nothing is said. no derivative:
the optimizer hides one, and no estimator goes through its updates. single precision: the functions fail in float64."""


@dataclass(frozen=True)
class PlainCertificate:
    """Exact hypergradient beside finite differences, along the gradient and along a random direction, in float64."""

    outcome: Outcome
    reverse: float = float("nan")
    """Slope that the exact adjoint gives along the direction of larger error."""
    finite_difference: float = float("nan")
    relative_error: float = float("nan")
    """Distance of the two, relative to the gradient's length or to a thousandth of the loss, whichever is larger."""
    doubt: float = float("nan")
    """Distance of the two difference quotients that agree best, relative to the same."""
    steps: int = 0
    """Updates of the short run."""
    why: str = ""
    """Reason that it did not pass; empty if it did."""


class ShortProblem(PlainProblem):
    """Few updates of a bilevel problem in float64: its first batches, and settings spread over the whole of its steps."""

    def shorten(self, steps: int) -> "ShortProblem":
        """This problem with ``steps`` updates."""
        self.rows = torch.linspace(0, self.stated.steps - 1, steps, dtype=torch.float64).round().long()
        self.steps = steps
        return self

    def coefficients(self, points: Tensor) -> Coefficients:
        """Tables at points [members, k]; those over time have one row for each update of the short run."""
        found = super().coefficients(points)
        return replace(found, scheduled={name: table[self.rows] for name, table in found.scheduled.items()})


def certify(problem: Bilevel, outer: Named, estimator: Estimator, seed: int = 0) -> PlainCertificate:
    """Compare the exact hypergradient a thousandth beside ``outer`` with finite differences, over at most 20 updates.

    Args:
        problem: the bilevel problem.
        outer: values of the outer variables.
        estimator: the estimator of the problem; its exact form, or reverse mode, is certified.
        seed: seed of the run.

    Raises:
        CertificateFailed: the differences settle, and say something else.
    """
    variables = Variables.of(outer)
    whole = PlainProblem(problem, variables, outer, seed)
    if whole.optimizer.pathwise:
        return PlainCertificate("no derivative", why=whole.optimizer.pathwise)
    point = beside(variables.flat(outer).double(), seed)
    wide = {name: value.detach().double() for name, value in outer.items()}
    # What a look at the functions in their own precision finds wrong is not for the precision to blame.
    uses(whole, outer, seed)
    steps = min(CERTIFIED_STEPS, problem.steps)
    while True:
        short = ShortProblem(problem, variables, wide, seed, torch.float64).shorten(steps)
        try:
            uses(short, wide, seed)
            found = _compared(short, point, exact(estimator), seed)
        except (RuntimeError, TypeError) as error:
            said = str(error).strip().splitlines()
            return PlainCertificate("single precision", why=said[0] if said else type(error).__name__)
        if found.doubt <= TOLERANCE or steps <= CERTIFIED_SHORTEST:
            break
        steps = max(steps // 2, CERTIFIED_SHORTEST)
    if not found.doubt <= TOLERANCE:
        return replace(found, outcome="not settled", why="no difference quotient settles: a loss with kinks, or chaos")
    if found.relative_error > TOLERANCE:
        raise CertificateFailed(
            f"over {found.steps} steps the hypergradient is {found.reverse:.9g} along a direction and finite differences "
            f"say {found.finite_difference:.9g}: relative error {found.relative_error:.1e}, allowed {TOLERANCE:.0e}",
            "every operation must be differentiable twice: nothing detached, no no_grad, no cast to fewer digits",
        )
    return found


def _compared(short: ShortProblem, point: Tensor, estimator: Estimator, seed: int) -> PlainCertificate:
    draw = short.draw_of([seed])
    estimate = estimator.estimate(short, point[None], draw)
    value, gradient = float(estimate.value[0]), estimate.gradient[0].double()
    least = max(float(gradient.norm()), FLAT * abs(value))
    noise = torch.randn(len(point), generator=generator_of((seed, Purpose.CERTIFICATE)), dtype=torch.float64).to(
        point.device
    )
    found = []
    for direction in (noise, gradient):
        length = direction.norm()
        unit = direction / length if length > 0 else noise / noise.norm()

        def along(offsets: Tensor, unit: Tensor = unit) -> Tensor:
            points = point + offsets.to(point)[:, None] * unit
            return final_losses(short, points, [0] * len(points), draw, len(points), lambda _: None).cpu()

        numeric, doubt = slope(along, least)
        reverse = float(gradient @ unit)
        error = abs(reverse - numeric) / max(least, abs(numeric))
        found.append(PlainCertificate("passed", reverse, numeric, error, doubt, short.steps))
    # A NaN counts as not settled.
    return max(found, key=lambda one: (not one.doubt <= TOLERANCE, one.relative_error))
