"""Training and evaluation losses by kind of task, written so that every derivative of them exists.

``torch.nn.functional.mse_loss`` has no forward-over-reverse derivative; cross-entropy has all of them.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from windtunnel.tasks.user import user_task
from windtunnel.torch._own_loss import OwnLoss, of_batch, of_each
from windtunnel.types.families import TaskKind
from windtunnel.types.tasks import TaskInfo


def per_example(task: TaskInfo, outputs: Tensor, labels: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Loss of each example: cross-entropy in nats, for text averaged over its tokens; squared error for regression.

    A user's own task may bring its own loss, which automatic differentiation goes through like the module.

    Args:
        task: description of the task.
        outputs: [members, batch, classes]; [members, batch, context, classes] for text; [members, batch, 1] for regression.
        labels: [members, batch]; [members, batch, context] for text.
        smoothing: share of the target spread over all classes (Szegedy et al. 2016, section 7), [members], or one for each
            example, [members, batch]; None: no smoothing.

    Returns:
        [members, batch]
    """
    if task.loss is not None:
        return _own_loss(task, of_each, outputs, labels)
    if task.kind == "regression":
        return (_plain(task.kind, outputs) - labels).square()
    losses = _cross_entropy(outputs, labels)
    if smoothing is not None:
        spread = -functional.log_softmax(outputs, dim=-1).mean(dim=-1)
        share = smoothing.view(*smoothing.shape, *[1] * (losses.dim() - smoothing.dim()))
        losses = (1 - share) * losses + share * spread
    return losses if losses.dim() == 2 else losses.mean(dim=2)


def mean_loss(task: TaskInfo, outputs: Tensor, labels: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Loss of each member's batch, [members]: the mean of ``per_example``, or a loss of the user's own as it is called.

    A mean with class weights divides by the weights in the batch, so it is no mean of losses of single examples.

    Args:
        task: description of the task.
        outputs: [members, batch, ...], as of ``per_example``.
        labels: [members, batch, ...].
        smoothing: as of ``per_example``.
    """
    if task.loss is None:
        return per_example(task, outputs, labels, smoothing).mean(dim=1)
    return _own_loss(task, of_batch, outputs, labels)


def _own_loss(task: TaskInfo, by: Callable[[OwnLoss, Tensor, Tensor], Tensor], outputs: Tensor, labels: Tensor) -> Tensor:
    """A loss of the user's own ``by`` example or batch, [members, batch] or [members].

    The slope of a loss of straight pieces (quantile, hinge) is a constant without a graph. Nothing times the outputs gives
    it one, in which the second derivative is 0; tanh, so that infinite outputs stay what they are.
    """
    own = user_task(task).criterion()
    assert own is not None, "the listing of the task names its loss"
    found: Tensor = vmap(functools.partial(by, own))(_plain(task.kind, outputs), labels)
    return found + 0 * outputs.tanh().flatten(found.dim()).sum(-1)


def _plain(kind: TaskKind, outputs: Tensor) -> Tensor:
    return outputs.squeeze(-1) if kind == "regression" else outputs


def _cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    if outputs.dim() == 3:
        # Examples last: a softmax over 10 neighbouring numbers is 6 times slower than 10 rows of many.
        return functional.cross_entropy(outputs.mT, labels, reduction="none")
    flat = outputs.reshape(-1, outputs.shape[-1])
    return functional.cross_entropy(flat, labels.reshape(-1), reduction="none").view(labels.shape)


def accuracy(kind: TaskKind, outputs: Tensor, labels: Tensor) -> Tensor:
    """Share of labels (of tokens, for text) with the highest logit, [members]; NaN for regression, which has none."""
    if kind == "regression":
        return torch.full_like(outputs[:, 0, 0], torch.nan)
    return (outputs.argmax(dim=-1) == labels).to(outputs.dtype).flatten(1).mean(dim=1)


def mixed(losses: Tensor, sources: Tensor, weights: Tensor, shares: Tensor) -> Tensor:
    """Mean loss with a weight for each data source, normalised so that the weights average to 1 over the training set.

    Only ratios of weights matter: sum_i w_(s_i) loss_i / (batch * sum_s share_s w_s).

    Args:
        losses: [members, batch].
        sources: source of each example, [members, batch].
        weights: [members, sources].
        shares: share of each source in the training set, [sources].

    Returns:
        [members]
    """
    chosen = torch.gather(weights, 1, sources)
    return (chosen * losses).mean(dim=1) / (weights * shares).sum(dim=1)
