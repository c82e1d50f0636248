"""The two base models of the wire: strict for what comes in, plain for what goes out."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


def misfit(path: str, message: str, given: Any) -> PydanticCustomError:
    """Error of a validator that looks at several fields, tied to the one to change.

    Args:
        path: the field below the model that raises, as a relative JSON pointer such as ``/inner/batch_size``.
        message: what was given, what is allowed.
        given: the value of that field.
    """
    return PydanticCustomError("misfit", "{message}", {"message": message, "path": path, "given": given})


class Request(BaseModel):
    """Comes in over the wire: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, data: Any) -> Any:
        # To Python, true is the number 1; who sends it for a number meant something else.
        for name, value in data.items() if isinstance(data, Mapping) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None:
                wanted = set(get_args(field.annotation) or (field.annotation,)) - {NoneType}
                if wanted <= {int, float}:
                    raise misfit(f"/{name}", f"{name} must be a number, got {str(value).lower()}", value)
        return data


class Response(BaseModel):
    """Goes out over the wire: an older client keeps working when a field is added."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")
