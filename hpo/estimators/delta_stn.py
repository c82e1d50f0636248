"""Delta-STN (Bae & Grosse 2020): weights trained without perturbation, beside a centred and linearised response."""

from typing import ClassVar

import torch
from torch import Tensor

from hpo.best_response.objectives import Answered, Objectives
from hpo.estimators.best_response import ResponseKind
from hpo.training.coefficients import Tables
from hpo.training.problem import Batch


class CentredSelfTuning(Objectives):
    """Weights descend the loss at h0; the response takes h - h0 and descends the loss linearised in the response."""

    name: ClassVar[str] = "delta_stn"

    def shifted(self, found: Tensor, centre: Tensor) -> Tensor:
        """Input of the response: h - h0, [..., k]."""
        return found - centre

    def training_gradient(
        self, weights: Tensor, response: Tensor, centre: Tensor, points: Tensor, base: Tables, batch: Batch
    ) -> Answered:
        """Gradient of the loss at h0 by the weights, and of the linearised loss by the response.

        With the control variate on, ``noise`` is subtracted from the linearised loss.
        """
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
