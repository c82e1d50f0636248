"""Delta-STN (Bae & Grosse 2020): weights trained as they are, beside a centred and linearised response."""

from typing import ClassVar

import torch
from torch import Tensor

from hpo.best_response.objectives import Answered, Objectives
from hpo.estimators.best_response import ResponseKind
from hpo.training.coefficients import Tables
from hpo.training.problem import Batch


class CentredSelfTuning(Objectives):
    """Weights descend the loss at h0; the response takes h - h0, and descends that of the network linearised in it."""

    name: ClassVar[str] = "delta_stn"

    def shifted(self, found: Tensor, centre: Tensor) -> Tensor:
        """Input of the response for regularisers around a centre."""
        return found - centre

    def training_gradient(
        self, weights: Tensor, response: Tensor, centre: Tensor, points: Tensor, base: Tables, batch: Batch
    ) -> Answered:
        """Gradients of one training step."""
        given = [part.detach() for part in self.problem.layout.leaves(weights)]
        answers = self.network.layout.leaves(response)
        moved, tables = self.moved(points, centre), self.example_tables(points, base)
        with torch.enable_grad():
            outputs = self.linearised(given, answers, moved, batch, tables)
            loss = self.loss(outputs, given, answers, moved, tables, batch)
            if self.control_variate:
                loss = loss - self.noise(given, answers, moved, base, batch)
            by_response = torch.autograd.grad(loss.sum(), answers)
        plain = self.problem.loss_gradient(weights, base, batch)
        return Answered(plain, self.network.layout.join(by_response))


ESTIMATOR = ResponseKind(CentredSelfTuning)
