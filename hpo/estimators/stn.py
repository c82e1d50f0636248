"""Self-tuning networks (MacKay et al. 2019): weights and response are trained together on perturbed regularisers."""

from typing import ClassVar

import torch
from torch import Tensor

from hpo.best_response.objectives import Answered, Objectives
from hpo.estimators.best_response import ResponseKind
from hpo.training.coefficients import Tables
from hpo.training.problem import Batch


class SelfTuning(Objectives):
    """Weights and response descend the same loss, and the response takes h itself."""

    name: ClassVar[str] = "stn"

    def shifted(self, found: Tensor, centre: Tensor) -> Tensor:  # noqa: ARG002
        """Input of the response for regularisers around a centre."""
        return found

    def training_gradient(
        self, weights: Tensor, response: Tensor, centre: Tensor, points: Tensor, base: Tables, batch: Batch
    ) -> Answered:
        """Gradients of one training step."""
        own, answers = self.problem.layout.leaves(weights), self.network.layout.leaves(response)
        moved, tables = self.moved(points, centre), self.example_tables(points, base)
        with torch.enable_grad():
            outputs = self.network.training_outputs(own, answers, moved, batch.inputs, tables, batch.noise)
            loss = self.loss(outputs, own, answers, moved, tables, batch)
            found = torch.autograd.grad(loss.sum(), [*own, *answers])
        by_weights, by_response = found[: len(own)], found[len(own) :]
        return Answered(self.problem.layout.join(by_weights), self.network.layout.join(by_response))


ESTIMATOR = ResponseKind(SelfTuning)
