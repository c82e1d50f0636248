"""UserTask: a task of one's own, data and model, brought by an entry point in the group ``windtunnel.tasks``.

Imports no torch, and the module that defines the task must not either: servers read tasks and never train. Functions that
need torch are named as ``package.module:attribute`` and imported where a worker trains::

    # spirals/task.py
    TASK = UserTask(
        name="spirals",
        title="Two spirals",
        input_shape=(2,),
        classes=2,
        examples=(600, 200, 200),
        load="spirals.data:load",
        build="spirals.model:build",
        module="spirals:module.json",
    )

    # pyproject.toml
    [project.entry-points."windtunnel.tasks"]
    spirals = "spirals.task:TASK"
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from math import prod
from typing import Any

from pydantic import PrivateAttr, ValidationError

from windtunnel.tasks.references import BadReference, resolve
from windtunnel.types.families import TaskKind
from windtunnel.types.modules import InputKind, ModuleInfo
from windtunnel.types.streams import StreamInfo
from windtunnel.types.tasks import TaskInfo
from windtunnel.types.tensors import Role

Build = Callable[[int, int], Any]
"""(width, depth) -> torch.nn.Module whose forward takes inputs [batch, *input_shape] and gives logits [batch, classes];
for text inputs [batch, context] and logits [batch, context, classes]; for a regression [batch, 1]."""
Load = Callable[[], Any]
"""() -> (train, validation, test), each (inputs, labels) or (inputs, labels, sources), as arrays or tensors."""
Loss = Callable[[Any, Any], Any]
"""(outputs, labels) of a batch -> its mean loss, or the loss of each example [batch]. Outputs are logits [batch, classes];
for text [batch, context, classes], with labels [batch, context]; for a regression [batch]."""


@dataclass(frozen=True, kw_only=True)
class UserTask:
    """A task of one's own: data, and a model whose width can be chosen.

    Raises:
        ValueError: a field has a value that is not allowed; the message names it.
    """

    name: str
    input_shape: tuple[int, ...]
    """Shape of one example; for text (context,)."""
    examples: tuple[int, int, int] = (0, 0, 0)
    """Numbers of examples in the training, validation and test part; those of streams follow from ``tokens``."""
    load: Load | str
    """Function that gives the data, or a reference to it: three parts, or streams (``windtunnel.TokenStream``)."""
    build: Build | str
    """Function that makes the module, or a reference to it."""
    tokens: tuple[int, int, int] | None = None
    """Numbers of tokens in the three parts, where ``load`` gives streams; None: it gives examples."""
    loss: Loss | str | None = None
    """Loss of training and evaluation, or a reference to it; None: cross-entropy, for a regression the squared error."""
    classes: int = 1
    """Number of classes; for text the size of the vocabulary; for a regression 1."""
    title: str = ""
    kind: TaskKind = "classification"
    inputs: InputKind = "floats"
    """Type of the inputs: ``floats``, or ``tokens``: int64 indices into a vocabulary."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Name pattern of tensors -> role, where shapes and types of layers do not tell it."""
    init_std: Mapping[str, float] = field(default_factory=dict)
    """Name pattern -> standard deviation of initial values at the proxy's width, where it is not sqrt(1 / fan-in)."""
    sources: tuple[str, ...] = ("all",)
    """Names of the data sources that ``load`` numbers."""
    source: str = ""
    """Origin of the data, in words."""
    width: int = 64
    """Default width of the proxy."""
    depth: int = 2
    batch_size: int = 64
    module: ModuleInfo | str | None = None
    """Table of the module's tensors, by ``windtunnel roles REFERENCE --save FILE``, or its file: ``package:file.json``."""

    def __post_init__(self) -> None:
        if self.stream is not None and len(self.input_shape) == 1 and self.input_shape[0] > 0:
            if self.kind != "language":
                raise ValueError(f"kind of task {self.name!r} is {self.kind!r}; allowed with tokens: 'language'")
            object.__setattr__(self, "examples", self.stream.examples(*self.input_shape))
        sizes = {"width": self.width, "depth": self.depth, "batch_size": self.batch_size, "classes": self.classes}
        sizes |= {f"examples[{index}]": count for index, count in enumerate(self.examples)}
        sizes |= {f"input_shape[{index}]": size for index, size in enumerate(self.input_shape)}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} of task {self.name!r} is {size}; allowed: at least 1")
        if not self.name or not self.name.isprintable() or len(self.name) > 200:
            raise ValueError(f"name of a task is {self.name!r}; allowed: 1 to 200 printable characters")
        if len(self.examples) != 3:
            raise ValueError(f"examples of task {self.name!r}: give the sizes of train, validation and test part")
        if not self.input_shape or (self.kind == "language" and len(self.input_shape) != 1):
            raise ValueError(
                f"input_shape of task {self.name!r} is {self.input_shape}; allowed: that of an example, for text (context,)"
            )
        if self.kind == "regression" and self.classes != 1:
            raise ValueError(f"classes of regression {self.name!r} is {self.classes}; allowed: 1")
        if self.kind == "language" and self.inputs != "tokens":
            raise ValueError(f"inputs of language task {self.name!r} are {self.inputs!r}; allowed: 'tokens'")

    @property
    def stream(self) -> StreamInfo | None:
        """Tokens of each part, where the data are streams."""
        if self.tokens is None:
            return None
        train, validation, test = self.tokens
        return StreamInfo(train=train, validation=validation, test=test)

    def builder(self) -> Build:
        """The function that makes the module."""
        found: Build = resolve(self.build) if isinstance(self.build, str) else self.build
        return found

    def criterion(self) -> Loss | None:
        """The task's own loss; None where it has none."""
        found: Loss | None = resolve(self.loss) if isinstance(self.loss, str) else self.loss
        return found

    def parts(self) -> Any:
        """The data, as ``load`` gives them."""
        return (resolve(self.load) if isinstance(self.load, str) else self.load)()

    def info(self) -> "UserTaskInfo":
        """Facts of the task, as the catalogue lists them.

        Raises:
            ValueError: the task has no table of its tensors, or the table cannot be read.
        """
        return self.info_with(self.table())

    def info_with(self, table: ModuleInfo) -> "UserTaskInfo":
        """Facts of the task with the given table of its tensors."""
        found = UserTaskInfo(
            name=self.name,
            title=self.title or self.name,
            kind=self.kind,
            features=prod(self.input_shape),
            input_shape=self.input_shape,
            inputs=self.inputs,
            classes=self.classes,
            sources=self.sources,
            train_examples=self.examples[0],
            validation_examples=self.examples[1],
            test_examples=self.examples[2],
            source=self.source,
            families=("module",),
            batch_size=min(self.batch_size, self.examples[0]),
            width=self.width,
            module=table,
            loss=None if self.loss is None else _named(self.loss),
            stream=self.stream,
        )
        found._brought = self
        return found

    def table(self) -> ModuleInfo:
        """The table of its tensors.

        Raises:
            ValueError: there is none, or it cannot be read.
        """
        how = f"write it with: windtunnel roles PACKAGE.MODULE:TASK --save FILE (task {self.name!r})"
        if self.module is None:
            raise ValueError(f"task {self.name!r} has no table of its tensors; {how}")
        if isinstance(self.module, ModuleInfo):
            return self.module
        package, _, file = self.module.partition(":")
        try:
            text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
            return ModuleInfo.model_validate_json(text)
        except (ImportError, OSError, ValidationError, ValueError) as error:
            raise ValueError(f"table {self.module!r} of task {self.name!r} cannot be read: {error}; {how}") from error


