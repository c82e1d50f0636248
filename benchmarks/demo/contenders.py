"""Contenders of the demonstration: three sets of values for the target, and their training runs."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

import windtunnel.torch
from hpo.families.mlp import MLP
from hpo.plans.transfer import make_plan
from hpo.tasks import Split, TaskData
from windtunnel.types import LossEstimate, OptimizerSpec, Target, TransferPlan, TuneResult

TORCH_DEFAULT_RATE, TORCH_DEFAULT_DECAY = 1e-3, 1e-2
"""Default learning rate and weight decay of torch.optim.AdamW."""

UNTUNED, COPIED, PLANNED = "untuned default", "proxy values copied", "the plan"


@dataclass(frozen=True)
class Outcome:
    """Losses of one contender at the target width, over seeds."""

    validation: LossEstimate
    test: LossEstimate


def contenders(result: TuneResult, plan: TransferPlan) -> dict[str, TransferPlan]:
    """Name -> plan; model, data, steps, schedule and clipping are the same, only the hyperparameters differ."""
    standard = result.spec.model_copy(update={"parametrization": "standard"})
    untuned = standard.model_copy(
        update={
            "optimizer": OptimizerSpec(name="adamw", learning_rate=TORCH_DEFAULT_RATE, weight_decay=TORCH_DEFAULT_DECAY)
        }
    )
    nothing_tuned = result.best.model_copy(update={"hyperparameters": {}})

    def by_hand(changed: dict[str, object]) -> TransferPlan:
        """A plan with these values, which the service would refuse: nothing shows that they suit this width."""
        return make_plan(
            result.model_copy(update={**changed, "coordinate_check": None}),
            Target(width=plan.width, depth=plan.depth, steps=plan.steps),
            plan_id="by-hand",
            job_id=plan.job_id or plan.id,
            created_at=plan.created_at,
            force=True,
        )

    return {
        UNTUNED: by_hand({"spec": untuned, "best": nothing_tuned}),
        COPIED: by_hand({"spec": standard}),
        PLANNED: plan,
    }


def train(plan: TransferPlan, data: TaskData, seed: int, on_step: Callable[[], object]) -> MLP:
    """Model after one run at the target, written as a user of the plan writes it."""
    model = MLP(plan.features, plan.classes, plan.width, plan.depth, plan.model.activation)
    optimizer = windtunnel.torch.optimizer(model, plan, seed=seed)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    generator = torch.Generator().manual_seed(seed)
    examples = len(data.train)
    epochs = math.ceil(plan.steps * plan.batch_size / examples)
    order = torch.cat([torch.randperm(examples, generator=generator) for _ in range(epochs)])
    for rows in order[: plan.steps * plan.batch_size].view(plan.steps, plan.batch_size):
        inputs, labels = data.train.take(rows)
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        on_step()
    return model


@torch.no_grad()
def judge(models: list[MLP], split: Split) -> LossEstimate:
    """Loss and accuracy of trained models on one split."""
    logits = [model(split.inputs) for model in models]
    losses = [float(cross_entropy(found, split.labels)) for found in logits]
    right = [float((found.argmax(1) == split.labels).float().mean()) for found in logits]
    return LossEstimate(
        mean=statistics.fmean(losses),
        stderr=statistics.stdev(losses) / math.sqrt(len(losses)),
        seeds=len(losses),
        accuracy=statistics.fmean(right),
    )
