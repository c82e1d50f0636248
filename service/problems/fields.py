"""Follows the location of a validation error through the request models, to name the field as the sender knows it."""

import difflib
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from windtunnel.types.kinds import OneOf

Location = tuple[str | int, ...]

LONGEST_NAME = 100
"""Characters of a given name that are compared with the allowed ones."""


@dataclass(frozen=True)
class Place:
    """Location of an error: its path in the request, the model around it, the field itself where there is one."""

    path: Location
    model: type[BaseModel] | None
    field: FieldInfo | None


def locate(model: type[BaseModel] | None, location: Sequence[str | int]) -> Place:
    """The place of a pydantic location, without the tags that pydantic adds for the members of a union."""
    path: list[str | int] = []
    around, field = model, None
    annotation: Any = model
    discriminator: str | None = None
    for part in location:
        if discriminator is not None:
            annotation = _member(annotation, discriminator, part)
            discriminator = None
            continue
        path.append(part)
        annotation = _bare(annotation)
        around, field = None, None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            around = annotation
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field else None
            discriminator = _discriminator(field)
        elif isinstance(part, int) and typing.get_args(annotation):
            annotation = typing.get_args(annotation)[0]
        else:
            annotation = None
    return Place(tuple(path), around, field)


def allowed_fields(model: type[BaseModel]) -> list[str]:
    """Names of the fields of a model, in order of definition."""
    return list(model.model_fields)


def allowed_values(field: FieldInfo | None) -> str | None:
    """Allowed values of a field in words: a range, a list of names, a length. None where nothing bounds it."""
    if field is None:
        return None
    if names := choices(field):
        return ", ".join(names)
    low, high = _bounds(field, Ge, Gt), _bounds(field, Le, Lt)
    if low and high:
        closed = low.startswith("at least") and high.startswith("at most")
        return f"{low.split()[-1]} to {high.split()[-1]}" if closed else f"{low} and {high}"
    if low or high:
        return low or high
    least = next((m.min_length for m in field.metadata if isinstance(m, MinLen)), None)
    most = next((m.max_length for m in field.metadata if isinstance(m, MaxLen)), None)
    if least is not None and most is not None:
        return f"{least} to {most} items"
    return f"at most {most} characters" if most is not None else None


def choices(field: FieldInfo | None) -> list[str]:
    """The names that a field must be one of; empty where it is no name of a table or a list."""
    if field is None:
        return []
    table = next((marker.table for marker in field.metadata if isinstance(marker, OneOf)), ())
    return [*table] or _choices(field.annotation)


def nearest(given: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    # No name is so long; the comparison takes the product of both lengths.
    found = difflib.get_close_matches(given[:LONGEST_NAME], list(names), n=1, cutoff=0.6)
    return found[0] if found else None


def union_models(field: FieldInfo | None) -> list[type[BaseModel]]:
    """The members of a field that holds one of several models."""
    if field is None:
        return []
    return [member for member in typing.get_args(_bare(field.annotation)) if isinstance(member, type)]


def _bare(annotation: Any) -> Any:
    """An annotation without ``Annotated`` and without ``None``."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (Union, UnionType):
        members = [member for member in typing.get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            return _bare(members[0])
    return annotation


def _discriminator(field: FieldInfo | None) -> str | None:
    if field is None:
        return None
    if isinstance(field.discriminator, str):
        return field.discriminator
    for marker in _markers(field.annotation):
        if isinstance(marker, FieldInfo) and isinstance(marker.discriminator, str):
            return marker.discriminator
    return None


def _markers(annotation: Any) -> list[Any]:
    return list(typing.get_args(annotation)[1:]) if typing.get_origin(annotation) is Annotated else []


def _member(annotation: Any, discriminator: str, tag: str | int) -> Any:
    for member in typing.get_args(_bare(annotation)):
        if tag in _choices(member.model_fields[discriminator].annotation):
            return member
    return None


def _choices(annotation: Any) -> list[str]:
    annotation = _bare(annotation)
    if typing.get_origin(annotation) is Literal:
        return [str(choice) for choice in typing.get_args(annotation)]
    return []


def _named(markers: Iterable[Any]) -> list[str]:
    """Names of the table that the field's value must be one of; empty where there is none."""
    return [name for marker in markers if isinstance(marker, OneOf) for name in marker.table]


def _bounds(field: FieldInfo, closed: type[Ge | Le], opened: type[Gt | Lt]) -> str | None:
    words = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
    for marker in field.metadata:
        if isinstance(marker, closed | opened):
            name = type(marker).__name__.lower()
            bound = getattr(marker, name)
            return f"{words[type(marker)]} {bound:,}" if isinstance(bound, int) else f"{words[type(marker)]} {bound:g}"
    return None
