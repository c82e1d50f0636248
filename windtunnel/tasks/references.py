"""Resolves references ``package.module:attribute``, which are imported when they are first used."""

import importlib
from typing import Any


class BadReference(ValueError):
    """The text is not a reference to something that can be imported."""


def resolve(reference: str) -> Any:
    """The object that ``package.module:attribute`` names; the attribute may be a path with dots.

    Raises:
        BadReference: the text has another form, or there is no such module or attribute.
    """
    module, colon, attribute = reference.partition(":")
    if not (module and colon and attribute):
        raise BadReference(f"{reference!r} names nothing; write it as package.module:attribute")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise BadReference(f"{reference!r}: cannot import {module!r}: {error}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise BadReference(f"{reference!r}: {module!r} has no {attribute!r}") from error
    return found
