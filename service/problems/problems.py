"""Turns pydantic's errors into ours: which field, what was given, what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from service.problems.fields import Place, allowed_fields, allowed_values, locate, nearest, union_models
from service.problems.values import cut, in_words, presentable
from windtunnel.types import FieldError
from windtunnel.types.problems import json_pointer

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "a string",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "model": "an object",
    "dict": "an object",
}
"""First word of a pydantic error type -> the value that it wanted, in words."""
COMPLAINTS = frozenset({"type", "parsing", "parsing_size", "from_float", "attributes_type", "number", "unicode"})
"""Second part of a pydantic error type where the value has the wrong type."""

MOST_TOLD = 20
"""Mistakes of one request that are told; of any others only the number is."""
LONGEST_MESSAGE = 4000
"""Characters of a message: enough for every list of allowed names."""
LONGEST_POINTER = 1000


class FieldErrors(list[FieldError]):
    """The first mistakes of a request, and the number of those that are not told."""

    untold: int = 0

    @classmethod
    def of(cls, told: Sequence[FieldError], untold: int) -> Self:
        """Make it of the mistakes that are told, and the number of the others."""
        made = cls(told[:MOST_TOLD])
        made.untold = untold + len(told[MOST_TOLD:])
        return made

    def below(self, pointer: str) -> Self:
        """Copy with pointers into a request that holds this one at ``pointer``."""
        return self.of([each.model_copy(update={"pointer": pointer + each.pointer}) for each in self], self.untold)


def field_errors(errors: Sequence[Mapping[str, Any]], model: type[BaseModel] | None) -> FieldErrors:
    """Errors in our words, one a field, in the order of the request: the first 20, and how many more there are.

    The time is linear in the number of errors, of which a request of a megabyte can have a hundred thousand.

    Args:
        errors: as ``ValidationError.errors()`` gives them, locations relative to ``model``.
        model: the request model that was validated against; None where there is none (a single path parameter).
    """
    around = {
        location[:length] for location in (tuple(error["loc"]) for error in errors) for length in range(len(location))
    }
    # A list whose item failed is also reported as too short: pydantic counts good items only.
    mistakes = [
        each for each in errors if each["type"] not in ("too_short", "too_long") or tuple(each["loc"]) not in around
    ]
    told: list[FieldError] = []
    count = 0
    for error in mistakes:
        crowd = error["type"] == "unknown_fields"
        count += error["ctx"]["count"] if crowd else 1
        if len(told) < MOST_TOLD:
            told += _unknown_fields(error, model) if crowd else [_field_error(error, locate(model, tuple(error["loc"])))]
    told = told[:MOST_TOLD]
    return FieldErrors.of(told, count - len(told))


def misfit_error(error: PydanticCustomError) -> FieldError:
    """A `misfit` raised outside of a validator, its path taken from the root."""
    context = error.context or {}
    return _short(FieldError(pointer=context["path"], message=error.message(), given=presentable(context["given"])))


def _field_error(error: Mapping[str, Any], place: Place) -> FieldError:
    """Name the field, say what was given and what is allowed."""
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    path = place.path
    match kind:
        case "misfit":
            pointer = json_pointer(path) + context["path"]
            return _short(FieldError(pointer=pointer, message=context["message"], given=presentable(context["given"])))
        case "value_error":
            message = str(context["error"])
        case "extra_forbidden":
            message = _unknown_field(str(path[-1]), place.model)
        case "missing":
            message, given = _missing(path, place), None
        case "union_tag_invalid" | "union_tag_not_found":
            tag = context["discriminator"].strip("'")
            names = _tags(place, tag)
            path, given = (*path, tag), context.get("tag")
            message = _wrong_choice(tag, given, names) if given else f"{tag} is missing; allowed: {', '.join(names)}"
        case "literal_error":
            message = _wrong_choice(_name(path), given, (allowed_values(place.field) or context["expected"]).split(", "))
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            message = f"{_name(path)} has {_length(given)}; allowed: {allowed_values(place.field) or _bound(context)}"
        case _:
            message = _wrong_value(kind, error["msg"], given, place)
    return _short(FieldError(pointer=json_pointer(path), message=message, given=presentable(given)))


def _short(error: FieldError) -> FieldError:
    """The error without the length that names and values of the request give it."""
    return FieldError(
        pointer=cut(error.pointer, LONGEST_POINTER), message=cut(error.message, LONGEST_MESSAGE), given=error.given
    )


def _bound(context: Mapping[str, Any]) -> str:
    """The length that pydantic itself names, for what is no field of a model, such as a header."""
    return f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"


def _unknown_field(name: str, model: type[BaseModel] | None) -> str:
    allowed = allowed_fields(model) if model else []
    meant = nearest(name, allowed)
    parts = [f"unknown field {in_words(name)}", f"did you mean '{meant}'?" if meant else None]
    return "; ".join(part for part in parts if part) + (" " if meant else "; ") + f"allowed: {', '.join(allowed)}"


def _unknown_fields(error: Mapping[str, Any], model: type[BaseModel] | None) -> list[FieldError]:
    """Errors for the first of very many unknown fields of one object."""
    named: Mapping[str, Any] = error["ctx"]["named"]
    each = {"type": "extra_forbidden", "ctx": {}}
    return [_field_error({**each, "input": value}, locate(model, (*error["loc"], name))) for name, value in named.items()]


def _missing(path: Sequence[str | int], place: Place) -> str:
    if not path:
        return "the request has no body; send a JSON object"
    described = place.field.description if place.field else None
    allowed = allowed_values(place.field)
    tail = f"; allowed: {allowed}" if allowed else f": {described}" if described else ""
    return f"{_name(path)} is required and was not given{tail}"


def _wrong_choice(name: str, given: Any, allowed: Sequence[str]) -> str:
    meant = nearest(given, allowed) if isinstance(given, str) else None
    hint = f"; did you mean '{meant}'?" if meant else ";"
    return f"{name} cannot be {in_words(given)}{hint} allowed: {', '.join(allowed)}"


def _wrong_value(kind: str, pydantic_says: str, given: Any, place: Place) -> str:
    name, allowed = _name(place.path), allowed_values(place.field)
    family, _, complaint = kind.partition("_")
    if family in KINDS and complaint in COMPLAINTS:
        article = "a string of valid Unicode" if complaint == "unicode" else KINDS[family]
        return f"{name} must be {article}, got {in_words(given)}" + (f"; allowed: {allowed}" if allowed else "")
    if allowed:
        return f"{name} is {in_words(given)}; allowed: {allowed}"
    return f"{name} is {in_words(given)}: {pydantic_says[0].lower()}{pydantic_says[1:]}"


def _tags(place: Place, tag: str) -> list[str]:
    return [str(model.model_fields[tag].default) for model in union_models(place.field)]


def _name(path: Sequence[str | int]) -> str:
    """The last named part of a path: ``search`` for ``/search/0``."""
    named = [part for part in path if isinstance(part, str)]
    index = f"[{path[-1]}]" if path and isinstance(path[-1], int) else ""
    return (named[-1] if named else "the request body") + index


def _length(given: Any) -> str:
    if isinstance(given, str):
        return f"{len(given):,} characters"
    return f"{len(given):,} item{'' if len(given) == 1 else 's'}"
