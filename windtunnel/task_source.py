"""Look-up of a built-in or installed task by name, which ``windtunnel/__init__.py`` sets to the catalogue's.

The wire types do not import the catalogue: they find a task here when its facts were not handed over with a spec.
"""

from collections.abc import Callable

Find = Callable[[str], object]
"""Name of a built-in or installed task -> its ``TaskInfo``; raises ``UnknownTask`` for any other."""

_find: Find | None = None


def hand_in(find: Find) -> None:
    """Use this look-up from now on."""
    global _find  # noqa: PLW0603 - set once, before the first spec is read
    _find = find


def find(name: str) -> object:
    """The ``TaskInfo`` of a built-in or installed task.

    Raises:
        UnknownTask: no task of that name is built in or installed here.
    """
    assert _find is not None, "importing windtunnel hands the look-up in"
    return _find(name)
