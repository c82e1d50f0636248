"""The certificate of a best response: its validation gradient against finite differences, in float64.

A short run trains weights and response at the job's point; then the validation loss through the response is differentiated
by the regularisers and by the scales of their perturbations, as every validation step of the job does, and compared with
differences of the same loss. What is certified is that gradient. How good the response itself is, no difference quotient of
one run can say: the job's quality points say it.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hpo.best_response.objectives import Kind
from hpo.best_response.run import BestResponseRun, Standing
from hpo.certificate import FLAT, MEMBERS, PURPOSE, SHORTEST, STEPS, TOLERANCE, ShortRun, beside, slope
from hpo.errors import CertificateFailed
from hpo.inner import InnerProblem, OnStep, silent
from hpo.seeding import generator_of
from windtunnel.types import CertificatePoint
from windtunnel.types.method import BestResponseSettings
from windtunnel.types.results import CertifiedPoint


def certify_response(
    problem: InnerProblem,
    kind: Kind,
    settings: BestResponseSettings,
    point: Tensor,
    which: CertifiedPoint,
    on_step: OnStep = silent,
) -> CertificatePoint:
    """Compare the gradient through the response with finite differences, along itself and along a random direction.

    Raises:
        CertificateFailed: they disagree, or the differences settle at no length of run.
    """
    point = beside(point, problem.spec.seed)
    for member in range(MEMBERS):
        steps = min(STEPS, problem.steps)
        while True:
            found = _compare(problem, kind, settings, point, which, member, steps, on_step)
            if found.doubt <= TOLERANCE or steps <= SHORTEST:
                break
            steps = max(steps // 2, SHORTEST)
        if found.passed:
            return found
    raise CertificateFailed(
        f"at the {which} point, after {found.steps} steps, the gradient through the response is {found.reverse:.9g} along "
        f"the {found.direction} direction and finite differences say {found.finite_difference:.9g}: relative error "
        f"{found.relative_error:.1e}, doubt of the differences {found.doubt:.1e}, allowed {TOLERANCE:.0e}",
        "no best response of this job can be trusted; report this spec as a defect",
    )


def _compare(
    problem: InnerProblem,
    kind: Kind,
    settings: BestResponseSettings,
    point: Tensor,
    which: CertifiedPoint,
    member: int,
    steps: int,
    on_step: OnStep,
) -> CertificatePoint:
    short = ShortRun(problem, steps)
    run = BestResponseRun(short, kind, replace(settings, warmup=1.0), short.draw([(problem.spec.seed, PURPOSE, member)]))
    standing = run.advance(run.begin(point), steps, on_step)
    value, gradient, loss = _validation(run, standing)
    least = max(float(gradient.norm()), FLAT * abs(value))
    noise = torch.randn(len(gradient), generator=generator_of((problem.spec.seed, PURPOSE)), dtype=torch.float64)
    found = []
    for name, direction in (("random", noise), ("gradient", gradient)):
        length = direction.norm()
        unit = direction / length if length > 0 else noise / noise.norm()

        def along(offsets: Tensor, unit: Tensor = unit) -> Tensor:
            return torch.stack([loss(offset * unit) for offset in offsets])

        numeric, doubt = slope(along, least)
        reverse = float(gradient @ unit)
        error = abs(reverse - numeric) / max(least, abs(numeric))
        found.append(
            CertificatePoint(
                point=which,
                direction="random" if name == "random" else "gradient",
                reverse=reverse,
                finite_difference=numeric,
                relative_error=error,
                doubt=doubt,
                steps=steps,
                passed=max(error, doubt) <= TOLERANCE,
                through="response",
            )
        )
    return max(found, key=lambda each: (max(each.doubt, TOLERANCE), each.relative_error))


def _validation(run: BestResponseRun, standing: Standing) -> tuple[float, Tensor, Callable[[Tensor], Tensor]]:
    """Loss of the first validation step, its gradient by (h, log sigma) [2k], and the loss that far beside them."""
    problem, objectives, count = run.problem, run.objectives, len(run.rows)
    split = problem.data.validation.batch(0, problem.batch_size)
    eps = run.validation_noise(0, len(split))
    base = problem.loss_tables(standing.point[None])
    weights, response = standing.weights[0], standing.response[0]
    value, by_h, by_scale = objectives.validation_slope(
        weights, response, standing.point, standing.log_scales, eps, base, split
    )

    @torch.no_grad()
    def loss(offset: Tensor) -> Tensor:
        at = (standing.point[run.rows] + offset[:count])[None]
        scales = (standing.log_scales + offset[count:])[None]
        return objectives.validation_losses(weights, response, standing.point, at, scales, eps, base, split)[0]

    return float(value), torch.cat([by_h[0], by_scale[0]]), loss
