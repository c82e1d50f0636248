"""Loads the data of a user's own task: three parts as tensors, checked against the task's description."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hpo.errors import InvalidData
from hpo.tasks.split import Split, TrainingPart
from hpo.tasks.stream import stream_parts
from windtunnel.streams import TokenStream, three_of
from windtunnel.tasks.user import UserTask
from windtunnel.types.streams import StreamInfo
from windtunnel.types.tasks import TaskInfo

PARTS = ("train", "validation", "test")
MOST_MOVED = 1e-3
"""Most that single precision may move a value, in deviations of its feature."""
ROUNDING = 2.0**-50
"""Relative spread up to which a feature counts as one that never changes."""


def user_parts(task: UserTask, info: TaskInfo) -> tuple[TrainingPart, Split, Split]:
    """The three parts. The task itself must split, shuffle and scale them.

    Raises:
        InvalidData: loading failed, or shapes, sizes, labels or numbers differ from the task's description.
    """
    try:
        loaded = task.parts()
    except Exception as error:
        raise InvalidData(
            f"load of task {task.name!r} failed: {type(error).__name__}: {error}", "see the log of the worker"
        ) from error
    try:
        streams = three_of(loaded)
    except ValueError as error:
        raise _wrong(task, str(error)) from error
    if streams is not None:
        return _streamed(task, info, streams)
    if info.stream is not None:
        raise _wrong(task, f"it says how many tokens it has, and load gives {type(loaded).__name__}, no TokenStream")
    try:
        train, validation, test = loaded
    except (TypeError, ValueError) as error:
        raise _wrong(task, "load() must give (train, validation, test)") from error
    sizes = (info.train_examples, info.validation_examples, info.test_examples)
    first, second, third = (
        _split(task, info, name, part, size)
        for name, part, size in zip(PARTS, (train, validation, test), sizes, strict=True)
    )
    return first, second, third


def _streamed(task: UserTask, info: TaskInfo, streams: Sequence[TokenStream]) -> tuple[TrainingPart, Split, Split]:
    """The three parts of a stream, at the context of the job."""
    given, said = StreamInfo(**dict(zip(PARTS, map(len, streams), strict=True))), info.stream
    if said != given:
        raise _wrong(task, f"its streams have {list(map(len, streams))} tokens; say so: tokens={tuple(map(len, streams))}")
    if any(stream.vocabulary > info.classes for stream in streams):
        most = max(stream.vocabulary for stream in streams)
        raise _wrong(task, f"the vocabulary of its streams is {most:,}, and classes is {info.classes:,}")
    return stream_parts([stream.row for stream in streams], info.features, info.classes, task.name)


def _split(task: UserTask, info: TaskInfo, name: str, part: Any, size: int) -> Split:
    if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
        raise _wrong(task, f"the {name} part must be (inputs, labels) or (inputs, labels, sources)")
    inputs = torch.as_tensor(part[0]).contiguous()
    labels = torch.as_tensor(part[1]).contiguous()
    sources = torch.as_tensor(part[2]) if len(part) == 3 else torch.zeros(len(labels), dtype=torch.int64)
    if tuple(inputs.shape) != (size, *info.input_shape):
        raise _wrong(task, f"inputs of the {name} part have shape {list(inputs.shape)}, not {[size, *info.input_shape]}")
    expected = (size, info.features) if info.kind == "language" else (size,)
    if tuple(labels.shape) != expected:
        raise _wrong(task, f"labels of the {name} part have shape {list(labels.shape)}, not {list(expected)}")
    if info.inputs == "tokens":
        _whole(task, f"inputs of the {name} part", inputs, None)
        inputs = inputs.to(torch.int64)
    else:
        if name == "train":
            _survives(task, "inputs", inputs if inputs.dim() == 2 else inputs.reshape(-1, 1))
        inputs = inputs.to(torch.float32)
        _finite(task, f"inputs of the {name} part", inputs)
    if info.kind == "regression":
        if name == "train":
            _survives(task, "labels", labels.reshape(-1, 1))
        labels = labels.to(torch.float32)
        _finite(task, f"labels of the {name} part", labels)
    else:
        _whole(task, f"labels of the {name} part", labels, info.classes)
        labels = labels.to(torch.int64)
    if tuple(sources.shape) != (size,):
        raise _wrong(task, f"sources of the {name} part have shape {list(sources.shape)}, not {[size]}")
    _whole(task, f"sources of the {name} part", sources, max(1, len(info.sources)))
    return Split(inputs, labels, sources.to(torch.int64))


def _survives(task: UserTask, what: str, values: Tensor) -> None:
    """Raise InvalidData where values [examples, features] of the training part are lost by a cast to single precision."""
    if values.dtype not in (torch.float64, torch.int32, torch.int64) or not values.isfinite().all():
        return
    wide = values.double()
    moved = (wide - wide.float().double()).abs().amax(0)
    low, high = wide.amin(0), wide.amax(0)
    varies = high - low > ROUNDING * torch.maximum(low.abs(), high.abs())
    lost = (varies & moved.isfinite() & (moved > MOST_MOVED * wide.std(0, correction=0))).nonzero()
    if len(lost):
        at = int(lost[0])
        feature = f", feature {at}," if values.shape[1] > 1 else ""
        raise _wrong(
            task,
            f"{what} of the train part{feature} run from {float(low[at]):.17g} to {float(high[at]):.17g}, and the cast to "
            "float32 loses their differences: subtract the mean and divide by the deviation in float64 first",
        )


def _finite(task: UserTask, what: str, values: Tensor) -> None:
    if not values.isfinite().all():
        lost = (~values.isfinite()).nonzero()
        row, *rest = lost[0].tolist()
        where = f"row {row}" + (f", column {rest[0]}" if len(rest) == 1 else f", at {rest}" if rest else "")
        raise _wrong(task, f"{what} have {len(lost)} numbers that are not finite, the first in {where}")


def _whole(task: UserTask, what: str, values: Tensor, below: int | None) -> None:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise _wrong(task, f"{what} are {values.dtype}, not whole numbers")
    if int(values.min()) < 0 or (below is not None and int(values.max()) >= below):
        allowed = "at least 0" if below is None else f"0 to {below - 1}"
        raise _wrong(task, f"{what} run from {int(values.min())} to {int(values.max())}; allowed: {allowed}")


def _wrong(task: UserTask, what: str) -> InvalidData:
    return InvalidData(f"task {task.name!r}: {what}", "make what load gives agree with the fields of the UserTask")
