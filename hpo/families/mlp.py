"""The multilayer perceptron."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from hpo.families.dials import NO_DIALS, NO_NOISE, Dials, Noise, augmented, check_dials, dropped, noisy
from hpo.families.family import Family
from hpo.families.nonlinearity import ACTIVATIONS
from hpo.families.proxy import Proxy, Record
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


class MLP(Proxy):
    """``depth`` hidden layers of ``width`` units with biases, then a linear readout.

    Dropout acts on the output of every hidden layer after its nonlinearity, input noise on the features,
    augmentation on images before it.

    Args:
        features: length of one input.
        classes: number of logits; 1 for a regression.
        width: units of each hidden layer.
        depth: number of hidden layers, at least 1.
        activation: a name in ``ACTIVATIONS``.
        image: (channels, height, width) of one flattened input that is an image.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        width: int,
        depth: int,
        activation: str = "relu",
        image: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.image = image
        self.dials = ("dropout", "input_noise", *(["augmentation"] if image is not None else []))
        fans = [features, *[width] * (depth - 1)]
        self.layers = nn.ModuleList(nn.Linear(fan_in, width) for fan_in in fans)
        self.readout = nn.Linear(width, classes)
        self.activation = ACTIVATIONS[activation]
        self.features, self.width = features, width

    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """Logits [batch, classes] of inputs [batch, features]."""
        hidden = noisy(augmented(inputs, self.image, dials, noise), dials, noise)
        for index, layer in enumerate(self.layers):
            place = f"layers.{index}"
            hidden = layer(hidden)
            record(place, hidden)
            hidden = dropped(self.activation(hidden), index, place, dials, noise)
        logits: Tensor = self.readout(hidden)
        return logits

    def population(
        self, tensors: Sequence[Tensor], inputs: Tensor, *, shared: bool, dials: Dials = NO_DIALS, noise: Noise = NO_NOISE
    ) -> Tensor:
        """One batched product a layer, with examples last: so the gradients of the weights come out as the weights lie.

        See ``Proxy.population``; against ``vmap`` of ``forward`` it saves a copy of every gradient.
        """
        check_dials(dials, self.dials)
        examples = inputs[None] if shared else inputs
        examples = augmented(examples, self.image, {name: dial[:, None] for name, dial in dials.items()}, noise)
        dials = {name: dial[:, None, None] for name, dial in dials.items()}
        hidden = noisy(examples, dials, noise).mT.expand(len(tensors[0]), -1, -1)
        *layers, (weight, bias) = zip(tensors[::2], tensors[1::2], strict=True)
        noise = {name: part.mT for name, part in noise.items()}
        for index, (below, shift) in enumerate(layers):
            hidden = self.activation(torch.baddbmm(shift[:, :, None], below, hidden))
            hidden = dropped(hidden, index, f"layers.{index}", dials, noise)
        return torch.baddbmm(bias[:, :, None], weight, hidden).mT

    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """``shift`` [batch, 2]; ``input`` [batch, features]; ``dropout.layers.i`` [batch, width]."""
        shapes: dict[str, tuple[int, ...]] = {"shift": (batch, 2)} if "augmentation" in dials else {}
        if "input_noise" in dials:
            shapes["input"] = (batch, self.features)
        if "dropout" in dials:
            shapes |= {f"dropout.layers.{index}": (batch, self.width) for index in range(len(self.layers))}
        return shapes


class MLPFamily(Family):
    """Family of multilayer perceptrons."""

    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """An MLP on the task's examples, flattened."""
        return MLP(task.features, task.classes, model.width, model.depth, model.activation, task.image)


FAMILY = MLPFamily()
