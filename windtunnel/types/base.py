"""The two base models of the wire: a strict one for requests, a lenient one for responses."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import MaxLen
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


def misfit(path: str, message: str, given: Any) -> PydanticCustomError:
    """Error of a validator that checks several fields, with a pointer to the field to change.

    Args:
        path: the field below the model that raises, as a relative JSON pointer such as ``/inner/batch_size``.
        message: what was given, and what is allowed.
        given: the value of that field.
    """
    return PydanticCustomError("misfit", "{message}", {"message": message, "path": path, "given": given})


MOST_ITEMS = 1000
"""Items of a list or an object up to which each is checked by itself, although there are more than are allowed."""
MOST_UNKNOWN = 100
"""Unknown fields of an object up to which each is an error by itself."""
NAMED_UNKNOWN = 20
"""Unknown fields that are named where there are more."""


class Request(BaseModel):
    """Model that is read from a request: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _not_many_mistakes_at_once(cls, data: Any) -> Any:
        # A hundred thousand errors, one for each item of a request of a megabyte, take pydantic seconds to build.
        if not isinstance(data, Mapping):
            return data
        if len(data) > len(cls.model_fields) + MOST_UNKNOWN:
            unknown = [name for name in data if name not in cls.model_fields]
            named = {str(name): data[name] for name in unknown[:NAMED_UNKNOWN]}
            raise PydanticCustomError("unknown_fields", "unknown fields", {"named": named, "count": len(unknown)})
        for name, field in cls.model_fields.items():
            value = data.get(name)
            if isinstance(value, list | dict) and len(value) > MOST_ITEMS:
                most = next((each.max_length for each in field.metadata if isinstance(each, MaxLen)), None)
                if most is not None and len(value) > most:
                    raise misfit(f"/{name}", f"{name} has {len(value):,} items; allowed: at most {most:,}", value)
        return data

    @model_validator(mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, data: Any) -> Any:
        # To Python, true is the number 1; a request that has it in place of a number is mistaken.
        for name, value in data.items() if isinstance(data, Mapping) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None:
                wanted = set(get_args(field.annotation) or (field.annotation,)) - {NoneType}
                if wanted <= {int, float}:
                    raise misfit(f"/{name}", f"{name} must be a number, got {str(value).lower()}", value)
        return data


def stated(model: BaseModel) -> dict[str, Any]:
    """JSON of the fields of a model that differ from their defaults, nested models likewise, and of every tag.

    Two models are equal where this is equal. A field that is added later, with a default, changes nothing in it; so a hash
    of it stays what it was. A tag is a field with one allowed value, such as the name of a kind of schedule.
    """
    dumped = model.model_dump(mode="json")
    said: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if _is_tag(field.annotation) or value != field.get_default(call_default_factory=True, validated_data={}):
            said[name] = _stated_value(value, dumped[name])
    return said


def _stated_value(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        return stated(value)
    if isinstance(value, list | tuple):
        return [_stated_value(each, plain) for each, plain in zip(value, dumped, strict=True)]
    if isinstance(value, Mapping):
        return {key: _stated_value(each, dumped[key]) for key, each in value.items()}
    return dumped


def _is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


class Response(BaseModel):
    """Model that is sent as a response: unknown fields are ignored, so an older client keeps working when one is added."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")
