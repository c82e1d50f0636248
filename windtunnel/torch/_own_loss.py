"""Calls a user's own loss: on a whole batch, or for each example, which can be weighted and differentiated."""

from collections.abc import Callable

from torch import Tensor
from torch.func import vmap

OwnLoss = Callable[[Tensor, Tensor], Tensor]
"""Function (outputs, labels) of a batch -> its mean loss, or the loss of each example [batch].

Outputs are logits [batch, classes]; for text [batch, context, classes], with labels [batch, context]; for a regression
[batch]."""


def of_batch(loss: OwnLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of the batch, []: the function's value, averaged where it gives the loss of each example.

    Args:
        loss: the user's loss of a batch.
        outputs: outputs of the model [batch, ...], shaped as in ``OwnLoss``.
        labels: labels [batch, ...].
    """
    return loss(outputs, labels).mean()


def of_each(loss: OwnLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Loss of each example, [batch]: the function's value on a batch of one.

    Args:
        loss: the user's loss of a batch.
        outputs: outputs of the model [batch, ...], shaped as in ``OwnLoss``.
        labels: labels [batch, ...].
    """

    def one(output: Tensor, label: Tensor) -> Tensor:
        return loss(output[None], label[None]).reshape(())

    found: Tensor = vmap(one)(outputs, labels)
    return found
