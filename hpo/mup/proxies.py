"""The tensors of every model family with their muP roles, known from sizes alone. Imports no torch."""

from windtunnel.types.model import ModelSpec
from windtunnel.types.results import Role, TensorFacts
from windtunnel.types.tasks import TaskInfo

KERNEL = 3
"""Side of the convolutions of a resnet's blocks."""
PATCH = 4
"""Side of the patches that a resnet cuts large images into."""
LARGEST_UNPATCHED = 16
"""Pixels of an image's longer side up to which a resnet's stem looks at every position."""
EXPANSION = 4
"""Units of a transformer block's MLP over the width."""

EMBEDDINGS = ("token_embedding.weight", "position_embedding.weight")
"""Tables stored as [entries, width], of which rows are looked up."""


def proxy_tensors(model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
    """Tensors of a family's module in the order of its ``named_parameters``.

    Raises:
        ValueError: a size is below 1, or a resnet for a task whose examples are no images.
    """
    match model.family:
        case "mlp":
            return mlp_tensors(task.features, task.classes, model.width, model.depth)
        case "resnet":
            if task.image is None:
                raise ValueError(f"a resnet needs images, and examples of task {task.name!r} are none")
            return resnet_tensors(task.image, task.classes, model.width, model.depth)
        case "module":
            assert task.module is not None
            return task.module.tensors_at(model.width, model.depth)
        case "transformer":
            return transformer_tensors(task.features, task.classes, model.width, model.depth)


def mlp_tensors(features: int, classes: int, width: int, depth: int) -> list[TensorFacts]:
    """Tensors of an MLP with ``depth`` hidden layers, in the order of the module's ``named_parameters``.

    ``layers.0.weight`` [width, features], ``layers.i.weight`` [width, width], ``layers.i.bias`` [width],
    ``readout.weight`` [classes, width], ``readout.bias`` [classes].

    Raises:
        ValueError: a size is below 1.
    """
    _check_sizes("an MLP", features=features, classes=classes, width=width, depth=depth)
    tensors: list[TensorFacts] = []
    for index in range(depth):
        tensors.append(
            _fact(f"layers.{index}.weight", [width, width if index else features], "hidden" if index else "input")
        )
        tensors.append(_fact(f"layers.{index}.bias", [width], "vector"))
    return tensors + _readout(classes, width)


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
    _check_sizes("a resnet", channels=channels, height=height, breadth=side, classes=classes, width=width, depth=depth)
    kernel, _ = stem_size(image)
    tensors = [_fact("stem.weight", [width, channels, kernel, kernel], "input")]
    for index in range(depth):
        shape = [width, width, KERNEL, KERNEL]
        tensors += [_fact(f"blocks.{index}.{name}.weight", shape, "hidden") for name in ("first", "second")]
    return tensors + _readout(classes, width)


def transformer_tensors(context: int, classes: int, width: int, depth: int) -> list[TensorFacts]:
    """Tensors of a transformer with ``depth`` blocks, in the order of the module's ``named_parameters``.

    ``token_embedding.weight`` [classes, width], ``position_embedding.weight`` [context, width]; of each block
    ``blocks.i.qkv.weight`` [3 width, width], ``attention_out.weight`` [width, width], ``mlp_in.weight``
    [4 width, width], ``mlp_out.weight`` [width, 4 width]; ``readout.weight`` [classes, width], ``readout.bias`` [classes].

    Raises:
        ValueError: a size is below 1.
    """
    _check_sizes("a transformer", context=context, classes=classes, width=width, depth=depth)
    tensors = [
        _fact(EMBEDDINGS[0], [classes, width], "input"),
        _fact(EMBEDDINGS[1], [context, width], "input", "position"),
    ]
    shapes = {
        "qkv": [3 * width, width],
        "attention_out": [width, width],
        "mlp_in": [EXPANSION * width, width],
        "mlp_out": [width, EXPANSION * width],
    }
    for index in range(depth):
        for name, shape in shapes.items():
            tensors.append(_fact(f"blocks.{index}.{name}.weight", shape, "hidden", name.replace("_", "-")))
    return tensors + _readout(classes, width)


def _readout(classes: int, width: int) -> list[TensorFacts]:
    return [_fact("readout.weight", [classes, width], "output"), _fact("readout.bias", [classes], "scalar")]


def _check_sizes(subject: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} of {subject} is {size}; allowed: at least 1")


def _fact(name: str, shape: list[int], role: Role, group: str | None = None) -> TensorFacts:
    return TensorFacts(name=name, shape=shape, role=role, group=group)
