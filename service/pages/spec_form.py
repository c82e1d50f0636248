"""The form for a job beside its JSON: fields are a view of the JSON, and what is changed in one is changed in the other.

The form sends both, and ``base``, the JSON that its fields were made from. A field that differs from its value in ``base``
was changed by hand, and is written over the JSON; all other fields follow the JSON. So a plain form without JavaScript
keeps both in step, too. Choices, bounds and names come from the wire types.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from service.pages.forms import number
from service.problems.fields import allowed_values, choices, locate
from windtunnel.types import JobSpec, Problem
from windtunnel.types.families import OPTIONS
from windtunnel.types.hyperparameters import HyperparameterName, scopes_of
from windtunnel.types.spec import SearchItem

Kind = Literal["text", "numeric", "decimal"]

GROUPS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("What is trained", (("name", "Name"), ("task", "Task"))),
    ("Small model", (("model.family", "Family"), ("model.width", "Width"), ("model.depth", "Depth"))),
    (
        "One training run",
        (
            ("inner.steps", "Steps"),
            ("inner.batch_size", "Batch size"),
            ("inner.seeds", "Seeds"),
            ("optimizer.name", "Optimizer"),
        ),
    ),
    ("How much to spend", (("outer.budget", "Budget, in runs"), ("outer.steps", "Outer steps"))),
    (
        "Large model",
        (
            ("target.width", "Width"),
            ("target.depth", "Depth"),
            ("target.steps", "Steps"),
            ("target.batch_size", "Batch size"),
        ),
    ),
)
"""Title of a group of fields -> (path in the spec, label) of each."""
SIZES = ("model.width", "model.depth", "model.activation", "model.d_head", *(f"model.{name}" for name in OPTIONS))
FOLLOWERS = {
    "task": ("model.family", *SIZES, "inner.batch_size"),
    "model.family": SIZES,
    "outer.budget": ("outer.steps",),
}
"""Field -> fields that go back to their defaults where it is changed and they are not: they were chosen for what it was."""
PARTS = ("scope", "low", "high")
NAMES: tuple[HyperparameterName, ...] = get_args(HyperparameterName)
_SPEC: type[BaseModel] = JobSpec


@dataclass(frozen=True)
class Entry:
    """One field: its value as text, what it holds where it is left blank, what it allows, and the mistake in it."""

    name: str
    label: str
    value: str
    default: str
    allowed: str
    options: Sequence[tuple[str, str]] = ()
    """(value, words) of a field that is chosen; empty for one that is typed."""
    required: bool = False
    kind: Kind = "decimal"
    """Keyboard that a phone shows for it."""
    mistake: str = ""

    @property
    def anchor(self) -> str:
        """The id of the field."""
        return f"field-{self.name.replace('.', '-')}"


@dataclass(frozen=True)
class Row:
    """One hyperparameter that may be searched."""

    name: str
    on: bool
    scope: Entry
    low: Entry
    high: Entry
    mistake: str = ""


@dataclass(frozen=True)
class SpecForm:
    """The form as a page shows it."""

    text: str
    """The JSON."""
    base: str
    groups: Sequence[tuple[str, Sequence[Entry]]]
    rows: Sequence[Row]
    problem: Problem | None = None
    cost: str = ""

    @property
    def anchors(self) -> dict[str, str]:
        """Pointer of the spec -> id of the field that shows it."""
        return {"/" + entry.name.replace(".", "/"): entry.anchor for _, entries in self.groups for entry in entries}


def merged(form: Mapping[str, str], base: Any, written: Any) -> tuple[Any, bool]:
    """The JSON with the fields that were changed by hand, and whether there are any."""
    if not isinstance(written, dict) or not isinstance(base, dict):
        return written, False
    content = copy.deepcopy(written)
    changed = {name for name, _ in _fields() if form.get(name, "") != shown(base, name)}
    for name in changed:
        typed = form.get(name, "")
        put(content, name, number(typed) if typed and not _is_text(name) else typed)
    for name in changed:
        for follower in FOLLOWERS.get(name, ()):
            if follower not in changed:
                put(content, follower, "")
    if "target.width" in changed and "target.width" not in form:
        content.pop("target", None)
    rows = [name for name in NAMES if _row(form, name) != _shown_row(base, name)]
    if rows:
        content["search"] = _searched(content, form, rows)
    return content, bool(changed or rows)


def shown(content: Any, name: str) -> str:
    """The value of a field as text; empty where the JSON does not give it."""
    for part in name.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return "" if content is None else content if isinstance(content, str) else json.dumps(content)


def put(content: dict[str, Any], name: str, value: Any) -> None:
    """Write a value at its place in the JSON, or take it out where it is empty."""
    *parts, last = name.split(".")
    around = content
    for part in parts:
        if not isinstance(around.get(part), dict):
            if value == "":
                return
            around[part] = {}
        around = around[part]
    if value != "":
        around[last] = value
        return
    around.pop(last, None)
    if parts and not around:
        content.pop(parts[0])


def in_text(content: Mapping[str, Any]) -> str:
    """A spec as text: a field a line, an item of the search a line."""
    lines = []
    for name, value in content.items():
        text = json.dumps(value)
        if name == "search" and isinstance(value, list) and value:
            items = ",\n".join(f"    {json.dumps(item)}" for item in value)
            text = f"[\n{items}\n  ]"
        lines.append(f"  {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}" if lines else "{}"


def spec_form(
    text: str,
    content: Any,
    spec: JobSpec,
    tasks: Sequence[tuple[str, str]],
    *,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
    cost: str = "",
) -> SpecForm:
    """The form around a text.

    Args:
        text: the JSON as it is shown.
        content: the JSON that was read from it; that of ``base`` where the text is no JSON.
        spec: a spec with the defaults in force, of the JSON itself where that is sound.
        tasks: (name or id, words) of every task that the caller can choose.
        typed: fields as they were typed, where the text is no JSON and says nothing.
        problem: mistakes of the JSON.
        cost: the estimate in words.
    """
    defaults = spec.model_dump(mode="json")
    mistakes = {error.pointer: error.message for error in problem.errors} if problem else {}

    def entry(name: str, label: str) -> Entry:
        value = shown(content, name) if typed is None else typed.get(name, "")
        field = locate(_SPEC, name.split(".")).field
        options = _options(name, value, spec, tasks)
        allowed = "" if options or _is_text(name) else allowed_values(field) or ""
        mistake = mistakes.get("/" + name.replace(".", "/"), "")
        required = field is not None and field.is_required() and "." not in name
        kind: Kind = "text" if _is_text(name) else "numeric" if _is_whole(name) else "decimal"
        return Entry(name, label, value, shown(defaults, name), allowed, options, required, kind, mistake)

    groups = [(title, [entry(name, label) for name, label in entries]) for title, entries in GROUPS]
    base = text if typed is None else in_text(content) if isinstance(content, dict) else "{}"
    return SpecForm(text, base, groups, list(_rows(content, spec, typed, mistakes)), problem, cost)


def _fields() -> Iterator[tuple[str, str]]:
    for _, entries in GROUPS:
        yield from entries


def _is_text(name: str) -> bool:
    field = locate(_SPEC, name.split(".")).field
    return field is not None and field.annotation is str


def _is_whole(name: str) -> bool:
    field = locate(_SPEC, name.split(".")).field
    return field is not None and int in (field.annotation, *get_args(field.annotation))


def _options(name: str, value: str, spec: JobSpec, tasks: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Choices of a field that is a name of a table, with what the JSON says where that is none of them."""
    if name == "task":
        known = list(tasks)
    elif name == "model.family":
        known = [(family, family) for family in spec.info.families]
    else:
        known = [(choice, choice) for choice in choices(locate(_SPEC, name.split(".")).field)]
    missing = [(value, value)] if known and value and value not in dict(known) else []
    return known + missing


