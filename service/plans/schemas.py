"""What the plan routes take."""

from typing import Literal

from pydantic import Field

from windtunnel.types import Target
from windtunnel.types.base import Request

PlanFormat = Literal["json", "yaml", "torch"]


class PlanRequest(Target):
    """The large model whose config is wanted."""

    force: bool = Field(False, description="Make the plan although the coordinate check did not pass; the plan says so.")


class PlanQuery(Request):
    """How to send a plan."""

    format: PlanFormat = Field("json", description="json: the plan. yaml: the same. torch: a Python file that applies it.")
