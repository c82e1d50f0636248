"""Training and validation objectives of a best response: losses with regularisers per example, and their derivatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import jvp

from hpo.best_response.network import ResponseNetwork
from hpo.tasks import Split
from hpo.training.coefficients import Tables, loss_tables
from hpo.training.losses import mixed, per_example
from hpo.training.problem import Batch
from windtunnel.types.hyperparameters import REGULARISERS

Kind = Literal["stn", "delta_stn"]


@dataclass(frozen=True)
class Answered:
    """Training gradients of weights and response."""

    weights: Tensor
    """Gradient of the weights, [members, P]."""
    response: Tensor
    """Gradient of the response, [members, R]."""


class Objectives:
    """Training and validation objectives of a response network.

    Args:
        network: networks of the members.
        kind: ``stn`` trains weights and response on perturbed regularisers, and the response takes h itself. ``delta_stn``
            trains the weights at h0, and the response, which takes h - h0, on the network linearised in it.
        rows: coordinates of the search space that the network responds to.
        control_variate: whether ``delta_stn`` subtracts from the response's objective a term of mean zero (``noise``).
    """

    def __init__(self, network: ResponseNetwork, kind: Kind, rows: Sequence[int], *, control_variate: bool = False) -> None:
        self.network, self.kind, self.rows, self.control_variate = network, kind, list(rows), control_variate
        self.problem = network.problem

    def moved(self, points: Tensor, centre: Tensor) -> Tensor:
        """Input of the response for points [..., K] of the search space around a centre [K]; differentiable."""
        found = points[..., self.rows]
        if self.kind == "delta_stn":
            found = found - centre[self.rows].detach()
        return found.to(self.problem.dtype)

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
        own, answers = self.problem.layout.leaves(weights), self.network.layout.leaves(response)
        moved, tables = self.moved(points, centre), self.example_tables(points, base)
        with torch.enable_grad():
            if self.kind == "stn":
                outputs = self.network.training_outputs(own, answers, moved, batch.inputs, tables, batch.noise)
                loss = self.loss(outputs, own, answers, moved, tables, batch)
                found = torch.autograd.grad(loss.sum(), [*own, *answers])
                by_weights, by_response = found[: len(own)], found[len(own) :]
                return Answered(self.problem.layout.join(by_weights), self.network.layout.join(by_response))
            given = [part.detach() for part in own]
            outputs = self.linearised(given, answers, moved, batch, tables)
            loss = self.loss(outputs, given, answers, moved, tables, batch)
            if self.control_variate:
                loss = loss - self.noise(given, answers, moved, base, batch)
            by_response = torch.autograd.grad(loss.sum(), answers)
        plain = self.problem.loss_gradient(weights, base, batch)
        return Answered(plain, self.network.layout.join(by_response))

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
        losses = per_example(self.problem.task, outputs, batch.labels, tables.get("label_smoothing"))
        if batch.sources is None:
            mean = losses.mean(dim=1)
        else:
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
        moved = at[:, None] + log_scales.exp()[:, None] * eps
        if self.kind == "delta_stn":
            moved = moved - centre[self.rows]
        many = inputs.expand(members, *inputs.shape)
        outputs = self.network.plain_outputs(own, answers, moved.to(problem.dtype), many, base)
        return per_example(problem.task, outputs, labels.expand(members, *labels.shape)).mean(dim=1)

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
