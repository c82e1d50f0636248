"""Measures a response's quality: its predicted losses at shifted regularisers beside those of networks trained there."""

from collections.abc import Callable

import torch
from torch import Tensor

from hpo.best_response.run import Answer
from hpo.footprint.budget import QUALITY_MEMBERS
from hpo.search.best_response.replay import points_of, replay, schedule_of
from hpo.seeding import Purpose, generator_of
from hpo.training.evaluation import diverged_to_infinity, mean_and_stderr
from hpo.training.problem import OnStep
from windtunnel.types.responses import ResponsePoint

DISTANCE = 0.5
"""Distance of the shifted schedules, in unconstrained units; equals the size of the first perturbations."""


def offsets(coordinates: int, seed: int) -> Tensor:
    """Offsets at which the response is tried, [QUALITY_POINTS, k]: 0; all regularisers up, down; two opposite mixtures.

    A single regulariser has no mixtures: it is tried at twice the distance instead.
    """
    ones = torch.ones(coordinates, dtype=torch.float64)
    if coordinates == 1:
        return DISTANCE * torch.stack([0 * ones, ones, -ones, 2 * ones, -2 * ones])
    signs = torch.ones(coordinates, dtype=torch.float64)
    signs[torch.randperm(coordinates, generator=generator_of((seed, Purpose.QUALITY)))[: coordinates // 2]] = -1
    return DISTANCE * torch.stack([0 * ones, ones, -ones, signs, -signs])


def judged_members(answer: Answer) -> int:
    """Number of members of a run on which its quality is judged."""
    return min(QUALITY_MEMBERS, answer.run.members)


def response_quality(answer: Answer, population: int, on_step: OnStep) -> list[ResponsePoint]:
    """Predicted and retrained validation loss at shifted schedules.

    A member is trained again from its own initial values, on its own batches, with the whole schedule shifted by an offset.
    The response at the end of the run predicts the loss of such a run. Under ``delta_stn`` the run at offset 0 repeats the
    member's own, except that its schedule is reduced to knots.

    Args:
        answer: the finished run.
        population: members trained as one computation, at most.
        on_step: called after every inner step.
    """
    run, standing, problem = answer.run, answer.standing, answer.run.problem
    space, rows, count = problem.space, run.rows, judged_members(answer)
    schedule = schedule_of(space, rows, standing.trajectory, problem.steps)
    knots, tried = points_of(space, schedule, standing.point), offsets(len(rows), problem.spec.seed)
    shifted = knots.expand(len(tried), -1, -1).clone()
    shifted[:, :, rows] += tried[:, None]
    validation = problem.data.validation
    predicted = torch.stack([run.losses(standing, validation, offset)[:count] for offset in tried])
    retrained = _in_chunks(
        lambda points, members: replayed_losses(answer, shifted[points], members, on_step), len(tried), count, population
    )
    predicted, retrained = diverged_to_infinity(predicted), diverged_to_infinity(retrained)
    labels = [space.labels[row] for row in rows]
    found = []
    for index, offset in enumerate(tried.tolist()):
        gap = (predicted[index] - predicted[0]) - (retrained[index] - retrained[0])
        found.append(
            ResponsePoint(
                offsets=dict(zip(labels, offset, strict=True)),
                predicted=mean_and_stderr(predicted[index])[0],
                retrained=mean_and_stderr(retrained[index])[0],
                error=mean_and_stderr(gap)[1],
            )
        )
    return [point for point in found if max(point.predicted, point.retrained) < float("inf")]


def replayed_losses(answer: Answer, knots: Tensor, members: list[int], on_step: OnStep) -> Tensor:
    """Validation losses, [runs], of members trained again along knots [runs, knots, K]."""
    problem = answer.run.problem
    trained = replay(problem, knots, answer.run.draw.select(members), on_step)
    with torch.no_grad():
        return problem.evaluate(trained.parameters, trained.loss, problem.data.validation)[0].to(knots.device).double()


def _in_chunks(losses: Callable[[list[int], list[int]], Tensor], points: int, members: int, population: int) -> Tensor:
    """Losses of every point with every member, [points, members], computed in groups of at most ``population`` runs."""
    pairs = [(point, member) for point in range(points) for member in range(members)]
    parts = []
    for begin in range(0, len(pairs), population):
        chunk = pairs[begin : begin + population]
        parts.append(losses([point for point, _ in chunk], [member for _, member in chunk]))
    return torch.cat(parts).view(points, members)
