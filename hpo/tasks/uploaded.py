"""Loads an uploaded data set, which was split when it was uploaded, and standardises it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hpo.errors import InvalidData
from hpo.tasks.registry import TaskData
from hpo.tasks.split import Split
from hpo.tasks.stream import stream_parts
from windtunnel.token_rows import TokenRow
from windtunnel.types import Dataset, Scaling, TaskInfo


def uploaded(dataset: Dataset, arrays: Mapping[str, Tensor]) -> TaskData:
    """The data of a job on an uploaded data set.

    Args:
        dataset: description of the data set; its scaling was fitted on the training part alone.
        arrays: ``PART.inputs`` and ``PART.labels`` for train, validation and test, as they are stored: inputs
            [examples, features] float32, or float64 where that loses too much, or tokens [windows, context]; labels
            classes, targets in the same precisions, or next tokens.

    Raises:
        InvalidData: the arrays differ from the description.
    """
    task = dataset.task
    sizes = {"train": task.train_examples, "validation": task.validation_examples, "test": task.test_examples}
    train, validation, test = (_part(dataset, arrays, part, size) for part, size in sizes.items())
    return TaskData(task.name, train, validation, test, task.classes, dataset.sha256)


def uploaded_stream(dataset: Dataset, info: TaskInfo, tokens: TokenRow) -> TaskData:
    """The data of a job on an uploaded stream.

    Args:
        dataset: description of the data set.
        info: facts of the task as the job has it: it chooses the context.
        tokens: all tokens of the stream.

    Raises:
        InvalidData: the tokens differ from the description.
    """
    stream = info.stream
    assert stream is not None
    if len(tokens) != stream.train + stream.validation + stream.test:
        raise InvalidData(f"data set {info.name!r} has {len(tokens):,} tokens, others than it had", "upload the file again")
    first, second = stream.train, stream.train + stream.validation
    parts = stream_parts(
        (tokens.part(0, first), tokens.part(first, second), tokens.part(second, len(tokens))),
        info.features,
        info.classes,
        info.name,
    )
    return TaskData(info.name, *parts, info.classes, dataset.sha256)


def _part(dataset: Dataset, arrays: Mapping[str, Tensor], part: str, size: int) -> Split:
    task, scaling = dataset.task, dataset.scaling
    try:
        inputs, labels = arrays[f"{part}.inputs"], arrays[f"{part}.labels"]
    except KeyError as error:
        raise InvalidData(f"data set {task.name!r} has no array {error}", "upload the file again") from error
    if tuple(inputs.shape) != (size, task.features) or len(labels) != size:
        raise InvalidData(
            f"the {part} part of data set {task.name!r} is of shape {list(inputs.shape)}, expected {[size, task.features]}",
            "upload the file again",
        )
    if scaling is None:
        return Split(inputs.to(torch.int64), labels.to(torch.int64), torch.zeros(size, dtype=torch.int64))
    inputs = ((inputs.double() - _row(scaling.mean)) / _row(scaling.deviation)).float()
    if task.kind == "regression":
        return Split(inputs, _targets(labels, scaling), torch.zeros(size, dtype=torch.int64))
    # The sources of a classification are its classes.
    return Split(inputs, labels.to(torch.int64), labels.to(torch.int64))


def _row(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _targets(labels: Tensor, scaling: Scaling) -> Tensor:
    assert scaling.target_mean is not None and scaling.target_deviation is not None
    return ((labels.double() - scaling.target_mean) / scaling.target_deviation).float()
