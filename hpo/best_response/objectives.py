"""Training and validation objectives of a best response: losses with regularisers per example, and their derivatives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import jvp

from hpo.best_response.network import ResponseNetwork
from hpo.tasks import Split
from hpo.tasks.losses import mean_loss, mixed, per_example
from hpo.training.coefficients import Tables, loss_tables
from hpo.training.problem import Batch
from windtunnel.types.hyperparameters import REGULARISERS


@dataclass(frozen=True)
class Answered:
    """Training gradients of weights and response."""

    weights: Tensor
    """Gradient of the weights, [members, P]."""
    response: Tensor
    """Gradient of the response, [members, R]."""


class Objectives(ABC):
    """Training and validation objectives of a response network; they tell one best response from another.

    Args:
        network: networks of the members.
        rows: coordinates of the search space that the network answers to.
        control_variate: whether ``noise``, of mean zero, is subtracted from the response's objective, if that has it.
    """

    name: ClassVar[str]
    """Name of the best response in the table of estimators."""

    def __init__(self, network: ResponseNetwork, rows: Sequence[int], *, control_variate: bool = False) -> None:
        self.network, self.control_variate = network, control_variate
        self.problem = network.problem
        self.rows = torch.tensor(list(rows)).to(self.problem.device)

    @abstractmethod
    def shifted(self, found: Tensor, centre: Tensor) -> Tensor:
        """Input of the response for regularisers h around a centre, in the dtype of ``found``; differentiable.

        Args:
            found: h, [..., k].
            centre: h0, [k]; no gradient goes through it.
        """

    @abstractmethod
    def training_gradient(
        self, weights: Tensor, response: Tensor, centre: Tensor, points: Tensor, base: Tables, batch: Batch
    ) -> Answered:
        """Gradients of one training step.

        Args:
            weights: weights, [members, P].
            response: response, [members, R].
            centre: h0, [K].
            points: the centre, perturbed for each example, [members, batch, K].
            base: tables of the loss at the centre, one row per member.
            batch: examples and noise.
        """

    def moved(self, points: Tensor, centre: Tensor) -> Tensor:
        """Input of the response, [..., k], for points [..., K] of the search space around a centre [K]; differentiable."""
        return self.shifted(points[..., self.rows], centre[self.rows].detach()).to(self.problem.dtype)

    def linearised(
        self, weights: Sequence[Tensor], answers: Sequence[Tensor], moved: Tensor, batch: Batch, tables: Tables
    ) -> Tensor:
        """Outputs linearised in the response: f(x, w0) + d f(x, w0 + r(a h)) / d a at a = 0 (Bae & Grosse 2020).

        The response enters layer by layer as a product with h, so the derivative along h at 0 is that along r(h).
        """

        def answer(at: Tensor) -> Tensor:
            return self.network.training_outputs(weights, answers, at, batch.inputs, tables, batch.noise)

        outputs, tangent = _along(answer, moved)
        return outputs + tangent

    def noise(
        self, weights: Sequence[Tensor], answers: Sequence[Tensor], moved: Tensor, base: Tables, batch: Batch
    ) -> Tensor:
        """Derivative of the loss at the centre's regularisers along the response, [members]; of mean 0 over perturbations.

        Each example pulls the response along its own training gradient times its own perturbation. That term says nothing
        about the regularisers and outweighs the terms that do. As it is known exactly, it is subtracted; the objective's
        mean does not change.
        """
        even = {name: self._alike(name, table, moved) for name, table in base.items()}

        def at(here: Tensor) -> Tensor:
            outputs = self.network.training_outputs(weights, answers, here, batch.inputs, even, batch.noise)
            return self.loss(outputs, weights, answers, here, even, batch)

        return _along(at, moved)[1]

    @staticmethod
    def _alike(name: str, table: Tensor, moved: Tensor) -> Tensor:
        """A regulariser's table with one value for all examples of a member."""
        if name not in REGULARISERS:
            return table
        return table[:, None].expand(-1, moved.shape[1], *table.shape[1:])

    def loss(
        self,
        outputs: Tensor,
        weights: Sequence[Tensor],
        answers: Sequence[Tensor],
        moved: Tensor,
        tables: Tables,
        batch: Batch,
    ) -> Tensor:
        """Mean training loss of each member with the regularisers of each example, [members]."""
        task, smoothing = self.problem.task, tables.get("label_smoothing")
        if batch.sources is None:
            mean = mean_loss(task, outputs, batch.labels, smoothing)
        else:
            losses = per_example(task, outputs, batch.labels, smoothing)
            mean = mixed(losses, batch.sources, tables["mixture_weight"], self.problem.shares)
        if "l2" not in tables:
            return mean
        squares = self.network.squares(weights, answers, moved)
        penalty = (tables["l2"][:, :, self.problem.penalised] * squares).sum(dim=2) / 2
        return mean + penalty.mean(dim=1)

    def example_tables(self, points: Tensor, base: Tables) -> dict[str, Tensor]:
        """Tables of the loss with one value per example for regularisers, [members, batch]; ``l2`` has tensors last."""
        problem, shape = self.problem, points.shape[:2]
        flat = points.flatten(0, 1).to(problem.dtype)
        found = loss_tables(problem.spec, problem.space, problem.layout, flat)
        own: dict[str, Tensor] = {
            name: table.view(*shape, *table.shape[1:]) for name, table in found.items() if name in REGULARISERS
        }
        return {**base, **own}

    def validation_losses(
        self,
        weights: Tensor,
        response: Tensor,
        centre: Tensor,
        at: Tensor,
        log_scales: Tensor,
        eps: Tensor,
        base: Tables,
        split: Split,
    ) -> Tensor:
        """Loss without regularisers of each member on a batch, every example with its own perturbation, [members].

        Args:
            weights: weights, [members, P].
            response: response, [members, R].
            centre: h0, [K].
            at: h before its perturbation, [members, k]; differentiable.
            log_scales: log of the perturbations' standard deviations, [members, k]; differentiable.
            eps: standard normal numbers, [members, batch, k].
            base: tables of the loss, one row per member.
            split: a batch of the validation split, the same for all members.
        """
        problem, members = self.problem, len(weights)
        own, answers = problem.layout.split(weights), self.network.layout.split(response)
        inputs = split.inputs.to(problem.dtype) if split.inputs.is_floating_point() else split.inputs
        labels = split.labels.to(problem.dtype) if problem.task.kind == "regression" else split.labels
        moved = self.shifted(at[:, None] + log_scales.exp()[:, None] * eps, centre[self.rows])
        many = inputs.expand(members, *inputs.shape)
        outputs = self.network.plain_outputs(own, answers, moved.to(problem.dtype), many, base)
        return mean_loss(problem.task, outputs, labels.expand(members, *labels.shape))

    def validation_slope(
        self, weights: Tensor, response: Tensor, centre: Tensor, log_scales: Tensor, eps: Tensor, base: Tables, split: Split
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(validation losses at the centre [members], their derivatives by h and by the log scales, each [members, k])."""
        at = centre[self.rows].expand(len(weights), -1).clone().requires_grad_()
        scales = log_scales.expand(len(weights), -1).clone().requires_grad_()
        with torch.enable_grad():
            losses = self.validation_losses(weights, response, centre, at, scales, eps, base, split)
            by_h, by_scale = torch.autograd.grad(losses.sum(), [at, scales])
        return losses.detach(), by_h, by_scale


def _along(function: Callable[[Tensor], Tensor], direction: Tensor) -> tuple[Tensor, Tensor]:
    """(value of a function at 0, its derivative there along a direction)."""
    found: tuple[Tensor, Tensor] = jvp(function, (torch.zeros_like(direction),), (direction,))  # type: ignore[assignment]
    return found
