"""Reports on a finished best-response run: its schedule replayed, its last values held fixed, the response's quality."""

from collections.abc import Sequence
from math import exp

import torch
from torch import Tensor

from hpo.best_response.run import Answer
from hpo.footprint.budget import QUALITY_POINTS
from hpo.search.best_response.quality import judged_members, response_quality
from hpo.search.best_response.replay import points_of, replay, schedule_of
from hpo.training.evaluation import Judged, SeedPath, diverged_to_infinity, mean_and_stderr
from hpo.training.problem import OnStep
from windtunnel.types.responses import BestResponseReport, HeldAgainstReplayed, SeedLoss


def conclusion_work(answer: Answer, seeds: int) -> int:
    """Member-steps that ``conclude`` takes with ``seeds`` seeds."""
    return answer.run.problem.steps * (seeds + QUALITY_POINTS * judged_members(answer))


def conclude(
    answer: Answer, held: Judged, row: int, seeds: Sequence[SeedPath], population: int, on_step: OnStep
) -> BestResponseReport:
    """The report of a best-response run: its schedule, its scales, the comparison of schedule and last values, its quality.

    Args:
        answer: the finished run.
        held: the final judgement of fixed values, with the test split.
        row: row of the run's last values in ``held``.
        seeds: the fresh seeds of that judgement.
        population: members trained as one computation, at most.
        on_step: called after every inner step.
    """
    run, standing, problem = answer.run, answer.standing, answer.run.problem
    schedule = schedule_of(problem.space, run.rows, standing.trajectory, problem.steps)
    knots = points_of(problem.space, schedule, standing.point)
    validation: list[Tensor] = []
    test: list[Tensor] = []
    for begin in range(0, len(seeds), population):
        draw = problem.draw(seeds[begin : begin + population])
        trained = replay(problem, knots.expand(len(draw.streams), -1, -1), draw, on_step)
        with torch.no_grad():
            for split, losses in ((problem.data.validation, validation), (problem.data.test, test)):
                losses.append(problem.evaluate(trained.parameters, trained.loss, split)[0].to(knots.device).double())
    assert held.test is not None
    comparison = compared(
        (diverged_to_infinity(torch.cat(validation)), diverged_to_infinity(torch.cat(test))),
        (held.validation[row], held.test[row]),
    )
    labels = [problem.space.labels[row] for row in run.rows]
    return BestResponseReport(
        estimator=run.objectives.name,
        schedule=schedule,
        scales={label: exp(scale) for label, scale in zip(labels, standing.log_scales.tolist(), strict=True)},
        comparison=comparison,
        quality=response_quality(answer, population, on_step),
        validation_steps=standing.looks,
    )


def compared(replayed: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> HeldAgainstReplayed | None:
    """The replayed schedule beside the last values held fixed, over the seeds on which both stayed finite.

    Args:
        replayed: validation and test losses of the schedule, [seeds] each.
        held: validation and test losses of the last values held fixed, [seeds] each.

    Returns:
        Means, and gains of the schedule over the held values; None if there is no such seed.
    """
    sound = torch.stack([*replayed, *held]).isfinite().all(dim=0)
    if not sound.any():
        return None
    estimates = [_estimate(losses[sound]) for losses in (*replayed, *held)]
    gains = [_estimate((fixed - followed)[sound]) for followed, fixed in zip(replayed, held, strict=True)]
    return HeldAgainstReplayed(
        replayed_validation=estimates[0],
        replayed_test=estimates[1],
        held_validation=estimates[2],
        held_test=estimates[3],
        gain_validation=gains[0],
        gain_test=gains[1],
        seeds=int(sound.sum()),
    )


def _estimate(losses: Tensor) -> SeedLoss:
    """Mean and standard error of losses [seeds], as a wire type."""
    mean, stderr, _ = mean_and_stderr(losses)
    return SeedLoss(mean=mean, stderr=stderr)