def _named(loss: Loss | str) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__qualname__", type(loss).__name__)


class UserTaskInfo(TaskInfo):
    """Facts of a task of one's own that also hold, in this process only, the task with its data, module and loss."""

    _brought: UserTask = PrivateAttr()

    def __reduce__(self) -> tuple[Any, ...]:
        # Data and code stay in this process: another process gets the facts alone.
        return TaskInfo.model_validate, (self.model_dump(),)


def user_task(info: TaskInfo) -> UserTask:
    """The task of one's own that the facts belong to.

    Raises:
        LookupError: the facts do not hold it: they came over the wire, or are of a built-in task or a data set.
    """
    if not isinstance(info, UserTaskInfo):
        raise LookupError(  # noqa: TRY004 - not a mistake of the caller
            f"task {info.name!r} came without the package that brings it"
        )
    return info._brought


def read(reference: str) -> UserTask:
    """The task that an entry point names: a UserTask, or a function that gives one.

    Raises:
        BadReference: the reference names something else.
    """
    found = resolve(reference)
    if callable(found) and not isinstance(found, UserTask):
        found = found()
    if not isinstance(found, UserTask):
        raise BadReference(
            f"{reference!r} is {type(found).__name__}; expected a windtunnel.UserTask or a function that gives one"
        )
    return found
