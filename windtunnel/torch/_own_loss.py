"""Calls a user's own loss: on a whole batch, or for each example, which can be weighted and differentiated."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.func import functional_call, vmap

OwnLoss = Callable[[Tensor, Tensor], Tensor]
"""Function (outputs, labels) of a batch -> its mean loss, or the loss of each example [batch].

Outputs are logits [batch, classes]; for text [batch, context, classes], with labels [batch, context]; for a regression
[batch]."""


def called(loss: OwnLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Value of the function; the weights of classes that an ``nn.Module`` holds are taken in the precision of the outputs.

    Args:
        loss: the user's loss of a batch.
        outputs: outputs of the model [batch, ...], shaped as in ``OwnLoss``.
        labels: labels [batch, ...].
    """
    if isinstance(loss, nn.Module):
        held = {name: value for name, value in loss.named_buffers() if value.is_floating_point()}
        if any(value.dtype != outputs.dtype for value in held.values()):
            cast = {name: value.to(outputs.dtype) for name, value in held.items()}
            found: Tensor = functional_call(loss, cast, (outputs, labels))
            return found
    return loss(outputs, labels)


def of_batch(loss: OwnLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of the batch, []: the function's value, averaged where it gives the loss of each example.

    Args:
        loss: the user's loss of a batch.
        outputs: outputs of the model [batch, ...], shaped as in ``OwnLoss``.
        labels: labels [batch, ...].
    """
    return called(loss, outputs, labels).mean()


def of_each(loss: OwnLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Loss of each example, [batch]: the function's value on a batch of one.

    Args:
        loss: the user's loss of a batch.
        outputs: outputs of the model [batch, ...], shaped as in ``OwnLoss``.
        labels: labels [batch, ...].
    """

    def one(output: Tensor, label: Tensor) -> Tensor:
        return called(loss, output[None], label[None]).reshape(())

    found: Tensor = vmap(one)(outputs, labels)
    return found
