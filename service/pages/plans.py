"""The page of all plans, with a form that carries values of one's own to a large model. It works without JavaScript."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from service.caller import Caller
from service.dependencies import CallerDependency, DatabaseDependency, SettingsDependency
from service.pages.forms import FormDependency, number
from service.pages.site import Site, SiteDependency
from service.plans import service
from service.plans.schemas import AllPlansQuery
from service.problems.answers import ProblemError, invalid, problem_of, validated
from store.database import Database
from store.errors import TooManyPlans
from windtunnel.tasks import TASKS
from windtunnel.types import FieldError, Problem
from windtunnel.types.carry import CarryRequest

router = APIRouter(include_in_schema=False)

EXAMPLE = "learning_rate: 0.003\nlearning_rate.input: 0.01\nweight_decay: 0.1\nbeta2: 0.95"
SIZES = ("width", "depth", "steps", "batch_size")


@router.get("/plans")
def plans_page(
    query: Annotated[AllPlansQuery, Query()], database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """The owner's plans, newest first, and the form for values that no job found."""
    return _page(site, database, caller, query)


@router.post("/plans")
async def carry_page(
    request: Request,
    form: FormDependency,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: on to the page of the plan, or back to the form with what is wrong."""
    try:
        wanted = validated(CarryRequest, _request(form))
        async with request.app.state.checking.take(caller.owner):
            plan = await run_in_threadpool(service.carry, database, settings, caller, wanted)
    except (ProblemError, TooManyPlans) as error:
        problem = problem_of(request, error)
        return await run_in_threadpool(_page, site, database, caller, AllPlansQuery(), form, problem)
    return site.to(f"/plans/{plan.id}")


def _request(form: Mapping[str, str]) -> dict[str, Any]:
    """The request that the form stands for: its fields, and over them what was written as JSON."""
    target = {name: number(form[name]) for name in SIZES if name in form}
    model = {name: number(form[f"base_{name}"]) for name in ("width", "depth") if f"base_{name}" in form}
    more = form.get("more", "{}")
    try:
        others = json.loads(more)
    except json.JSONDecodeError as error:
        raise invalid([FieldError(pointer="/more", message=f"this is no JSON: {error}", given=more[:200])]) from error
    if not isinstance(others, dict):
        raise invalid([FieldError(pointer="/more", message="give a JSON object of other fields", given=more[:200])])
    fields = {"values": _values(form.get("values", "")), "task": form.get("task", ""), "target": target}
    return {**fields, "force": "force" in form, **({"model": model} if model else {}), **others}


def _values(text: str) -> dict[str, Any]:
    """Label -> value, from lines ``label: value``."""
    found: dict[str, Any] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        label, _, value = (part.strip() for part in line.partition(":"))
        if label in found:
            raise invalid([FieldError(pointer=f"/values/{label}", message=f"{label} is given twice", given=value)])
        found[label] = number(value)
    return found


def _page(
    site: Site,
    database: Database,
    caller: Caller,
    query: AllPlansQuery,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    found = service.latest(database, caller, query)
    return site.page(
        "plans.html",
        200 if problem is None else problem.status,
        plans=found.items,
        next_cursor=found.next_cursor,
        typed=typed or {},
        problem=problem,
        tasks=list(TASKS),
        example=EXAMPLE,
    )
