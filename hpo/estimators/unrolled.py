"""The ``higher`` engine: the whole unrolled graph of one member at a time. Slow, memory-hungry, the parity oracle.

It shares no update code with the state-replay engine: the optimizers below are written for ``higher`` from the
algorithms themselves, per tensor. ``higher`` 0.2.1 brings no AdamW, and its Adam takes a Python square root of the
second bias correction, which cuts the graph to beta2; so both are registered here.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import higher
import torch
from higher.optim import DifferentiableOptimizer
from torch import Tensor, nn

from hpo.estimators.protocol import Estimate, ReverseMode, refuse_what_it_cannot
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Batch, Draw, InnerProblem, OnStep, silent


class DifferentiableAdamW(DifferentiableOptimizer):  # type: ignore[misc]
    """AdamW (Loshchilov & Hutter 2019), and Adam with L2, for tensors as settings.

    Group settings: ``lr``, ``betas``, ``eps``, ``shrink`` (share of the parameter taken off) and ``l2``.
    """

    def _update(self, grouped_grads: Sequence[Sequence[Tensor]], **_: Any) -> None:
        for index, (group, gradients) in enumerate(zip(self.param_groups, grouped_grads, strict=True)):
            beta1, beta2 = group["betas"]
            for place, (parameter, raw) in enumerate(zip(group["params"], gradients, strict=True)):
                memory = self.state[index][place]
                gradient = raw + group["l2"] * parameter
                count = memory["step"] = memory.get("step", 0) + 1
                first = memory["first"] = beta1 * memory.get("first", 0.0) + (1 - beta1) * gradient
                second = memory["second"] = beta2 * memory.get("second", 0.0) + (1 - beta2) * gradient * gradient
                alive = second > 0
                root = torch.where(alive, torch.sqrt(torch.where(alive, second, 1.0)), 0.0)
                denominator = root / torch.sqrt(1 - beta2**count) + group["eps"]
                move = group["lr"] * (first / (1 - beta1**count)) / denominator
                group["params"][place] = parameter - group["shrink"] * parameter - move


class DifferentiableMomentum(DifferentiableOptimizer):  # type: ignore[misc]
    """SGD with heavy-ball momentum, for tensors as settings: ``lr``, ``momentum``, ``shrink`` and ``l2``."""

    def _update(self, grouped_grads: Sequence[Sequence[Tensor]], **_: Any) -> None:
        for index, (group, gradients) in enumerate(zip(self.param_groups, grouped_grads, strict=True)):
            for place, (parameter, raw) in enumerate(zip(group["params"], gradients, strict=True)):
                memory = self.state[index][place]
                gradient = raw + group["l2"] * parameter
                buffer = memory["buffer"] = group["momentum"] * memory.get("buffer", 0.0) + gradient
                group["params"][place] = parameter - group["shrink"] * parameter - group["lr"] * buffer


higher.register_optim(torch.optim.AdamW, DifferentiableAdamW)
higher.register_optim(torch.optim.Adam, DifferentiableAdamW)
higher.register_optim(torch.optim.SGD, DifferentiableMomentum)

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


class Unrolled(ReverseMode):
    """Full-graph reverse mode through ``higher`` (Grefenstette et al. 2019), exact."""

    engine: ClassVar[Literal["population", "higher"]] = "higher"

    def exact(self) -> "Unrolled":
        """See ``ReverseMode``: it is exact."""
        return self

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """See the protocol. Members are differentiated one after another."""
        refuse_what_it_cannot("higher", problem.space)
        found = [self._one(problem, points[row : row + 1], draw.select([row]), on_step) for row in range(len(points))]
        values, gradients = zip(*found, strict=True)
        return Estimate(torch.cat(values), torch.cat(gradients), cost=float(3 * problem.steps * len(points)))

    def member_steps(self, problem: InnerProblem) -> int:
        """See the protocol."""
        return problem.steps

    def _one(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep) -> tuple[Tensor, Tensor]:
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            start = problem.initial(draw, tables)[0]
            # higher differentiates in the parameters: they are part of the graph also where no init is searched.
            initial = [part[0] for part in problem.layout.split(start if start.requires_grad else start.requires_grad_())]
            model, groups = _module(problem, [part.detach() for part in initial])
            optimizer = OPTIMIZERS[problem.spec.optimizer.name](groups, lr=1.0)
            with higher.innerloop_ctx(model, optimizer, copy_initial_weights=False) as (patched, differentiable):
                patched.update_params(initial)
                for step in range(problem.steps):
                    loss = self._loss(problem, patched.fast_params, tables, problem.batch(draw, step))
                    differentiable.step(
                        loss,
                        override=_settings(tables, step, problem),
                        grad_callback=lambda gradients: _clipped(gradients, tables.update.get("clip_norm")),
                    )
                    on_step(1)
                final = [part[None] for part in patched.fast_params]
                value, _ = problem.evaluate(problem.layout.join(final), tables.loss, problem.data.validation)
                (gradient,) = torch.autograd.grad(value.sum(), [leaf])
        return value.detach(), gradient

    @staticmethod
    def _loss(problem: InnerProblem, parameters: Sequence[Tensor], tables: Coefficients, batch: Batch) -> Tensor:
        return problem.training_loss([part[None] for part in parameters], tables.loss, batch).sum()


def _module(problem: InnerProblem, initial: Sequence[Tensor]) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A real module with those weights, and one parameter group a tensor, in the layout's order."""
    model = problem.build_module().to(problem.dtype)
    model.load_state_dict(dict(zip(problem.layout.names, initial, strict=True)))
    named = dict(model.named_parameters())
    return model, [{"params": [named[name]]} for name in problem.layout.names]


def _settings(tables: Coefficients, step: int, problem: InnerProblem) -> dict[str, list[Any]]:
    """Settings of every parameter group at one step, in the form that ``higher`` calls override."""
    count = len(problem.layout.tensors)
    zeros = [0.0] * count
    scheduled, update = tables.scheduled, tables.update
    settings: dict[str, list[Any]] = {
        "lr": list(scheduled["learning_rate"][step, 0]),
        "shrink": list(scheduled["shrink"][step, 0]) if "shrink" in scheduled else zeros,
        "l2": list(update["coupled_decay"][0]) if "coupled_decay" in update else zeros,
    }
    if "momentum" in update:
        settings["momentum"] = [update["momentum"][0, 0]]
    else:
        settings["betas"] = [(update["beta1"][0, 0], update["beta2"][0, 0])]
        settings["eps"] = list(update["eps"][0])
    return settings


def _clipped(gradients: Sequence[Tensor], threshold: Tensor | None) -> Sequence[Tensor]:
    """Gradients clipped by their global norm, as torch.nn.utils.clip_grad_norm_ does, with the norm in the graph."""
    if threshold is None:
        return gradients
    square = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    if square == 0:
        return gradients
    scale = (threshold[0, 0] / (square.sqrt() + 1e-6)).clamp(max=1.0)
    return [gradient * scale for gradient in gradients]
