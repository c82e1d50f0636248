"""Finds the object that answers for a kind: one module a kind, named like it, in the package of its table. No torch here.

The wire types list which kinds there are (``windtunnel.types``); the packages of ``hpo`` answer for them. Both sides are
held together by ``tests/architecture/test_kinds.py``.
"""

import importlib
from typing import TypeVar

from hpo.errors import Refused

Kind = TypeVar("Kind")


def answering(package: str, name: str, attribute: str, base: type[Kind]) -> Kind:
    """The object that answers for a kind: ``attribute`` of the module ``package.name``.

    Args:
        package: dotted name of the package that holds one module for each kind.
        name: the kind's name on the wire; ``-`` stands for ``_`` in the module's name.
        attribute: name of the object in that module.
        base: the class whose every question it must answer.

    Raises:
        Refused: there is no such module or object, or it does not answer every question. A kind is never taken for
            another.
    """
    where = f"{package}.{name.replace('-', '_')}"
    try:
        found = getattr(importlib.import_module(where), attribute)
    except ModuleNotFoundError as error:
        if error.name != where:  # a library that the kind needs
            raise
        raise Refused(f"{name!r} is nothing that {package} answers for", f"add the module {where}") from error
    except (AttributeError, TypeError) as error:
        raise Refused(f"{where} does not answer for {name!r}: {error}", f"see {base.__name__} for its questions") from error
    if not isinstance(found, base):
        raise Refused(f"{where}.{attribute} is no {base.__name__}", f"see {base.__name__} for its questions")
    return found
