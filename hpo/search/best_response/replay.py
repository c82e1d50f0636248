"""Trains from scratch with regularisers that follow a schedule."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hpo.best_response.run import Moment
from hpo.training.coefficients import Coefficients, detached
from hpo.training.problem import Draw, InnerProblem, OnStep, TrainedMembers, silent
from hpo.training.space import Space
from windtunnel.types.responses import RegulariserSchedule

KNOTS = 41
"""Number of knots of a schedule: enough for the shape that a few hundred validation steps give, few enough to read."""


def schedule_of(space: Space, rows: Sequence[int], trajectory: Sequence[Moment], steps: int) -> RegulariserSchedule:
    """The schedule of a run: its trajectory of regularisers, interpolated at ``KNOTS`` evenly spaced times.

    Args:
        space: search space of the job.
        rows: coordinates of the regularisers.
        trajectory: points of the run, each with the number of updates done before it.
        steps: updates of the whole run.
    """
    values = space.values(torch.stack([moment.point for moment in trajectory]))
    # Of several validation steps after one update the last counts.
    last = {moment.step: index for index, moment in enumerate(trajectory)}
    moments = torch.tensor([step / steps for step in last], dtype=torch.float64)
    times = torch.linspace(0, 1, KNOTS, dtype=torch.float64)
    columns = {space.labels[row]: interpolated(moments, values[list(last.values()), row], times).tolist() for row in rows}
    return RegulariserSchedule(times=times.tolist(), values=columns)


def interpolated(times: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Values at the times ``at``, [len(at)], by straight lines between (times, values); constant beyond their ends."""
    if len(times) == 1:
        return values.expand(len(at)).clone()
    above = torch.searchsorted(times, at).clamp(1, len(times) - 1)
    low, high = times[above - 1], times[above]
    share = ((at - low) / (high - low)).clamp(0, 1)
    return values[above - 1] + share * (values[above] - values[above - 1])


def points_of(space: Space, schedule: RegulariserSchedule, point: Tensor) -> Tensor:
    """Unconstrained coordinates at every knot, [knots, K]: the schedule's where it has values, else those of ``point``."""
    found = space.values(point.double()).expand(len(schedule.times), -1).clone()
    for row, label in enumerate(space.labels):
        if label in schedule.values:
            found[:, row] = torch.tensor(schedule.values[label], dtype=torch.float64)
    return space.coordinates(found)


@torch.no_grad()
def replay(problem: InnerProblem, knots: Tensor, draw: Draw, on_step: OnStep = silent) -> TrainedMembers:
    """Trains every member with regularisers interpolated between knots at evenly spaced times.

    Values are interpolated, not coordinates. Every other hyperparameter has the value of the last knot throughout.

    Args:
        problem: the inner problem of the job.
        knots: unconstrained coordinates, [members, knots, K].
        draw: random numbers of the members.
        on_step: called after every inner step.
    """
    table = problem.coefficients(knots[:, -1])
    state, values = problem.initial(draw, table), problem.space.values(knots)
    for step in range(problem.steps):
        place = step / problem.steps * (knots.shape[1] - 1)
        low = min(int(place), knots.shape[1] - 2)
        now = torch.lerp(values[:, low], values[:, low + 1], place - low)
        current: Coefficients = replace(table, loss=problem.loss_tables(problem.space.coordinates(now)))
        state = problem.reach(state, current, draw, step, step + 1, on_step)
    return TrainedMembers(state[0], detached(table.loss))
