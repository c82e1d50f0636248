"""Finds out what a module of one's own takes and gives, and how its tensors start, from the module alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from hpo.errors import InvalidData
from hpo.families.own.user_module import made
from hpo.tasks.registry import TaskData
from hpo.tasks.split import Split
from windtunnel.tasks.user import UserTask
from windtunnel.types import TaskInfo
from windtunnel.types.families import TaskKind
from windtunnel.types.modules import InputKind

CONTEXT = 32
"""Tokens of a made-up example, at most."""
EXAMPLES = 64
"""Made-up examples."""
SEEDS = 4
"""Modules whose initial values are measured."""


@dataclass(frozen=True)
class Appearance:
    """Inputs and outputs of a module."""

    inputs: InputKind
    input_shape: tuple[int, ...]
    vocabulary: int
    """Number of different tokens; 0 for inputs that are numbers."""
    kind: TaskKind
    classes: int


def appearance(module: nn.Module, example: Tensor | None = None) -> Appearance:
    """Inputs and outputs of a module, by its first layer or its config, and by a call.

    Args:
        module: the module; its calls give a tensor.
        example: a batch of inputs [batch, ...]; None: the module itself tells.

    Raises:
        InvalidData: the module does not tell its inputs, or its outputs are neither logits nor one number.
    """
    inputs, shape, vocabulary = _told(module) if example is None else _of(example)
    batch = _drawn(inputs, shape, vocabulary, 2, torch.Generator().manual_seed(0)) if example is None else example[:2]
    floats = next((value.dtype for value in module.parameters()), torch.float32)
    batch = batch if inputs == "tokens" else batch.to(floats)
    try:
        with torch.no_grad():
            outputs = module(batch)
    except Exception as error:
        raise InvalidData(
            f"forward of the module failed on inputs {list(batch.shape)} of {batch.dtype}: {type(error).__name__}: {error}",
            "give inputs: a batch as forward takes it, such as torch.zeros(2, 3, 32, 32)",
        ) from error
    given = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or outputs.shape[0] != len(batch):
        raise InvalidData(f"the module gives {given} for {len(batch)} examples", "it must give logits [batch, classes]")
    if inputs == "tokens" and outputs.shape[1:-1] == shape and outputs.dim() == 3:
        return Appearance(inputs, shape, vocabulary, "language", outputs.shape[-1])
    if outputs.dim() == 1 or (outputs.dim() == 2 and outputs.shape[1] == 1):
        return Appearance(inputs, shape, vocabulary, "regression", 1)
    if outputs.dim() == 2:
        return Appearance(inputs, shape, vocabulary, "classification", outputs.shape[1])
    raise InvalidData(
        f"the module gives {given} for {len(batch)} examples",
        "allowed: logits [batch, classes], for text [batch, context, classes], for a regression [batch, 1]",
    )


def _of(example: Tensor) -> tuple[InputKind, tuple[int, ...], int]:
    if example.dim() < 2:
        raise InvalidData(f"inputs have shape {list(example.shape)}", "give a batch of examples, [batch, ...]")
    if example.is_floating_point():
        return "floats", tuple(example.shape[1:]), 0
    return "tokens", tuple(example.shape[1:]), int(example.max()) + 1


def _told(module: nn.Module) -> tuple[InputKind, tuple[int, ...], int]:
    """(kind, shape, vocabulary) of the inputs, by the config of a Hugging Face model or by the first layer."""
    config, main = getattr(module, "config", None), getattr(module, "main_input_name", None)
    vocabulary = getattr(config, "vocab_size", None)
    if main == "input_ids" and isinstance(vocabulary, int):
        longest = getattr(config, "max_position_embeddings", None)
        return "tokens", (min(CONTEXT, longest) if isinstance(longest, int) else CONTEXT,), vocabulary
    side, channels = getattr(config, "image_size", None), getattr(config, "num_channels", None)
    if main == "pixel_values" and isinstance(side, int) and isinstance(channels, int):
        return "floats", (channels, side, side), 0
    first = next((layer for layer in module.modules() if list(layer.parameters(recurse=False))), None)
    if isinstance(first, nn.Embedding):
        return "tokens", (CONTEXT,), first.num_embeddings
    if isinstance(first, nn.Linear):
        return "floats", (first.in_features,), 0
    raise InvalidData(
        f"the module does not tell its inputs: its first layer is {type(first).__name__}",
        "give inputs: a batch as forward takes it, such as torch.zeros(2, 3, 32, 32)",
    )


def _drawn(inputs: InputKind, shape: Sequence[int], vocabulary: int, count: int, generator: torch.Generator) -> Tensor:
    size = (count, *shape)
    if inputs == "tokens":
        return torch.randint(0, vocabulary, size, generator=generator)
    return torch.randn(size, generator=generator)


def made_up(task: TaskInfo, found: Appearance, seed: int) -> TaskData:
    """Random examples with random labels, for the coordinate check of a module whose data are not here."""
    generator = torch.Generator().manual_seed(seed)
    inputs = _drawn(found.inputs, found.input_shape, found.vocabulary, EXAMPLES, generator)
    size = (EXAMPLES, *found.input_shape) if found.kind == "language" else (EXAMPLES,)
    if found.kind == "regression":
        labels = torch.randn(EXAMPLES, generator=generator)
    else:
        labels = torch.randint(0, found.classes, size, generator=generator)
    part = Split(inputs, labels, torch.zeros(EXAMPLES, dtype=torch.int64))
    return TaskData(task.name, part, part, part, found.classes, "")


def batch_of(inputs: Tensor, labels: Tensor, found: Appearance) -> TaskData:
    """Given examples as the data of a coordinate check.

    Raises:
        InvalidData: the labels are not those of such a module.
    """
    expected = tuple(inputs.shape) if found.kind == "language" else (len(inputs),)
    wanted = "numbers" if found.kind == "regression" else f"whole numbers from 0 to {found.classes - 1}"
    if tuple(labels.shape) != expected:
        raise InvalidData(
            f"labels have shape {list(labels.shape)}, and the module's outputs want {list(expected)}", f"give {wanted}"
        )
    if found.kind == "regression":
        labels = labels.float()
    elif labels.is_floating_point() or int(labels.min()) < 0 or int(labels.max()) >= found.classes:
        low, high = float(labels.min()), float(labels.max())
        raise InvalidData(f"labels are {labels.dtype} from {low:g} to {high:g}", f"give {wanted}")
    inputs = inputs.long() if found.inputs == "tokens" else inputs.float()
    part = Split(
        inputs, labels if found.kind == "regression" else labels.long(), torch.zeros(len(labels), dtype=torch.int64)
    )
    return TaskData("", part, part, part, found.classes, "")


def own_deviations(task: UserTask, given: Mapping[str, float]) -> dict[str, float]:
    """Name -> standard deviation about 0 of the initial values that the module itself gives a tensor, at the task's width.

    Tensors that start at the same numbers whatever the seed are left out, and those that a pattern of ``given`` fits.
    """
    modules = [made(task, task.width, task.depth, seed) for seed in range(SEEDS)]
    values = [{name: value.detach() for name, value in module.named_parameters()} for module in modules]
    return {
        name: _short(
            float(torch.stack([each[name].double().square().mean() for each in values]).mean().sqrt()),
            SEEDS * values[0][name].numel(),
        )
        for name in values[0]
        if not torch.equal(values[0][name], values[1][name]) and not any(fnmatchcase(name, each) for each in given)
    }


def _short(deviation: float, entries: int) -> float:
    """A measured standard deviation in as few digits as lie within two standard errors of it, two digits at least."""
    error = deviation / (2 * entries) ** 0.5
    for digits in range(2, 17):
        short = float(f"{deviation:.{digits}g}")
        if abs(short - deviation) <= 2 * error:
            return short
    return deviation
