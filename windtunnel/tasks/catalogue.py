"""Catalogue: every built-in or installed task, by name. Imports no torch."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from windtunnel.tasks.user import UserTask, read
from windtunnel.types.tasks import BUILT_IN, TaskInfo, UnknownTask

GROUP = "windtunnel.tasks"
"""Group of the entry points by which installed packages bring tasks."""


class Catalogue(Mapping[str, TaskInfo]):
    """Mapping of the name of a built-in task, or of a task of an installed package, to its facts.

    Packages are looked for when a name is not built in, or when all names are listed. A task that cannot be read is left
    out, and ``broken`` has the reason; looking it up by name raises UnknownTask with the reason.
    """

    def __init__(self, built_in: Iterable[TaskInfo]) -> None:
        self.built_in: Mapping[str, TaskInfo] = {task.name: task for task in built_in}
        self._installed: dict[str, TaskInfo] = {}
        self._broken: dict[str, str] | None = None

    @property
    def broken(self) -> Mapping[str, str]:
        """Entry point -> reason why it gives no task."""
        if self._broken is None:
            self._broken = {}
            for entry in metadata.entry_points(group=GROUP):
                try:
                    task = self.admitted(read(entry.value))
                except Exception as error:  # noqa: BLE001 - somebody else's code must not take the catalogue down
                    self._broken[entry.name] = f"{type(error).__name__}: {error}"
                else:
                    self._installed[task.name] = task
        return self._broken

    def admitted(self, task: UserTask) -> TaskInfo:
        """The facts of a task that a package may bring.

        Raises:
            ValueError: a built-in task has its name, or its table cannot be read.
        """
        if task.name in self.built_in:
            raise ValueError(f"{task.name!r} is a built-in task; give yours another name")
        return task.info()

    def refresh(self) -> None:
        """Look for installed packages again at the next look-up."""
        self._broken, self._installed = None, {}

    def __getitem__(self, name: str) -> TaskInfo:
        if name in self.built_in:
            return self.built_in[name]
        if self.broken is not None and name in self._installed:
            return self._installed[name]
        raise UnknownTask(self.why_not(name))

    def why_not(self, name: str) -> str:
        """Sentence about a name that the catalogue lacks: the task is broken, or there is none of that name."""
        if name in self.broken:
            return f"task {name!r} is installed and cannot be used: {self.broken[name]}"
        return f"no task {name!r}; allowed: {', '.join(sorted(self))}"

    def __iter__(self) -> Iterator[str]:
        assert self.broken is not None
        return iter({**self.built_in, **self._installed})

    def __len__(self) -> int:
        return len(list(iter(self)))


TASKS = Catalogue(BUILT_IN.values())
"""Every task that a job may name."""
