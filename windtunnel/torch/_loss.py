"""``criterion``: the training loss of a transfer plan."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from windtunnel.torch._following import factor, updates_of
from windtunnel.torch._matching import PlanMismatch
from windtunnel.torch._own_loss import OwnLoss, of_batch, of_each
from windtunnel.types.following import followed
from windtunnel.types.plans import TransferPlan

Criterion = Callable[..., Tensor]


def criterion(
    plan: TransferPlan,
    shares: Mapping[str, float] | None = None,
    *,
    loss: OwnLoss | None = None,
    optimizer: Optimizer | None = None,
) -> Criterion:
    """The plan's training loss of a batch, without the L2 penalty, which ``windtunnel.torch.optimizer`` adds.

    The loss is the cross-entropy in nats with the plan's label smoothing, for text over all tokens of outputs [batch,
    context, classes]; for a regression the mean squared error with labels [batch] or [batch, 1]. If the plan has mixture
    weights, the function takes a third argument: the source of each example [batch], as indices into
    ``plan.mixture_weights``.

    Args:
        plan: the transfer plan.
        shares: share of each source in the training data of the large run, by name; the weights average to 1 over them.
        loss: your own loss that the job was tuned with, named ``plan.loss``; None: the built-in loss.
        optimizer: optimizer of ``windtunnel.torch.optimizer``, which counts the updates; needed only if the plan's label
            smoothing follows a schedule.

    Raises:
        PlanMismatch: the plan was tuned with a loss of your own and none is given, or the other way round; the plan's label
            smoothing follows a schedule, and no optimizer was given.
        ValueError: the shares do not name exactly the sources of the plan's mixture weights.
    """
    weights = plan.mixture_weights
    if set(shares or {}) != set(weights):
        raise ValueError(
            f"shares name {', '.join(shares or {}) or 'no source'}; the plan has mixture weights for "
            f"{', '.join(weights) or 'none'}: give the share of each of them in your training data"
        )
    scales = torch.tensor(
        [weight / sum(weights[name] * share for name, share in (shares or {}).items()) for weight in weights.values()]
    )
    held = plan.regularization.label_smoothing or 0.0
    moves = "label_smoothing" in followed(plan)
    if moves and optimizer is None:
        raise PlanMismatch(
            "the plan's label smoothing follows a schedule over the run, and this function cannot know how far the run is; "
            "use windtunnel.torch.criterion(plan, ..., optimizer=windtunnel.torch.optimizer(model, plan))"
        )
    if plan.loss is not None and loss is None:
        raise PlanMismatch(
            f"the plan was tuned with a loss of your own, {plan.loss}; give it: windtunnel.torch.criterion(plan, loss=...)"
        )
    if plan.loss is None and loss is not None:
        raise PlanMismatch("the plan was tuned with cross-entropy, or the squared error of a regression; leave loss out")
    is_regression = (plan.kind or plan.info.kind) == "regression"

    def losses(outputs: Tensor, labels: Tensor) -> Tensor:
        if loss is not None:
            return of_each(loss, outputs.squeeze(-1) if is_regression else outputs, labels)
        if is_regression:
            return (outputs.squeeze(-1) - _column(labels, len(outputs))).square()
        moved = factor(plan, "label_smoothing", updates_of(optimizer)) if moves and optimizer is not None else 1.0
        flat = functional.cross_entropy(
            outputs.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=held * moved
        )
        each = flat.view(labels.shape)
        return each if each.dim() == 1 else each.mean(1)

    def unweighted(outputs: Tensor, labels: Tensor) -> Tensor:
        if loss is not None:
            return of_batch(loss, outputs.squeeze(-1) if is_regression else outputs, labels)
        return losses(outputs, labels).mean()

    def weighted(outputs: Tensor, labels: Tensor, sources: Tensor) -> Tensor:
        each = losses(outputs, labels)
        return (scales.to(each)[sources] * each).mean()

    return weighted if weights else unweighted


def _column(labels: Tensor, batch: int) -> Tensor:
    """Labels [batch] from labels [batch] or [batch, 1], which would otherwise broadcast against the outputs silently."""
    if labels.numel() != batch:
        raise ValueError(f"labels have shape {list(labels.shape)}; allowed for {batch} outputs: [{batch}] or [{batch}, 1]")
    return labels.reshape(batch)
