"""Reads a job spec from a JSON or YAML file or standard input, and sets fields of it with ``--set``."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from windtunnel.cli.exits import SpecError


class _Loader(yaml.SafeLoader):
    """Loader for YAML with the numbers of YAML 1.2 (``1e-5`` is one); it refuses a key given twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(key, deep=True), value) for key, value in node.value]
    return _unique([(key, loader.construct_object(value, deep=True)) for key, value in pairs])


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_spec(source: str) -> dict[str, Any]:
    """The spec in a file, or on standard input if ``source`` is ``-``.

    A name that ends in .json is read as JSON, anything else as YAML, which includes JSON.

    Raises:
        SpecError: the file cannot be read, or does not hold a mapping.
    """
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(
            f"cannot read {source}: {error.strerror}; give a JSON or YAML file, or - for standard input"
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{name} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    try:
        spec = json.loads(text, object_pairs_hook=_unique) if source.endswith(".json") else _parse_yaml(text)
    except (json.JSONDecodeError, yaml.YAMLError, SpecError) as error:
        raise SpecError(f"{name}: {error}") from error
    if not isinstance(spec, dict):
        raise SpecError(f'{name} holds {_kind(spec)}; expected a mapping such as {{"task": "digits"}}')
    return spec


def override(spec: dict[str, Any], assignments: Sequence[str]) -> None:
    """Set fields of a spec in place by assignments such as ``inner.steps=100``, in order.

    A part of a path is a field name, or an index into a list (the list's length appends). Values are YAML:
    numbers, ``true``, ``null``, ``[...]``, ``{...}``, else text.

    Raises:
        SpecError: an assignment is malformed, or its path leads through a value that has no fields.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        parts = path.split(".")
        if not equals or not all(parts):
            raise SpecError(f"--set {assignment!r} is not an assignment; write it like --set inner.steps=100")
        try:
            value = _parse_yaml(text)
        except (yaml.YAMLError, SpecError) as error:
            raise SpecError(f"--set {assignment!r}: {error}") from error
        _assign(spec, parts, value, assignment)


def _assign(spec: dict[str, Any], parts: Sequence[str], value: Any, assignment: str) -> None:
    place: Any = spec
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        key: Any = part
        if isinstance(place, list):
            if not part.isdecimal() or int(part) > len(place):
                raise SpecError(
                    f"--set {assignment!r}: {'.'.join(parts[:depth])} is a list of {len(place)}; "
                    f"allowed after it: 0 to {len(place)}, got {part!r}"
                )
            key = int(part)
            if key == len(place):
                place.append(None)
        elif not isinstance(place, dict):
            raise SpecError(
                f"--set {assignment!r}: {'.'.join(parts[:depth])} is {_kind(place)} ({place!r}) and has no {part!r}"
            )
        if last:
            place[key] = value
            return
        inside = place.get(key) if isinstance(place, dict) else place[key]
        if inside is None:
            # The next part tells whether to begin a list or a mapping.
            inside = place[key] = [] if parts[depth + 1].isdecimal() else {}
        place = inside


def _parse_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with stricter rules


def _unique(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise SpecError(f"field name {key!r} is {_kind(key)}; field names are text")
        if key in made:
            raise SpecError(f"{key!r} is given twice")
        made[key] = value
    return made


def _kind(value: Any) -> str:
    names = {bool: "true or false", dict: "a mapping", list: "a list", int: "a number", float: "a number", str: "text"}
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")
