"""Reverse mode by the package ``higher``: the whole unrolled graph of one member at a time.

It is slow and takes much memory, and is the parity oracle of the state-replay engine. It shares no update code with that
engine: a rule's form for ``higher`` (``Rule.for_higher``) is written from the algorithm itself, per tensor.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from higher.optim import DifferentiableOptimizer
from higher.patch import monkeypatch
from torch import Tensor, nn

from hpo.errors import Refused
from hpo.estimators.protocol import Estimate, ReverseMode, refuse_what_it_cannot, refuse_without_derivative
from hpo.noise import Step
from hpo.training.coefficients import Coefficients, row_of
from hpo.training.problem import Batch, Draw, InnerProblem, OnStep, silent, with_buffers_on


class Unrolled(ReverseMode):
    """Full-graph reverse mode through ``higher`` (Grefenstette et al. 2019), exact."""

    engine: ClassVar[Literal["population", "higher"]] = "higher"

    def exact(self) -> "Unrolled":
        """This estimator, which is exact."""
        return self

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members] and its exact gradient [members, k]. Members are differentiated one after another.

        Raises:
            Refused: a hyperparameter or the updates cannot be differentiated, or the optimizer has no form for ``higher``.
        """
        refuse_what_it_cannot("higher", problem.space)
        refuse_without_derivative("higher", problem)
        form = problem.rule.for_higher()
        if form is None:
            raise Refused(
                f"estimator 'higher' has no form of optimizer {problem.optimizer.name!r}", "use estimator 'reverse'"
            )
        found = [self._one(problem, form, points[row : row + 1], draw.select([row]), on_step) for row in range(len(points))]
        values, gradients = zip(*found, strict=True)
        cost = float(3 * problem.steps * len(points))
        return Estimate(torch.cat(values), torch.cat(gradients), cost).on(points.device)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member's run: ``problem.steps``."""
        return problem.steps

    def _one(
        self, problem: InnerProblem, form: type[DifferentiableOptimizer], points: Tensor, draw: Draw, on_step: OnStep
    ) -> tuple[Tensor, Tensor]:
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            start = problem.initial(draw, tables)[0]
            # higher differentiates in the parameters: they are part of the graph also where no init is searched.
            initial = [part[0] for part in problem.layout.split(start if start.requires_grad else start.requires_grad_())]
            model, groups = _module(problem, [part.detach() for part in initial])
            patched = monkeypatch(model, copy_initial_weights=False)
            patched.update_params(initial)
            # Only the groups of this optimizer count: every setting is given anew at every step.
            holder = torch.optim.SGD(groups, lr=1.0)
            differentiable = form(holder, [*model.parameters()], fmodel=patched)
            for number in range(problem.steps):
                step = problem.at_step(number)
                loss = self._loss(problem, patched.fast_params, tables, problem.batch(draw, step))
                differentiable.step(
                    loss,
                    override=_settings(tables, step, problem),
                    grad_callback=lambda gradients: _clipped(gradients, tables.update.get("clip_norm")),
                )
                on_step(1)
            final = [part[None] for part in patched.fast_params]
            value = problem.validation_loss(problem.layout.join(final), tables.loss, draw)
            (gradient,) = torch.autograd.grad(value.sum(), [leaf])
        return value.detach(), gradient

    @staticmethod
    def _loss(problem: InnerProblem, parameters: Sequence[Tensor], tables: Coefficients, batch: Batch) -> Tensor:
        return problem.training_loss([part[None] for part in parameters], tables.loss, batch).sum()


def _module(problem: InnerProblem, initial: Sequence[Tensor]) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Module with those weights, and one parameter group for each tensor, in the layout's order."""
    model = with_buffers_on(problem.build_module().to(problem.dtype), problem.device)
    model.load_state_dict(dict(zip(problem.layout.names, initial, strict=True)), assign=True)
    named = dict(model.named_parameters())
    return model, [{"params": [named[fact.name]], "role": fact.role} for fact in problem.layout.tensors]


def _settings(tables: Coefficients, step: Step, problem: InnerProblem) -> dict[str, list[Any]]:
    """Settings of every parameter group at one step, in the form that ``higher`` calls override."""
    count = len(problem.layout.tensors)
    zeros = [0.0] * count
    scheduled, update = tables.scheduled, tables.update
    settings: dict[str, list[Any]] = {
        "lr": list(row_of(scheduled["learning_rate"], step)[0]),
        "shrink": list(row_of(scheduled["shrink"], step)[0]) if "shrink" in scheduled else zeros,
        "l2": list(update["coupled_decay"][0]) if "coupled_decay" in update else zeros,
    }
    own = {name: table[0] for name, table in update.items() if name not in ("clip_norm", "coupled_decay")}
    settings |= {name: [row[0]] if len(row) == 1 else list(row) for name, row in own.items()}
    return settings


def _clipped(gradients: Sequence[Tensor], threshold: Tensor | None) -> Sequence[Tensor]:
    """Gradients clipped by their global norm, as torch.nn.utils.clip_grad_norm_ does, with the norm in the graph."""
    if threshold is None:
        return gradients
    square = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    # A gradient of 0 is not clipped, and the root has no derivative there.
    norm = torch.where(square > 0, square, 1.0).sqrt()
    scale = torch.where(square > 0, (threshold[0, 0] / (norm + 1e-6)).clamp(max=1.0), 1.0)
    return [gradient * scale for gradient in gradients]
