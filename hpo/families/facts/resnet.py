"""Facts of the residual network. Imports no torch."""

from math import prod

from hpo.families.facts.family import (
    CoordinateCheck,
    FamilyFacts,
    Footprint,
    Measured,
    check_sizes,
    fact,
    matrices,
    readout,
)
from windtunnel.types.model import ModelSpec
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo

KERNEL = 3
"""Side of the convolutions of a resnet's blocks."""
PATCH = 4
"""Side of the patches that a resnet cuts large images into."""
LARGEST_UNPATCHED = 16
"""Pixels of an image's longer side up to which a resnet's stem looks at every position."""


class ResNetFacts(FamilyFacts):
    """A convolution stem, ``depth`` residual blocks and a linear readout."""

    def tensors(self, model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
        """Tensors of the stem, of the blocks in order, and of the readout."""
        return resnet_tensors(image_of(task), task.classes, model.width, model.depth)

    def footprint(self, model: ModelSpec, task: TaskInfo) -> Footprint:
        """Every weight is used at every position that the stem leaves."""
        image = image_of(task)
        _, stride = stem_size(image)
        positions = prod(side // stride for side in image[1:])
        return Footprint(
            saved=task.features + (7 * model.depth + 3) * model.width * positions + 3 * task.classes,
            live=12 * model.width * positions,
            multiply_adds=positions * matrices(self.tensors(model, task)),
        )

    def reads(self, image: tuple[int, int, int] | None) -> bool:
        """Images that the stem's patches cover."""
        return image is not None and not any(side % stem_size(image)[1] for side in image[1:])

    def check_work(self, model: ModelSpec, task: TaskInfo, parameters: int) -> int:  # noqa: ARG002
        """Every weight at every position that the stem leaves."""
        image = image_of(task)
        positions = task.features // stem_size(image)[1] ** 2 // image[0]
        return parameters * positions * self.check.batch


def image_of(task: TaskInfo) -> tuple[int, int, int]:
    """(channels, height, width) of the task's examples.

    Raises:
        ValueError: they are no images.
    """
    if task.image is None:
        raise ValueError(f"a resnet needs images, and examples of task {task.name!r} are none")
    return task.image


def stem_size(image: tuple[int, int, int]) -> tuple[int, int]:
    """(kernel, stride) of a resnet's stem: 3x3 at every position of a small image, else patches of 4x4 side by side.

    Patches make every later layer 16 times cheaper, and on 28x28 digits a proxy of 16 channels learns faster on them than
    on every second position.
    """
    return (KERNEL, 1) if max(image[1:]) <= LARGEST_UNPATCHED else (PATCH, PATCH)


def resnet_tensors(image: tuple[int, int, int], classes: int, width: int, depth: int) -> list[TensorFacts]:
    """Tensors of a resnet with ``depth`` blocks, in the order of the module's ``named_parameters``.

    ``stem.weight`` [width, channels, kernel, kernel], ``blocks.i.first.weight`` and ``blocks.i.second.weight``
    [width, width, 3, 3], ``readout.weight`` [classes, width], ``readout.bias`` [classes].

    Raises:
        ValueError: a size is below 1.
    """
    channels, height, side = image
    check_sizes("a resnet", channels=channels, height=height, breadth=side, classes=classes, width=width, depth=depth)
    kernel, _ = stem_size(image)
    tensors = [fact("stem.weight", [width, channels, kernel, kernel], "input")]
    for index in range(depth):
        shape = [width, width, KERNEL, KERNEL]
        tensors += [fact(f"blocks.{index}.{name}.weight", shape, "hidden") for name in ("first", "second")]
    return tensors + readout(classes, width)


FACTS = ResNetFacts(
    Measured(gradient=1.9, slope=1.7, calls=(80, 60), efficiency=0.3, traffic=14),
    # A convolution sums over nine inputs a channel: narrow ones are wide enough.
    CoordinateCheck(batch=8, seeds=6, smallest=32),
)
