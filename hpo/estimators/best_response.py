"""The gradient that a best response gives: of the validation loss through weights that answer to the regularisers."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hpo.best_response.objectives import Kind
from hpo.best_response.run import BestResponseRun
from hpo.estimators.protocol import Estimate, refuse_what_it_cannot
from hpo.sizing.best_response import step_cost
from hpo.training.problem import Draw, InnerProblem, OnStep, silent
from windtunnel.types.method import BestResponseSettings, MethodSpec


@dataclass(frozen=True)
class BestResponse:
    """dL_val(w(h)) / dh at the end of a run that trains weights and response with regularisers that stay.

    A job does not call this: it moves the regularisers while it trains, once (``hpo.search.best_response``). Alone it is
    the derivative beside those of the other estimators, as good as the response that was learned.
    """

    kind: Kind = "delta_stn"
    settings: BestResponseSettings = MethodSpec(estimator="delta_stn").best_response_settings

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """See the protocol."""
        refuse_what_it_cannot(self.kind, problem.space)
        values, gradients = [], []
        for member, point in enumerate(points):
            run = BestResponseRun(problem, self.kind, replace(self.settings, warmup=1.0), draw.select([member]))
            state = run.advance(run.begin(point), problem.steps, on_step)
            offset = torch.zeros(len(run.rows), dtype=torch.float64, requires_grad=True)
            with torch.enable_grad():
                loss = problem.loss_tables(state.point[None])
                value, _ = problem.evaluate(run.parameters(state, offset), loss, problem.data.validation)
                (slope,) = torch.autograd.grad(value.sum(), [offset])
            values.append(value.detach())
            gradients.append(slope.to(points.dtype))
        return Estimate(torch.cat(values), torch.stack(gradients), cost=float(len(points) * self.member_cost(problem)))

    def member_cost(self, problem: InnerProblem) -> int:
        """Gradient evaluations of one member."""
        return step_cost(self.kind, self.settings) * problem.steps

    def member_steps(self, problem: InnerProblem) -> int:
        """See the protocol."""
        return problem.steps
