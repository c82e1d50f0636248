"""A loss of one's own as the loss of each example, so that examples can be weighted and every derivative is taken."""

from collections.abc import Callable

from torch import Tensor
from torch.func import vmap

OwnLoss = Callable[[Tensor, Tensor], Tensor]
"""(outputs, labels) of a batch -> its mean loss, or the loss of each example [batch]. Outputs are logits [batch, classes];
for text [batch, context, classes], with labels [batch, context]; for a regression [batch]."""


def of_each(loss: OwnLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """The loss of each example: what the function says of a batch of one.

    Args:
        loss: of a batch.
        outputs: [batch, ...], as ``OwnLoss`` says.
        labels: [batch, ...].

    Returns:
        [batch]
    """

    def one(output: Tensor, label: Tensor) -> Tensor:
        return loss(output[None], label[None]).reshape(())

    found: Tensor = vmap(one)(outputs, labels)
    return found
