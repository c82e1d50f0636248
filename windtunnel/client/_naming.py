"""Finds data sets by their names, for requests that name one where the server wants its id."""
# Written by tools/sync_client.py from _async/naming.py: change that one.

from collections.abc import Mapping
from typing import Any

import httpx

from windtunnel.client._answers import Items
from windtunnel.client._errors import InvalidRequest, ValidationFailed
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.types import Dataset
from windtunnel.types.datasets import is_dataset

SHORTEST = 4
"""Least number of characters at the end of an id by which a data set is found."""
NAMED = 3
"""Data sets that an error names, at most, where several fit."""


def dataset_called(transport: Transport, text: str) -> str | None:
    """Id of the only data set of the caller with this name, else of the only one whose id ends so; None: there is none.

    Raises:
        InvalidRequest: several have this name or this end; the message names them.
    """
    if is_dataset(text):
        return text
    page = transport.read(Items[Dataset], path("datasets"))
    ends = text.lower() if len(text) >= SHORTEST else None
    for found in (
        [each for each in page.items if each.name == text],
        [each for each in page.items if ends and each.id.endswith(ends)],
    ):
        if len(found) > 1:
            named = ", ".join(f"{each.id} ({each.name}, {each.created_at:%Y-%m-%d %H:%M})" for each in found[:NAMED])
            more = " and more" if len(found) > NAMED else ""
            raise InvalidRequest(f"several data sets are called {text!r}: {named}{more}; give the id of one")
        if found:
            return found[0].id
    return None


def post_spec(
    transport: Transport, address: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, at: str = ""
) -> httpx.Response:
    """The answer to a request with a spec, whose task may be the name of a data set instead of its id.

    The server's own tasks go first: only a task that it does not know is looked for among the data sets.

    Args:
        transport: connection to the server.
        address: path of the request.
        body: the request.
        headers: headers of the request.
        at: field of the body that holds the spec; empty: the body is the spec.

    Raises:
        InvalidRequest: several data sets have this name.
    """
    try:
        return transport.post(address, body, headers)
    except ValidationFailed as refusal:
        spec = body[at] if at else body
        task = spec.get("task") if isinstance(spec, Mapping) else None
        wrong = {error.pointer for error in refusal.errors}
        if not isinstance(task, str) or is_dataset(task) or not wrong & {"/task", f"/{at}/task"}:
            raise
        dataset_id = dataset_called(transport, task)
        if dataset_id is None:
            raise
        meant = {**spec, "task": dataset_id}
        return transport.post(address, {**body, at: meant} if at else meant, headers)
