"""Gradient of a best response: of the validation loss, through weights that are a function of the regularisers."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hpo.best_response.objectives import Objectives
from hpo.best_response.run import BestResponseRun
from hpo.estimators.facts.registry import response_facts
from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot
from hpo.footprint.sizes import Sizes
from hpo.training.problem import Draw, InnerProblem, OnStep, silent
from windtunnel.types.method import BestResponseSettings, MethodSpec


@dataclass(frozen=True)
class BestResponse:
    """dL_val(w(h)) / dh at the end of a run that trains weights and response with fixed regularisers.

    A job does not call this: its one run moves the regularisers while it trains (``hpo.search.best_response``). This
    derivative can be compared with those of the other estimators; it is as good as the response that was learned.
    """

    objectives: type[Objectives]
    settings: BestResponseSettings = MethodSpec().best_response_settings

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members] of runs with fixed regularisers, and its gradient through the response [members, k].

        Members are trained one after another.

        Raises:
            Refused: the space has a hyperparameter that is no regulariser.
        """
        refuse_what_it_cannot(self.objectives.name, problem.space)
        values, gradients = [], []
        for member, point in enumerate(points):
            run = BestResponseRun(problem, self.objectives, replace(self.settings, warmup=1.0), draw.select([member]))
            state = run.advance(run.begin(point), problem.steps, on_step)
            offset = torch.zeros(len(run.rows), dtype=torch.float64, device=problem.device, requires_grad=True)
            with torch.enable_grad():
                loss = problem.loss_tables(state.point[None])
                value, _ = problem.evaluate(run.parameters(state, offset), loss, problem.data.validation)
                (slope,) = torch.autograd.grad(value.sum(), [offset])
            values.append(value.detach())
            gradients.append(slope.to(points.dtype))
        cost = float(len(points) * self.member_cost(problem))
        return Estimate(torch.cat(values), torch.stack(gradients), cost).on(points.device)

    def member_cost(self, problem: InnerProblem) -> int:
        """Gradient evaluations of one member's run."""
        return response_facts(self.objectives.name).step_cost(self.settings) * problem.steps

    def member_steps(self, problem: InnerProblem) -> int:
        """Updates of one member's run: ``problem.steps``."""
        return problem.steps


class ResponseKind(EstimatorKind):
    """Makes a best response with the job's settings.

    Args:
        objectives: training and validation objectives of the best response.
    """

    def __init__(self, objectives: type[Objectives]) -> None:
        self.objectives = objectives

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Best response with the objectives of this kind and the settings of the job."""
        return BestResponse(self.objectives, sizes.spec.method.best_response_settings)
