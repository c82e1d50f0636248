"""The page that shows jobs side by side, its figures as JSON for plotly, its tables as CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from service.comparisons.schemas import ComparisonQuery, JobIds
from service.comparisons.service import compare, side_by_side
from service.dependencies import CallerDependency, DatabaseDependency
from service.pages.site import SiteDependency
from windtunnel import figures
from windtunnel.figures.comparing import colour
from windtunnel.figures.style import Theme
from windtunnel.types.base import Request as RequestModel
from windtunnel.types.comparisons import FEWEST_POINTS, MOST_COMPARED, Comparison, Difference, shown
from windtunnel.types.verdicts import estimate

router = APIRouter(include_in_schema=False)

ERROR = ", standard error"
"""End of the name of a row that holds the errors of the row before it."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that a spreadsheet would take for a formula."""
COLOURED = {"state", "coordinate check"}
"""Rows whose values are badges."""


class PageQuery(RequestModel):
    """Query of the page; a form in which nothing is chosen sends no job."""

    job: JobIds = Field([], max_length=MOST_COMPARED)


class FigureQuery(ComparisonQuery):
    """Query of a figure: the jobs, and how to draw them."""

    theme: Theme = "light"


@router.get("/compare")
def compare_page(
    query: Annotated[PageQuery, Query()], database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """Jobs side by side."""
    return site.page("compare.html", **view(compare(database, caller, query.job)))


@router.get("/compare/figures/{name}.json")
def compare_figure(
    name: str, query: Annotated[FigureQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Response:
    """One figure; 204 where there is nothing to draw."""
    if name not in FIGURES:
        raise HTTPException(404)
    read = compare if name == "importances" else side_by_side
    try:
        figure = DRAWN[name](read(database, caller, query.job), theme=query.theme)
    except ValueError:
        return Response(status_code=204)
    return Response(figure.to_json(), media_type="application/json", headers={"cache-control": "no-store"})


@router.get("/compare/{name}.csv")
def compare_table(
    name: str, query: Annotated[ComparisonQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Response:
    """One table, for a spreadsheet."""
    if name not in TABLES:
        raise HTTPException(404)
    rows = TABLES[name](compare(database, caller, query.job))
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([[_safe(cell) for cell in row] for row in rows])
    headers = {"content-disposition": f'attachment; filename="compare-{name}.csv"', "cache-control": "no-store"}
    return Response(written.getvalue(), media_type="text/csv", headers=headers)


def view(comparison: Comparison) -> dict[str, Any]:
    """Context of the page: the comparison, and its tables as text."""
    names, items = comparison.names, comparison.items
    weighed = dict.fromkeys(label for each in items for label in each.importances or {})
    return {
        "items": items,
        "names": names,
        "colours": [colour(index) for index in range(len(items))],
        "ids": [("job", each.job.id) for each in items],
        "spec": [(row.name, [shown(value) for value in row.values]) for row in comparison.spec],
        "results": list(_lines(comparison.results)),
        "values": [
            (row.name, [shown(value) for value in row.values]) for row in comparison.results if row.kind == "hyperparameter"
        ],
        "coloured": COLOURED,
        "weights": [(label, [(each.importances or {}).get(label) for each in items]) for label in weighed],
        "few": [name for name, each in zip(names, items, strict=True) if each.importances is None],
        "partial": [
            name for name, each in zip(names, items, strict=True) if each.points.losses and not each.points.complete
        ],
        "fewest": FEWEST_POINTS,
        "most": MOST_COMPARED,
        "figures": FIGURES,
    }


def _lines(rows: Sequence[Difference]) -> Iterator[tuple[str, list[str]]]:
    """(name, values as text) of each measurement, with its error where it has one; nothing of rows without a value."""
    errors = {row.name.removesuffix(ERROR): row.values for row in rows if row.name.endswith(ERROR)}
    for row in rows:
        if row.kind != "result" or row.name.endswith(ERROR) or all(value is None for value in row.values):
            continue
        found = errors.get(row.name)
        yield (
            row.name,
            [shown(value) for value in row.values]
            if found is None
            else [estimate(value, error) for value, error in zip(row.values, found, strict=True)],
        )


def _safe(cell: Any) -> Any:
    """A cell that no spreadsheet runs as a formula."""
    if isinstance(cell, list | dict):
        return json.dumps(cell)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell


def _table(comparison: Comparison, rows: Iterable[Difference]) -> Iterator[list[Any]]:
    yield ["name", *[each.job.id for each in comparison.items]]
    yield ["", *comparison.names]
    for row in rows:
        yield [row.name, *row.values]


def _curves(comparison: Comparison) -> Iterator[list[Any]]:
    yield ["job", "outer step", "cost", "loss", "best loss"]
    for each in comparison.items:
        curve = each.curve
        for step, row in enumerate(zip(curve.cost, curve.loss, curve.best, strict=True)):
            yield [each.job.id, step, *row]


def _points(comparison: Comparison) -> Iterator[list[Any]]:
    labels = list(dict.fromkeys(label for each in comparison.items for label in each.points.hyperparameters))
    yield ["job", *labels, "loss"]
    for each in comparison.items:
        for row, loss in enumerate(each.points.losses):
            values = {label: column[row] for label, column in each.points.hyperparameters.items()}
            yield [each.job.id, *[values.get(label) for label in labels], loss]


def _importances(comparison: Comparison) -> Iterator[list[Any]]:
    yield ["job", "hyperparameter", "importance"]
    for each in comparison.items:
        for label, share in (each.importances or {}).items():
            yield [each.job.id, label, share]


TABLES: dict[str, Callable[[Comparison], Iterator[list[Any]]]] = {
    "results": lambda comparison: _table(comparison, comparison.results),
    "spec": lambda comparison: _table(comparison, comparison.spec),
    "curves": _curves,
    "points": _points,
    "importances": _importances,
}
FIGURES = {
    "curves": (
        "Loss over cost",
        "the best of the search so far, against what it cost; diamonds are on fresh seeds",
    ),
    "points": ("All points tried", "a line a point; the best tenth of each job stands out"),
    "importances": (
        "Importance",
        "share of each hyperparameter in being among the best tenth (PED-ANOVA)",
    ),
}
"""Figure of the page -> (title, what it shows)."""
DRAWN: dict[str, Callable[..., Any]] = {
    "curves": figures.losses_over_cost,
    "points": figures.parallel_coordinates,
    "importances": figures.importances,
}
