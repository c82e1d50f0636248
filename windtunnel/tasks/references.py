"""Things that are named as ``package.module:attribute`` and imported when they are first used."""

import importlib
from typing import Any


class BadReference(ValueError):
    """The text names nothing that can be imported."""


def resolve(reference: str) -> Any:
    """What ``package.module:attribute`` names; dots in the attribute lead inside.

    Raises:
        BadReference: it is written otherwise, or there is no such module or attribute.
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
