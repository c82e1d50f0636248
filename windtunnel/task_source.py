"""Where a spec looks up a task that its reader did not hand over: handed in once, where the package is put together.

The wire types know what a task is, and not which there are. ``windtunnel/__init__.py`` hands the catalogue's look-up in.
"""

from collections.abc import Callable

Find = Callable[[str], object]
"""Name of a built-in or installed task -> its ``TaskInfo``; raises ``UnknownTask`` for any other."""

_find: Find | None = None


def hand_in(find: Find) -> None:
    """Take the look-up from here on."""
    global _find  # noqa: PLW0603 - set once, before the first spec is read
    _find = find


def find(name: str) -> object:
    """The ``TaskInfo`` of a built-in or installed task.

    Raises:
        UnknownTask: there is no such task here.
    """
    assert _find is not None, "importing windtunnel hands the look-up in"
    return _find(name)
