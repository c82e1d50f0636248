"""Pages of scaling laws: stored fits, one fit, a budget spent by each law; and their figures."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import Field, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from service.caller import Caller
from service.dependencies import CallerDependency, DatabaseDependency, LawFitId, SettingsDependency
from service.laws import service
from service.laws.schemas import CsvQuery
from service.pages.forms import FormDependency
from service.pages.site import Site, SiteDependency
from service.problems.answers import ProblemError, problem_of
from store import law_fits
from store.database import Database
from store.errors import TooManyFits
from store.identifiers import LAW_FIT_ID
from windtunnel.figures import laws as laws_figure
from windtunnel.figures.style import Theme
from windtunnel.types import Problem
from windtunnel.types.allocations import AllocationRequest
from windtunnel.types.base import Request as RequestModel
from windtunnel.types.laws import COLUMNS, UNITS

router = APIRouter(include_in_schema=False)

SHOWN_FITS = 50
DEFAULT_FLOPS = 1e21
EXAMPLE = "parameters,tokens,loss\n6144,122880,2.62\n13824,368640,2.35\n"
FIGURES = {"iso_flops": laws_figure.iso_flops, "frontier": laws_figure.frontier}


class BudgetQuery(AllocationRequest):
    """A budget as a form sends it: a field that is not filled in is empty; without any the page shows an example."""

    theme: Theme = "light"
    cursor: str | None = Field(None, pattern=LAW_FIT_ID.pattern, description="Last fit of the page of fits before.")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in data.items() if value != ""}
        return given if {"flops", "seconds", "money"} & set(given) else {"flops": DEFAULT_FLOPS, **given}


class ThemeQuery(RequestModel):
    """Query that says how to draw a figure."""

    theme: Theme = "light"


@router.get("/laws")
def laws_page(
    query: Annotated[BudgetQuery, Query()], database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """Stored fits, the form for another, and a budget spent by each law."""
    return _page(site, query, database, caller)


@router.post("/laws")
def fit_form(
    request: Request,
    form: FormDependency,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The forms, of a table and of a job's grid: on to the page of the fit, or back to the form with what is wrong."""
    table = form.get("csv", "").replace("\r\n", "\n")
    try:
        if "job" in form:
            fit = service.fit_job(database, settings, caller, form["job"])
        else:
            fit = service.fit_csv(database, settings, caller, table.encode(errors="surrogatepass"), CsvQuery())
    except (ProblemError, TooManyFits) as error:
        return _page(site, BudgetQuery(), database, caller, table, problem_of(request, error))
    return site.to(f"/laws/{fit.id}")


def _page(
    site: Site, query: BudgetQuery, database: Database, caller: Caller, typed: str = "", problem: Problem | None = None
) -> HTMLResponse:
    with database.snapshot() as session:
        fits = law_fits.page(session, owner=caller.owner, limit=SHOWN_FITS, after=query.cursor)
    asked = query.model_dump(exclude={"theme", "cursor"}, exclude_none=True)
    return site.page(
        "laws.html",
        200 if problem is None else problem.status,
        fits=fits.items,
        older=None if fits.next_cursor is None else urlencode({**asked, "cursor": fits.next_cursor}),
        plan=service.allocated(database, caller, query),
        query=query,
        figures=urlencode(asked),
        columns=[(name, UNITS[name]) for name in COLUMNS],
        example=EXAMPLE,
        typed=typed,
        problem=problem,
    )


@router.get("/laws/figures/{name}.json")
def budget_figure(
    name: str, query: Annotated[BudgetQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Response:
    """A figure of the budget."""
    draw = FIGURES.get(name)
    if draw is None:
        raise HTTPException(404)
    return _json(draw(service.allocated(database, caller, query), theme=query.theme))


@router.get("/laws/{fit_id}")
def fit_page(
    fit_id: LawFitId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """One fit."""
    return site.page("law_fit.html", fit=service.get(database, caller, fit_id))


@router.post("/laws/{fit_id}/delete")
def delete_page(fit_id: LawFitId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> Response:
    """The button: back to the list of fits."""
    service.delete(database, caller, fit_id)
    return site.to("/laws")


@router.get("/laws/{fit_id}/figures/{name}.json")
def fit_figure(
    fit_id: LawFitId,
    name: str,
    query: Annotated[ThemeQuery, Query()],
    database: DatabaseDependency,
    caller: CallerDependency,
) -> Response:
    """One fitted law over its runs."""
    found = [law for law in service.get(database, caller, fit_id).laws if law.law == name]
    if not found:
        raise HTTPException(404)
    return _json(laws_figure.law(found[0], theme=query.theme))


def _json(figure: Any) -> Response:
    return Response(figure.to_json(), media_type="application/json", headers={"cache-control": "no-store"})
