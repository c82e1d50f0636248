"""Trains the updates of one outer step of a best response, and reports that step."""

from dataclasses import dataclass
from math import exp

import torch

from hpo.best_response.run import BestResponseRun, Standing
from hpo.estimators.facts.registry import response_facts
from hpo.search.protocol import SearchContext
from hpo.training.evaluation import diverged_to_infinity, mean_and_stderr
from windtunnel.types import OuterStep


@dataclass(frozen=True)
class Block:
    """Updates of a best-response run that make up one outer step."""

    outer_step: int
    before: Standing
    after: Standing


def advanced(context: SearchContext, run: BestResponseRun, before: Standing, stop: int, outer_step: int) -> Block:
    """Trains until ``stop`` updates are done and books the cost; returns the states before and after.

    Raises:
        Diverged: no member has finite weights.
    """
    context.account.enter("tune", outer_step, run.members * max(1, stop - before.step))
    after = run.advance(before, stop, context.account.step)
    costs = response_facts(run.objectives.name)
    context.account.spend(run.members * costs.block_cost(context.spec, before.step, after.step))
    return Block(outer_step, before, after)


def report(context: SearchContext, run: BestResponseRun, block: Block) -> OuterStep:
    """The outer step as a wire type: loss over the finite members, and hyperparameters, at its end."""
    space, before, after = context.space, block.before, block.after
    losses = diverged_to_infinity(run.losses(after, context.problem.data.validation))
    mean, stderr, survivors = mean_and_stderr(losses)
    labels = [space.labels[row] for row in run.rows]
    slope = after.slope / max(after.slopes, 1)
    gradient = dict(zip(labels, slope.tolist(), strict=True)) if after.slopes else {}
    move = float((after.point - before.point).abs().max())
    return OuterStep(
        outer_step=block.outer_step,
        outer_steps=context.spec.outer.planned_steps,
        arm="response",
        loss=mean if survivors else None,
        stderr=stderr,
        seeds=survivors,
        dropped_members=run.members - survivors,
        hyperparameters=space.as_dict(after.point),
        gradient=gradient,
        gradient_norm=float(torch.linalg.vector_norm(slope)) if gradient else None,
        bounded_share=None,
        mean_scale=None,
        step_length=move,
        moved=move > 0,
        rolled_back=False,
        scales={label: exp(scale) for label, scale in zip(labels, after.log_scales.tolist(), strict=True)},
        run_equivalents=context.account.run_equivalents,
    )
