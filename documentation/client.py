"""Generates the client's page from its docstrings: classes, events and exceptions."""

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import get_args

from pydantic import BaseModel

import windtunnel.client as package
from windtunnel.client._errors import BY_STATUS, BY_TYPE
from windtunnel.types import EventType
from windtunnel.types.events import EVENT_DETAILS, OtherEvent

CLASSES = (
    *("Client", "Jobs", "Job", "Result", "Plan", "Plans", "Datasets", "Laws", "Keys", "Webhooks", "Workers"),
    *("Pacing", "JobProgress"),
)
"""Classes of the page, in the order in which a user meets them."""


def catalogue() -> str:
    """Markdown of every public class with its calls, every event and every exception."""
    return "\n".join([*map(_class, CLASSES), _events(), _exceptions()]).rstrip()


def _class(name: str) -> str:
    kind = getattr(package, name)
    twin = f" Twin: `Async{name}`." if hasattr(package, f"Async{name}") else ""
    lines = [f"## {name}", "", f"{_sentence(kind.__doc__)}{twin}", ""]
    rows = [*_attributes(kind), *(_row(member, value) for member, value in _members(kind))]
    return "\n".join([*lines, "| | |", "|---|---|", *rows]) + "\n"


def _attributes(kind: type) -> list[str]:
    """Table rows of a dataclass's fields: default, and meaning from its docstring."""
    if not is_dataclass(kind):
        return []
    said = dict(re.findall(r"^ {8}([\w, ]+): (.+)$", kind.__doc__ or "", re.MULTILINE))
    meaning = {name: text for names, text in said.items() for name in names.split(", ")}
    plain = [each for each in fields(kind) if not callable(each.default)]
    return [f"| `{each.name}={each.default!r}` | {_sentence(meaning[each.name])} |" for each in plain]


def _members(kind: type) -> list[tuple[str, object]]:
    """(name, member) of a class's own public calls and properties, in source order, the class before its bases."""
    found: dict[str, object] = {}
    for base in kind.__mro__:
        if base.__module__.startswith("windtunnel.client"):
            for name, value in vars(base).items():
                call = value.__func__ if isinstance(value, classmethod) else value
                ours = isinstance(call, property) or (
                    inspect.isfunction(call) and call.__module__.startswith("windtunnel.client")
                )
                if ours and not name.startswith("_") and name != "received":
                    found.setdefault(name, value)
    return list(found.items())


def _row(name: str, value: object) -> str:
    call = value.__func__ if isinstance(value, classmethod) else value
    if isinstance(call, property):
        return f"| `{name}` | {_sentence(call.__doc__)} |"
    assert inspect.isfunction(call)
    arguments, keyword_only = [], False
    for parameter in list(inspect.signature(call).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            arguments.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        shown = stars + parameter.name
        simple = isinstance(parameter.default, bool | int | float | str | None)
        plain = parameter.default is parameter.empty
        arguments.append(shown if plain else f"{shown}={parameter.default!r}" if simple else f"{shown}=...")
    return f"| `{name}({', '.join(arguments)})` | {_sentence(call.__doc__)} |"


def _events() -> str:
    rows = [
        f"| `{name}` | `{EVENT_DETAILS[name].__name__}` | {_fields(EVENT_DETAILS[name])} |" for name in get_args(EventType)
    ]
    rows.append(f"| any other | `{OtherEvent.__name__}` | {_fields(OtherEvent)} |")
    head = ["## Events", "", "| type | `details` | fields |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _fields(model: type[BaseModel]) -> str:
    if len(model.model_fields) > 8:
        return "see [events](api.md#events)"
    return ", ".join(f"`{name}`" for name in model.model_fields)


def _exceptions() -> str:
    kinds = {name: getattr(package, name) for name in package.__all__}
    errors = {name: kind for name, kind in kinds.items() if issubclass(kind, Exception)}
    types = {kind: name for name, kind in BY_TYPE.items()}
    statuses = {kind: status for status, kind in BY_STATUS.items()}
    rows = []
    for name, kind in sorted(errors.items(), key=lambda item: [base.__name__ for base in reversed(item[1].__mro__)]):
        said = f"`{types[kind]}`" if kind in types else str(statuses.get(kind, ""))
        rows.append(f"| `{name}` | `{kind.__mro__[1].__name__}` | {said} | {_sentence(kind.__doc__)} |")
    head = [
        "## Exceptions",
        "",
        "Each [problem type](api.md#problems) of the API has its own. Messages say what was given, what is allowed, and "
        "what to do.",
        "",
        "| exception | is a | problem | when |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _sentence(text: str | None) -> str:
    """First sentence of a docstring, as Markdown."""
    first = inspect.cleandoc(text or "").split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[.!?:]) (?=[A-Z])", first)[0]
    assert sentence, "a public name without a docstring"
    return re.sub(r"``(.+?)``", r"`\1`", sentence).replace("|", "\\|")
