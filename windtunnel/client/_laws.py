"""``client.laws``: fit scaling laws to a table of runs, and allocate a budget by them."""
# Written by tools/sync_client.py from _async/laws.py: change that one.

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.client._answers import parse
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._requests import path, query
from windtunnel.client._transport import Transport
from windtunnel.types.allocations import AllocationPlan
from windtunnel.types.laws import LawFit, LawFitList, LawFitSummary

PAGE = 50
"""Number of fits that ``list`` fetches by one request."""
FITTING = 120.0
"""Seconds to wait for a fit; many model sizes at several batch sizes take long on a busy server."""


class Laws:
    """Scaling-law fits of a server, and budgets allocated by them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def fit(
        self,
        csv: str | Path | None = None,
        /,
        *,
        columns: Mapping[str, Sequence[float]] | None = None,
        jobs: Sequence[str] = (),
        **options: Any,
    ) -> LawFit:
        """Fit laws to a table of runs: ``fit(Path("runs.csv"))``, ``fit(columns={...})`` or ``fit(jobs=[...])``.

        Args:
            csv: a CSV file (a ``Path``) or its text (a ``str``), with a line of headings.
            columns: instead of ``csv``, lists by name: parameters, tokens, loss, batch_size, steps, compute,
                critical_batch, warmup_steps, run.
            jobs: instead of a table, ids of finished jobs of one task.
            **options: ``laws``, ``name``, ``held_out``, ``warmup_steps``, ``huber_delta``, ``critical_batch``,
                ``allow_narrow``, ``tied_exponents``.

        Raises:
            ValidationFailed: the table or an option is wrong; ``errors`` names row and column.
            LawRefused: the table does not determine a law that was asked for, or any law.
            QuotaExceeded: the owner has as many fits as allowed.
            InvalidRequest: not exactly one table was given, or the file is no text in UTF-8.
        """
        if sum(each is not None and each != () for each in (csv, columns, jobs)) != 1:
            raise InvalidRequest("give exactly one table: a CSV, columns, or jobs")
        address = path("laws", "fits")
        if csv is not None:
            try:
                text = csv.read_text(encoding="utf-8") if isinstance(csv, Path) else csv
            except UnicodeDecodeError as error:
                raise InvalidRequest(f"{csv} is no text in UTF-8: {error}; save the table as CSV in UTF-8") from error
            batch = options.pop("critical_batch", None) or {}
            given = {**options, **{f"critical_batch_{name}": value for name, value in dict(batch).items()}}
            response = self._transport.post_text(address, text, "text/csv", query(given), timeout=FITTING)
        else:
            table = (
                {"columns": {name: list(values) for name, values in columns.items()}} if columns else {"jobs": list(jobs)}
            )
            response = self._transport.post_once(address, {**table, **options})
        return parse(LawFit, response)

    def get(self, fit_id: str) -> LawFit:
        """The stored fit with this id.

        Raises:
            NotFound: no such fit.
        """
        return self._transport.read(LawFit, path("laws", "fits", fit_id))

    def delete(self, fit_id: str) -> None:
        """Delete a stored fit. Plans that it predicted a loss for keep the prediction.

        Raises:
            NotFound: no such fit.
        """
        self._transport.delete(path("laws", "fits", fit_id))

    def list(self) -> Iterator[LawFitSummary]:
        """Yield stored fits, newest first; pages are fetched as needed."""
        wanted: dict[str, str | int] = {"limit": PAGE}
        while True:
            page = self._transport.read(LawFitList, path("laws", "fits"), wanted)
            yield from page.items
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    def allocate(self, *, fit: str | None = None, **budget: float | None) -> AllocationPlan:
        """Allocate a budget by Kaplan's law, by Hoffmann's law, and by the laws of a fit, side by side.

        Args:
            fit: id of a stored fit.
            **budget: one of ``flops``, ``seconds``, ``money``; with ``flops_per_second``, ``price_per_hour`` and
                ``batch_size`` where they apply.

        Raises:
            ValidationFailed: no budget or more than one is given.
        """
        body = {name: value for name, value in {"fit": fit, **budget}.items() if value is not None}
        return parse(AllocationPlan, self._transport.post(path("laws", "allocations"), body))