def _items(content: Any) -> list[dict[str, Any]]:
    """The items of the search as the JSON gives them, or the default ones; those that are no objects are left out."""
    given = content.get("search") if isinstance(content, dict) else None
    if isinstance(given, list):
        return [item for item in given if isinstance(item, dict)]
    default: tuple[SearchItem, ...] = JobSpec.model_fields["search"].default
    return [item.model_dump(exclude_unset=True) for item in default]


def _shown_row(content: Any, name: str) -> tuple[str, ...]:
    item = next((item for item in _items(content) if item.get("name") == name), None)
    return ("", "", "", "") if item is None else ("on", *(shown(item, part) for part in PARTS))


def _row(form: Mapping[str, str], name: str) -> tuple[str, ...]:
    if f"search.{name}" not in form:
        return ("", "", "", "")
    return ("on", *(form.get(f"{part}.{name}", "") for part in PARTS))


def _searched(content: Any, form: Mapping[str, str], rows: Sequence[str]) -> list[dict[str, Any]]:
    """The search with the rows that were changed by hand."""
    items = [dict(item) for item in _items(content)]
    for name in rows:
        on, *parts = _row(form, name)
        item = next((item for item in items if item.get("name") == name), None)
        if not on:
            items = [other for other in items if other is not item]
            continue
        if item is None:
            items.append(item := {"name": name})
        for part, typed in zip(PARTS, parts, strict=True):
            put(item, part, typed if part == "scope" else number(typed) if typed else "")
    return items


def _rows(content: Any, spec: JobSpec, typed: Mapping[str, str] | None, mistakes: Mapping[str, str]) -> Iterator[Row]:
    """The hyperparameters that are searched, then those that could be."""
    search = content.get("search") if isinstance(content, dict) else None
    items = search if isinstance(search, list) else _items(content)
    given = {str(item.get("name")): index for index, item in enumerate(items) if isinstance(item, dict)}
    names = [name for name in NAMES if name in given] + [name for name in NAMES if name not in given and _fits(spec, name)]
    for name in names:
        on, *texts = _shown_row(content, name) if typed is None else _row(typed, name)
        at = f"/search/{given[name]}" if name in given else ""
        low, high = SearchItem(name=name).range
        scopes = scopes_of(name)
        found = [mistakes.get(f"{at}/{part}", "") if at else "" for part in PARTS]
        scope, least, most = (
            Entry(f"{part}.{name}", f"{part} of {name}", text, default, "", mistake=mistake)
            for part, text, default, mistake in zip(PARTS, texts, (scopes[0], f"{low:g}", f"{high:g}"), found, strict=True)
        )
        scope = replace(scope, options=[(each, each) for each in scopes])
        whole = [mistakes[key] for key in (at, f"{at}/name") if at and key in mistakes]
        yield Row(name, bool(on), scope, least, most, " ".join(filter(None, (*whole, *found))))


def _fits(spec: JobSpec, name: str) -> bool:
    """Whether the job could search that hyperparameter."""
    try:
        JobSpec.of({**spec.model_dump(exclude_unset=True, exclude={"initial"}), "search": [{"name": name}]}, spec.info)
    except ValidationError:
        return False
    return True
