"""Routes of scaling laws: fit a table, read fits, allocate a budget."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hpo.laws.allocation import allocate
from hpo.laws.fit import fit_laws
from hpo.laws.refusals import LawRefused
from service.dependencies import DatabaseDependency, LawFitId, OwnerDependency
from service.laws.points import columns_of
from service.laws.schemas import CsvQuery, FitsQuery
from service.problems.answers import PROBLEMS, ProblemError, invalid, problem, validated
from service.problems.problems import field_errors, misfit_error
from store import identifiers, law_fits, owners
from store.database import Database
from store.errors import LawFitNotFound
from windtunnel.run_tables import read_csv
from windtunnel.types import FieldError
from windtunnel.types.allocations import AllocationPlan, AllocationRequest
from windtunnel.types.laws import LawColumns, LawFit, LawFitList, LawFitRequest

router = APIRouter(prefix="/v1/laws", tags=["laws"], responses=PROBLEMS)

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/LawFitRequest"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}
"""Documentation of a body that the route reads itself, for it may be CSV."""


@router.post("/fits", status_code=201, response_model=LawFit, openapi_extra=BODY)
async def create_fit(
    request: Request,
    query: Annotated[CsvQuery, Query()],
    response: Response,
    database: DatabaseDependency,
    owner: OwnerDependency,
) -> LawFit:
    """Fit scaling laws to a table of runs: JSON, or CSV with the options in the query."""
    body = await request.body()
    is_csv = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/csv"
    read: Callable[[], tuple[LawFitRequest, list[str]]] = (
        (lambda: _from_csv(body, query)) if is_csv else (lambda: _from_json(body, query))
    )
    fit = await run_in_threadpool(lambda: _fit(read, database, owner))
    response.headers["location"] = f"/v1/laws/fits/{fit.id}"
    return fit


@router.get("/fits", response_model=LawFitList)
def list_fits(query: Annotated[FitsQuery, Query()], database: DatabaseDependency, owner: OwnerDependency) -> LawFitList:
    """Stored fits, newest first."""
    with database.snapshot() as session:
        return law_fits.page(session, owner=owner, limit=query.limit, after=query.cursor)


@router.get("/fits/{fit_id}", response_model=LawFit)
def read_fit(fit_id: LawFitId, database: DatabaseDependency) -> LawFit:
    """One fit with its laws, intervals and the run held out."""
    with database.snapshot() as session:
        return law_fits.get(session, fit_id)


@router.post("/allocations", response_model=AllocationPlan)
def create_allocation(wanted: AllocationRequest, database: DatabaseDependency, owner: OwnerDependency) -> AllocationPlan:
    """Spend a budget by Kaplan's law and by Hoffmann's, and by those of a stored fit, side by side."""
    return allocate(wanted, None if wanted.fit is None else stored_fit(database, wanted.fit, "/fit", owner))


def fit_csv(table: str, database: Database, owner: str) -> LawFit:
    """Fit the laws that a table answers for, and keep the fit.

    Raises:
        ProblemError: the table is none, or answers for no law.
    """
    return _fit(lambda: _from_csv(table.encode(errors="surrogatepass"), CsvQuery()), database, owner)


def fit_job(job_id: str, database: Database, owner: str) -> LawFit:
    """Fit the laws that the grid of a job answers for, and keep the fit.

    Raises:
        ProblemError: there is no such job of this owner, it ran no grid, or the grid answers for no law.
    """
    return _fit(lambda: (validated(LawFitRequest, {"jobs": [job_id]}), []), database, owner)


def stored_fit(database: Database, fit_id: str, pointer: str, owner: str) -> LawFit:
    """A fit that a request names.

    Raises:
        ProblemError: there is none.
    """
    try:
        if not identifiers.LAW_FIT_ID.fullmatch(fit_id):
            raise LawFitNotFound(fit_id)
        with database.snapshot() as session:
            owners.check_law_fit(session, fit_id, owner)
            return law_fits.get(session, fit_id)
    except LawFitNotFound as error:
        message = f"there is no fit '{fit_id}'; GET /v1/laws/fits lists them"
        raise invalid([FieldError(pointer=pointer, message=message, given=fit_id)]) from error


def law_refused(refusal: LawRefused) -> ProblemError:
    """The table cannot answer for a law that was asked for."""
    detail = f"{refusal.law}: {refusal.message}; {refusal.hint}"
    return problem(422, "law-refused", "The table cannot answer for this law", detail)


def _fit(read: Callable[[], tuple[LawFitRequest, list[str]]], database: Database, owner: str) -> LawFit:
    began = time.monotonic()
    wanted, ignored = read()
    if wanted.jobs:
        with database.snapshot() as session:
            columns = columns_of(session, wanted.jobs, owner)
    else:
        assert wanted.columns is not None
        columns = wanted.columns
    try:
        laws, refusals = fit_laws(wanted, columns)
    except LawRefused as refusal:
        raise law_refused(refusal) from refusal
    if not laws:
        told = "; ".join(f"{each.law}: {each.message}" for each in refusals)
        raise problem(422, "law-refused", "The table cannot answer for this law", f"no law can be fitted. {told}")
    fit = LawFit(
        id=identifiers.law_fit_id(),
        name=wanted.name,
        created_at=datetime.now(UTC),
        rows=columns.rows,
        columns=[name for name, values in columns if values is not None],
        ignored_columns=ignored,
        laws=laws,
        refusals=refusals,
        seconds=time.monotonic() - began,
    )
    with database.transaction() as session:
        law_fits.save(session, fit, owner=owner)
    return fit


def _from_json(body: bytes, query: CsvQuery) -> tuple[LawFitRequest, list[str]]:
    if query.model_fields_set:
        name = sorted(query.model_fields_set)[0]
        message = f"{name} is an option of a CSV upload; with a JSON body it belongs into the body"
        raise invalid([FieldError(pointer=f"/{name}", message=message)])
    try:
        return LawFitRequest.model_validate_json(body), []
    except ValidationError as error:
        errors: list[Any] = error.errors(include_url=False)
        if errors[0]["type"] == "json_invalid":
            detail = f"the body is not JSON: {errors[0]['ctx']['error']}"
            raise problem(400, "malformed-json", "The body is not JSON", detail) from error
        raise invalid(field_errors(errors, LawFitRequest)) from error


def _from_csv(body: bytes, query: CsvQuery) -> tuple[LawFitRequest, list[str]]:
    try:
        columns, ignored = read_csv(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"the CSV is no UTF-8: byte {error.start} is {body[error.start]:#04x}"
        raise invalid([FieldError(pointer="", message=message)]) from error
    except PydanticCustomError as error:
        raise invalid([misfit_error(error)]) from error
    options = query.model_dump(exclude={"critical_batch_tokens", "critical_batch_exponent"})
    return LawFitRequest(
        **options, columns=LawColumns.model_validate(columns), critical_batch=query.critical_batch
    ), ignored
