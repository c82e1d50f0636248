"""The two base models of the wire: a strict one for requests, a lenient one for responses."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

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


class Request(BaseModel):
    """Model that is read from a request: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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


class Response(BaseModel):
    """Model that is sent as a response: unknown fields are ignored, so an older client keeps working when one is added."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")
