"""Names the likely cause of a certificate that failed: the module, the loss, or a learning rate that is too high."""

from collections.abc import Callable

import torch
from torch import Tensor

from hpo.certificate.certificate import ShortRun, slope
from hpo.errors import CertificateFailed, HpoError
from hpo.seeding import Purpose, generator_of
from hpo.tasks.losses import mean_loss
from hpo.training.evaluation import diverged_to_infinity
from hpo.training.problem import InnerProblem
from hpo.training.scales import highest_rate
from windtunnel.types.results import CertifiedPoint

WRONG = 1e-4
"""Relative difference of a gradient and its finite differences above which the function it belongs to is the cause."""
CALM = 0.01
"""Learning rate at which short runs of a sound job are smooth; a rate above it is the cause if this one passes."""
EXAMPLES = 32
"""Training examples on which module and loss are differentiated."""
UNSPENT = "nothing has been spent on the job"


class TooHighRate(CertificateFailed):
    """The hypergradient cannot be compared at this learning rate, and can at a lower one."""


def explained(
    failure: CertificateFailed,
    problem: InnerProblem,
    point: Tensor,
    which: CertifiedPoint,
    calmer: Callable[[float], tuple[InnerProblem, Tensor]],
    passes: Callable[[InnerProblem, Tensor], object],
) -> CertificateFailed:
    """The failure with its likely cause in place of the general advice; the same failure if no cause is found.

    Args:
        failure: what the certificate said.
        problem: inner problem of the job.
        point: unconstrained coordinates at which it failed, [k].
        which: name of the point.
        calmer: learning rate -> (problem, point) that differ in that rate alone.
        passes: certifies a problem at a point; raises CertificateFailed if that fails, too.
    """
    unspent = f"; {UNSPENT}" if which == "start" else ""
    if (culprit := _culprit(problem, point)) is not None:
        cause, advice = culprit
        return CertificateFailed(f"{cause}: {failure.message}{unspent}", advice)
    if (rate := highest_rate(problem, point)) > CALM:
        try:
            passes(*calmer(CALM))
        except CertificateFailed:
            return CertificateFailed(f"{failure.message}{unspent}", failure.hint)
        loss = _loss_after(problem, point)
        if loss == float("inf"):
            told = f"training diverges at learning rate {rate:g} within {min(20, problem.steps)} updates"
        else:
            told = f"training is chaotic at learning rate {rate:g}"
        lower = "lower the high end of learning_rate in search"
        if which == "start":
            lower = f"start from a lower optimizer.learning_rate, {CALM:g} for example"
        return TooHighRate(
            f"{told}, so that its hypergradient cannot be compared with finite differences (at {CALM:g} it passes): "
            f"{failure.message}{unspent}",
            f"{lower}, add warmup, or clip at a smaller norm",
        )
    return CertificateFailed(f"{failure.message}{unspent}", failure.hint)


def _loss_after(problem: InnerProblem, point: Tensor) -> float:
    """Validation loss after a short run at the point; infinite if it diverged."""
    run = ShortRun(problem, min(20, problem.steps))
    trained = run.train(point[None], run.draw([(problem.spec.seed, Purpose.CERTIFICATE, 0)]))
    with torch.no_grad():
        return float(diverged_to_infinity(run.evaluate(trained.parameters, trained.loss, run.data.validation)[0].double()))


def _culprit(problem: InnerProblem, point: Tensor) -> tuple[str, str] | None:
    """(what has a wrong derivative, what to do): the module or the loss; None if both are right, or none can be told."""
    run = ShortRun(problem, 1)
    tables = run.loss_tables(point[None])
    generator = generator_of((problem.spec.seed, Purpose.CERTIFICATE, 1))
    few = run.data.train.sample().batch(0, EXAMPLES)
    inputs = few.inputs.to(run.dtype) if few.inputs.is_floating_point() else few.inputs
    labels = (few.labels.to(run.dtype) if run.task.kind == "regression" else few.labels)[None]
    scales = torch.tensor(run.init_std, dtype=torch.float64).repeat_interleave(torch.tensor(run.layout.sizes))
    numbers = torch.randn(2, run.layout.parameters, generator=generator, dtype=torch.float64)
    # Weights of the readout start at 0, where nothing below them has a gradient: all are drawn at the size of the others.
    weights = (numbers[:1] * scales.clamp(min=0.1)) + (0.0 if run.constants is None else run.constants)

    def outputs(at: Tensor) -> Tensor:
        return run.outputs(run.layout.split(at), tables, inputs)

    def loss(at: Tensor) -> Tensor:
        return mean_loss(run.task, at, labels)

    try:
        found = outputs(weights).detach()
        if not found.isfinite().all():
            return None
        along = torch.randn(found.shape, generator=generator, dtype=torch.float64)
        error, doubt = _errors(lambda at: (outputs(at) * along).sum(), weights, numbers[1:] / numbers[1:].norm())
        if not max(error, doubt) <= WRONG:
            return _words("the module", "forward", rounds=doubt > WRONG)
        error, doubt = _errors(lambda at: loss(at).sum(), found, along / along.norm())
        if not max(error, doubt) <= WRONG:
            return _words(f"loss {run.task.loss or run.task.kind}", "it", rounds=doubt > WRONG)
    except (RuntimeError, HpoError):
        return None
    return None


def _words(what: str, where: str, *, rounds: bool) -> tuple[str, str]:
    """(cause, advice) for a function whose gradient is not the slope of its values."""
    if rounds:
        return (
            f"{what} casts to fewer digits inside, such as float32 or half",
            f"keep the precision of the inputs in {where}: no .float(), .half() or dtype=torch.float32, and bring "
            "constants to x.dtype; the runs themselves are in float32",
        )
    return (
        f"the gradient of {what} is not the slope of its values",
        f"{where} must be differentiable through every operation: nothing detached, rounded (round, sign, argmax) or "
        "cast to fewer digits (.float(), .half()), no straight-through gradient, no "
        "autograd.Function whose backward is not the derivative of its forward",
    )


def _errors(function: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> tuple[float, float]:
    """(relative error of the gradient along a direction, relative doubt of its finite differences), in float64.

    The doubt is large where the values are rounded to fewer digits: no two widths of differences agree.
    """
    leaf = at.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(function(leaf), leaf)
    expected = float((gradient * direction).sum())
    least = max(float(gradient.norm()) * 1e-2, 1e-9)
    with torch.no_grad():
        numeric, doubt = slope(
            lambda offsets: torch.stack([function(at + offset * direction) for offset in offsets]).view(-1), least
        )
    return abs(numeric - expected) / max(least, abs(numeric)), doubt
