"""A small residual convolution network for images."""

from collections.abc import Collection, Iterable
from typing import cast

from torch import Tensor, nn

from hpo.families.dials import Dials, Noise, augmented, dropped, noisy
from hpo.families.facts.resnet import KERNEL, image_of, stem_size
from hpo.families.family import Family
from hpo.families.nonlinearity import ACTIVATIONS, normalised
from hpo.families.proxy import Proxy, Record
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


def convolution(width: int) -> nn.Conv2d:
    """3x3 without bias, keeping height and width. Its fan-in is 9 * width."""
    return nn.Conv2d(width, width, KERNEL, padding=KERNEL // 2, bias=False)


class Block(nn.Module):
    """``x + second(act(norm(first(act(norm(x))))))``: pre-activation order (He et al. 2016, identity mappings)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width)
        self.second = convolution(width)


class ResNet(Proxy):
    """Convolution stem, ``depth`` residual blocks of two 3x3 convolutions, mean over positions, norm, linear readout.

    Every example is normalised by itself over channels and positions, without gains. See ``stem_size`` for
    the stem. Dropout acts between the two convolutions of a block (as in wide residual networks, Zagoruyko and
    Komodakis 2016), input noise on the pixels, augmentation before it.

    Under ``vmap`` over members the convolutions become grouped ones, which is 2 to 5 times faster on a CPU than
    unfolding and multiplying, forward and through the double backward.

    Args:
        image: (channels, height, width) of one flattened input.
        classes: number of logits.
        width: channels.
        depth: residual blocks, at least 1.
        activation: a name in ``ACTIVATIONS``.

    Raises:
        ValueError: a large image that patches do not cover.
    """

    dials = ("dropout", "input_noise", "augmentation")

    def __init__(self, image: tuple[int, int, int], classes: int, width: int, depth: int, activation: str = "relu") -> None:
        super().__init__()
        self.image, self.width = image, width
        kernel, stride = stem_size(image)
        if any(side % stride for side in image[1:]):
            raise ValueError(f"sides {image[1]} and {image[2]} of an image must be multiples of the stem's stride {stride}")
        self.stem = nn.Conv2d(image[0], width, kernel, stride, padding=kernel // 2 if stride == 1 else 0, bias=False)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.readout = nn.Linear(width, classes)
        self.activation = ACTIVATIONS[activation]

    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """Logits [batch, classes] of flattened images [batch, channels * height * width]."""
        pixels = noisy(augmented(inputs, self.image, dials, noise), dials, noise)
        hidden = self.stem(pixels.reshape(-1, *self.image))
        record("stem", hidden)
        for index, block in enumerate(cast("Iterable[Block]", self.blocks)):
            place = f"blocks.{index}"
            branch = block.first(self.activation(normalised(hidden, 3)))
            record(f"{place}.first", branch)
            branch = block.second(dropped(self.activation(normalised(branch, 3)), index, place, dials, noise))
            record(f"{place}.second", branch)
            hidden = hidden + branch
        # Means over positions are nearly the same for every example: normalised, they are told apart within a few steps.
        pooled = normalised(self.activation(normalised(hidden, 3)).mean((2, 3)), 1)
        logits: Tensor = self.readout(pooled)
        return logits

    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """``shift`` [batch, 2]; ``input`` [batch, features]; ``dropout.blocks.i`` [batch, channels, height, width]."""
        channels, *sides = self.image
        shapes: dict[str, tuple[int, ...]] = {"shift": (batch, 2)} if "augmentation" in dials else {}
        if "input_noise" in dials:
            shapes["input"] = (batch, channels * sides[0] * sides[1])
        if "dropout" in dials:
            _, stride = stem_size(self.image)
            inside = (batch, self.width, *(side // stride for side in sides))
            shapes |= {f"dropout.blocks.{index}": inside for index in range(len(self.blocks))}
        return shapes


class ResNetFamily(Family):
    """Family of residual networks."""

    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """A resnet on the task's images."""
        return ResNet(image_of(task), task.classes, model.width, model.depth, model.activation)


FAMILY = ResNetFamily()
