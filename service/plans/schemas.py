"""Wire shapes of the plan routes: a request for a plan, how to send one, a list."""

from pydantic import Field

from windtunnel.types import Target, TransferPlan
from windtunnel.types.base import Request, Response
from windtunnel.types.exports import EXPORTS, WHOLE, ExportFormat


class PlanRequest(Target):
    """The large model whose config is wanted."""

    force: bool = Field(
        False, description="Make the plan although what the job measured speaks against it; the plan says so."
    )
    law_fit: str | None = Field(
        None, max_length=40, description="Id of a scaling-law fit: the plan says what loss it predicts for the large run."
    )


class PlanQuery(Request):
    """Query that says how to send a plan."""

    format: ExportFormat = Field(WHOLE, description=" ".join(f"{name}: {info.says}." for name, info in EXPORTS.items()))


class PlansQuery(Request):
    """Query that chooses plans of a job to list."""

    limit: int = Field(50, ge=1, le=200, description="Plans on one page.")
    cursor: str | None = Field(None, pattern="^plan_[0-9a-z]{26}$", description="next_cursor of the page before.")


class AllPlansQuery(Request):
    """Query that chooses plans to list."""

    limit: int = Field(50, ge=1, le=200, description="Plans on one page.")
    cursor: str | None = Field(None, pattern="^plan_[0-9a-z]{26}$", description="next_cursor of the page before.")


class PlanList(Response):
    """Transfer plans, oldest first."""

    items: list[TransferPlan]
    next_cursor: str | None = None
