"""Validation loss of answering the same whatever the input: what a model that has learned anything does better than."""

import torch
from torch import Tensor

from hpo.tasks import TaskData
from hpo.tasks.losses import mean_loss
from windtunnel.types import TaskInfo
from windtunnel.types.verdicts import ConstantAnswer

MOST_LOGITS = 2**24
"""Most logits of the validation part that are made for a loss of one's own; of more, nothing is said."""


def constant_answer(info: TaskInfo, data: TaskData) -> ConstantAnswer | None:
    """The constant answer that the training labels suggest, with its loss on the validation part.

    For a regression it is the mean of the targets; for classes and tokens their shares, each counted once more so that
    none is 0. Of a training part that is too large to count, the labels of a sample tell.

    Args:
        info: the task.
        data: its parts.

    Returns:
        None where a loss of one's own is not finite for it, or the validation part is too large to try it.
    """
    train, validation = data.train.sample().labels, data.validation.labels
    if info.kind == "regression":
        said, outputs = "the mean of the training targets", train.double().mean()[None]
        validation = validation.double()
    else:
        said = f"the shares of the {'tokens' if info.kind == 'language' else 'classes'} in the training part"
        counts = torch.bincount(train.flatten(), minlength=info.classes).double() + 1
        outputs = (counts / counts.sum()).log()
    if info.loss is not None:
        loss = _own_loss(info, outputs, validation)
    elif info.kind == "regression":
        loss = float((validation - outputs).square().mean())
    else:
        loss = -float(outputs[validation.flatten()].mean())
    return ConstantAnswer(answer=said, loss=loss) if abs(loss) < float("inf") else None


def _own_loss(info: TaskInfo, answer: Tensor, labels: Tensor) -> float:
    """Loss of one's own at an answer [classes] for all labels; NaN where they are too many to try."""
    if labels.numel() * info.classes > MOST_LOGITS:
        return float("nan")
    with torch.no_grad():
        return float(mean_loss(info, answer.expand(1, *labels.shape, info.classes), labels[None]))
