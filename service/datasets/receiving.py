"""Takes a file and its options from a multipart form, streamed to the disk; never before the sender has been let in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from service.caller import Caller
from service.datasets import storage
from service.datasets.errors import BadData
from service.datasets.options import TAKEN, Upload, UploadOptions, format_of
from service.datasets.reading import bad
from service.problems.answers import invalid, problem
from service.problems.problems import field_errors
from service.settings import ServiceSettings
from store.database import Database
from windtunnel.types import Dataset, FieldError

MOST_FIELDS = 16


@asynccontextmanager
async def received(request: Request, settings: ServiceSettings) -> AsyncIterator[Upload]:
    """The upload of a request. Its file has no name on the disk: it is gone when it is closed, or when the server dies.

    Raises:
        ProblemError: a field is missing, unknown or wrong.
        HTTPException: the form cannot be read, or the file is too large.
    """
    async with request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=1 << 16) as form:
        fields: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name in fields:
                raise invalid([FieldError(pointer=f"/{name}", message=f"{name} is given twice; give it once")])
            fields[name] = value
        file = fields.pop("file", None)
        if not isinstance(file, UploadFile):
            message = "file is missing; send the data as a field of that name, with a file name"
            raise invalid([FieldError(pointer="/file", message=message)])
        name = file.filename or ""
        try:
            # A form in a page sends what is not filled in as empty.
            given = {key: value for key, value in fields.items() if value != ""}
            options = UploadOptions.model_validate(given)
            kind = format_of(name, options)
        except ValidationError as error:
            raise invalid(field_errors(error.errors(), UploadOptions)) from error
        except BadData as error:
            raise bad(error) from error
        came = Upload(file.file, name, kind, options)
        _check_size(came, settings)
        yield came


def _check_size(came: Upload, settings: ServiceSettings) -> None:
    """Raise ProblemError where a file is larger than those of its format may be."""
    most = settings.max_stream_bytes if came.kind == "tokens" else settings.max_dataset_bytes
    if came.size > most:
        more = "; a file of tokens may be larger: say format tokens" if "context" in TAKEN[came.kind] else ""
        said = f"the file has {came.size:,} bytes; allowed for format {came.kind}: {most:,}{more}"
        raise problem(413, "too-large", "The file is too large", said, [FieldError(pointer="/file", message=said)])


async def upload(request: Request, database: Database, settings: ServiceSettings, caller: Caller) -> tuple[Dataset, bool]:
    """The data set that a request brings, and whether it was kept anew. Files are read one by one, owners in turn.

    Raises:
        ProblemError: 429, the caller has as many uploads at the same time as one may have.
        ProblemError: the form or the file is bad or too large.
        TooManyDatasets: the caller has as many as are allowed.
        DatasetsTooLarge: the caller's data sets would take more room than is allowed.
    """
    state = request.app.state
    with state.uploads.take(caller.owner):
        async with received(request, settings) as came, state.reading.take(caller.owner):
            return await run_in_threadpool(storage.store, database, settings, caller.owner, came)


SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "npz, csv, parquet, text or tokens (bin, npy).",
                        },
                        **UploadOptions.model_json_schema()["properties"],
                    },
                }
            }
        },
    }
}
"""The form, for the OpenAPI document."""
