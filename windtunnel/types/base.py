"""The two base models of the wire: strict for what comes in, plain for what goes out."""

from typing import Any

from pydantic import BaseModel, ConfigDict
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


class Response(BaseModel):
    """Goes out over the wire: an older client keeps working when a field is added."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")
