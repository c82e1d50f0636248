"""Errors of an uploaded file, which the process that reads it tells its parent."""

from typing import Any


class BadData(Exception):
    """The file, or an option that came with it, cannot be used.

    Args:
        message: what was given, what is allowed.
        pointer: the field of the form: ``/file``, ``/target``, ``/kind``, ...
        given: the value of that field, or of the cell.
    """

    def __init__(self, message: str, pointer: str = "/file", given: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.given = given


class TooLarge(BadData):
    """The file holds more than is read: cells of a table, bytes or tokens of a text.

    The message names the limit and what the file has; a smaller piece of the data can be uploaded instead.
    """
