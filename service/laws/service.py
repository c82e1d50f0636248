"""Scaling laws as their callers see them: fit a table, list and read fits, allocate a budget, for routes and pages."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from hpo.laws.allocation import allocate
from hpo.laws.fit import fit_laws
from hpo.laws.profiles import profiles
from hpo.laws.refusals import LawRefused
from hpo.laws.table import run_table
from service.caller import Caller
from service.laws.points import columns_of
from service.laws.schemas import CsvQuery, FitsQuery
from service.problems.answers import ProblemError, invalid, problem, unreadable, validated
from service.problems.problems import field_errors, misfit_error
from service.settings import ServiceSettings
from store import identifiers, law_fits
from store.database import Database
from store.errors import LawFitNotFound
from windtunnel.run_tables import read_csv
from windtunnel.types import FieldError
from windtunnel.types.allocations import AllocationPlan, AllocationRequest
from windtunnel.types.laws import LawColumns, LawFit, LawFitList, LawFitRequest


def fit_json(database: Database, settings: ServiceSettings, caller: Caller, body: bytes, query: CsvQuery) -> LawFit:
    """Fit the laws that a request in JSON asks for, and keep the fit.

    Raises:
        ProblemError: the body is no such request, an option of a CSV is in the query, or the table answers for no law.
    """
    return _fit(database, settings, caller, lambda: _from_json(body, query))


def fit_csv(database: Database, settings: ServiceSettings, caller: Caller, body: bytes, query: CsvQuery) -> LawFit:
    """Fit the laws that a table in CSV answers for, and keep the fit.

    Raises:
        ProblemError: the table is none, or answers for no law.
    """
    return _fit(database, settings, caller, lambda: _from_csv(body, query))


def fit_job(database: Database, settings: ServiceSettings, caller: Caller, job_id: str) -> LawFit:
    """Fit the laws that the grid of a job answers for, and keep the fit.

    Raises:
        ProblemError: the caller has no such job, it ran no grid, or the grid answers for no law.
    """
    return _fit(database, settings, caller, lambda: (validated(LawFitRequest, {"jobs": [job_id]}), []))


def page(database: Database, caller: Caller, query: FitsQuery) -> LawFitList:
    """One page of the caller's fits, newest first."""
    with database.snapshot() as session:
        return law_fits.page(session, owner=caller.owner, limit=query.limit, after=query.cursor)


def get(database: Database, caller: Caller, fit_id: str) -> LawFit:
    """One fit of the caller. Raises LawFitNotFound."""
    with database.snapshot() as session:
        return law_fits.get(session, fit_id, owner=caller.owner)


def delete(database: Database, caller: Caller, fit_id: str) -> None:
    """Delete a fit of the caller. Raises LawFitNotFound."""
    with database.transaction() as session:
        law_fits.remove(session, fit_id, owner=caller.owner)


def allocated(database: Database, caller: Caller, wanted: AllocationRequest) -> AllocationPlan:
    """A budget spent by the published laws, and by those of the caller's fit that the request names.

    Raises:
        ProblemError: 422, the caller has no such fit, or no law of it may be used.
    """
    fit = None if wanted.fit is None else stored_fit(database, caller, wanted.fit, "/fit")
    try:
        return allocate(wanted, fit)
    except LawRefused as refusal:
        raise law_refused(refusal) from refusal


def stored_fit(database: Database, caller: Caller, fit_id: str, pointer: str) -> LawFit:
    """A fit of the caller that a request names in the field at ``pointer``.

    Raises:
        ProblemError: 422, the caller has no such fit.
    """
    try:
        if not identifiers.LAW_FIT_ID.fullmatch(fit_id):
            raise LawFitNotFound(fit_id)
        return get(database, caller, fit_id)
    except LawFitNotFound as error:
        message = f"there is no fit '{fit_id}'; GET /v1/laws/fits lists them"
        raise invalid([FieldError(pointer=pointer, message=message, given=fit_id)]) from error


def law_refused(refusal: LawRefused, ignored: Sequence[str] = ()) -> ProblemError:
    """Problem 422 for a table that cannot answer for a law that was asked for, or a law that may not be used."""
    detail = f"{refusal.law}: {refusal.message}; {refusal.hint}{_left_aside(ignored)}"
    return problem(422, "law-refused", "The table cannot answer for this law", detail)


def _left_aside(headings: Sequence[str]) -> str:
    """The headings of a CSV that name no column, for one of which a refusal may ask under another name."""
    return f" (left aside: {', '.join(map(repr, headings[:20]))})" if headings else ""


def _fit(
    database: Database, settings: ServiceSettings, caller: Caller, read: Callable[[], tuple[LawFitRequest, list[str]]]
) -> LawFit:
    began = time.monotonic()
    wanted, ignored = read()
    if wanted.jobs:
        with database.snapshot() as session:
            columns = columns_of(session, wanted.jobs, owner=caller.owner)
    else:
        assert wanted.columns is not None
        columns = wanted.columns
    try:
        laws, refusals = fit_laws(wanted, columns)
    except LawRefused as refusal:
        raise law_refused(refusal, ignored) from refusal
    if not laws:
        told = "; ".join(f"{each.law}: {each.message}" for each in refusals)
        detail = f"no law can be fitted. {told}{_left_aside(ignored)}"
        raise problem(422, "law-refused", "The table cannot answer for this law", detail)
    fit = LawFit(
        id=identifiers.law_fit_id(),
        name=wanted.name,
        created_at=datetime.now(UTC),
        rows=columns.rows,
        columns=[name for name, values in columns if values is not None],
        ignored_columns=ignored,
        laws=laws,
        refusals=refusals,
        profiles=profiles(run_table(columns, 0).columns)[0],
        seconds=time.monotonic() - began,
    )
    with database.transaction() as session:
        law_fits.save(session, fit, owner=caller.owner, most=settings.max_fits)
    return fit


def _from_json(body: bytes, query: CsvQuery) -> tuple[LawFitRequest, list[str]]:
    if query.model_fields_set:
        name = sorted(query.model_fields_set)[0]
        message = f"{name} is an option of a CSV upload; with a JSON body it belongs into the body"
        raise invalid([FieldError(pointer=f"/{name}", message=message)])
    try:
        return LawFitRequest.model_validate_json(body), []
    except RecursionError as error:
        raise unreadable(error) from error
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
