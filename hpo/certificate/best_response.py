"""Certificate of a best response: its validation gradient against finite differences, in float64.

A short run trains weights and response at the job's point. Then the validation loss through the response is differentiated
by the regularisers and by the scales of their perturbations, as in every validation step of the job, and compared with
differences of the same loss. Only that gradient is certified. The quality of the response itself cannot be read from
difference quotients of one run; the job's quality points measure it.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hpo.best_response.objectives import Objectives
from hpo.best_response.run import BestResponseRun, Standing
from hpo.certificate.certificate import Loss, ShortRun, beside, compared, passing
from hpo.seeding import Purpose
from hpo.training.problem import InnerProblem, OnStep, silent
from windtunnel.types import CertificatePoint
from windtunnel.types.method import BestResponseSettings
from windtunnel.types.results import CertifiedPoint


def certify_response(
    problem: InnerProblem,
    objectives: type[Objectives],
    settings: BestResponseSettings,
    point: Tensor,
    which: CertifiedPoint,
    on_step: OnStep = silent,
) -> CertificatePoint:
    """Compares the gradient through the response with finite differences, along itself and along a random direction.

    Raises:
        CertificateFailed: they disagree, or the differences settle at no length of run.
    """
    point = beside(point, problem.spec.seed)

    def compare(member: int, steps: int) -> CertificatePoint:
        short = ShortRun(problem, steps)
        draw = short.draw([(problem.spec.seed, Purpose.CERTIFICATE, member)])
        run = BestResponseRun(short, objectives, replace(settings, warmup=1.0), draw)
        value, gradient, loss = _validation(run, run.advance(run.begin(point), steps, on_step))

        def along(unit: Tensor) -> Loss:
            return lambda offsets: torch.stack([loss(offset * unit) for offset in offsets])

        return compared(short, which, value, gradient, along, "response")

    return passing(
        compare,
        problem,
        "gradient through the response",
        "no best response of this job can be trusted; report this spec as a defect",
    )


def _validation(run: BestResponseRun, standing: Standing) -> tuple[float, Tensor, Callable[[Tensor], Tensor]]:
    """(loss of the first validation step, its gradient by (h, log sigma) [2k], the loss as a function of offsets [2k])."""
    problem, objectives, count = run.problem, run.objectives, len(run.rows)
    split = problem.data.validation.batch(0, problem.batch_size)
    eps = run.validation_noise(0, len(split))
    home, standing = standing.point.device, run.placed(standing)
    base = problem.loss_tables(standing.point[None])
    weights, response = standing.weights[0], standing.response[0]
    value, by_h, by_scale = objectives.validation_slope(
        weights, response, standing.point, standing.log_scales, eps, base, split
    )

    @torch.no_grad()
    def loss(offset: Tensor) -> Tensor:
        offset = offset.to(standing.point.device)
        at = (standing.point[run.rows] + offset[:count])[None]
        scales = (standing.log_scales + offset[count:])[None]
        return objectives.validation_losses(weights, response, standing.point, at, scales, eps, base, split)[0].to(home)

    return float(value), torch.cat([by_h[0], by_scale[0]]).to(home), loss
