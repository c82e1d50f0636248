"""``client.datasets``: upload, list and delete data sets."""

import os
from pathlib import Path

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.naming import dataset_called
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._requests import path
from windtunnel.token_files import TokenType
from windtunnel.types import Dataset, DatasetDecimal, DatasetDelimiter, DatasetFormat


class AsyncDatasets:
    """Data sets that were uploaded to a server."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def upload(
        self,
        file: str | os.PathLike[str],
        *,
        name: str | None = None,
        format: DatasetFormat | None = None,  # noqa: A002 - the API's own name
        target: str | None = None,
        kind: str | None = None,
        delimiter: DatasetDelimiter | None = None,
        decimal: DatasetDecimal | None = None,
        context: int | None = None,
        dtype: TokenType | None = None,
        vocabulary: int | None = None,
    ) -> Dataset:
        """Upload a file as a data set, which jobs name as their task: ``client.jobs.create(task=dataset)``.

        The file is streamed, never held in memory. The same content gives the same data set, so a call may be repeated.

        Args:
            file: npz, csv, parquet, text or tokens (bin, npy).
            name: name of the data set; by default the file's name.
            format: format of the file; by default told by the ending of its name.
            target: csv, parquet: the column to predict; by default ``target``, else the last one.
            kind: csv, parquet, npz: ``classification`` or ``regression``; by default told by the values of the target.
            delimiter: csv: what separates the cells; by default what gives every row as many as the first.
            decimal: csv, parquet: decimal sign of numbers that are text, ``point`` or ``comma``; by default as they tell.
            context: text, tokens, npz of tokens: tokens of an example; by default 64. A job on tokens may choose another.
            dtype: tokens: their type, in a .bin file without a header.
            vocabulary: tokens: how many different ones there are; by default the largest one and all below it.

        Raises:
            ValidationFailed: the file or an option is wrong; ``errors`` names the cell and what is allowed.
            TooLarge: the file is too large, or takes too much to read.
            Conflict: the owner has as many data sets as allowed.
            InvalidRequest: the file cannot be opened.
        """
        options = {
            "name": name,
            "format": format,
            "target": target,
            "kind": kind,
            "delimiter": delimiter,
            "decimal": decimal,
            "context": context,
            "dtype": dtype,
            "vocabulary": vocabulary,
        }
        fields = {option: str(value) for option, value in options.items() if value is not None}
        source = Path(file)
        try:
            opened = source.open("rb")
        except OSError as error:
            raise InvalidRequest(
                f"cannot read {source}: {error.strerror}; give an npz, csv, parquet, text, bin or npy file"
            ) from error
        with opened:
            answer = await self._transport.upload(path("datasets"), opened, source.name, fields)
        return parse(Dataset, answer)

    async def list(self) -> list[Dataset]:
        """The caller's data sets, newest first, without ``columns`` and ``scaling``."""
        page = await self._transport.read(Items[Dataset], path("datasets"))
        return page.items

    async def get(self, dataset_id: str) -> Dataset:
        """One data set: its recognised columns and kind, its split and its scaling.

        Raises:
            NotFound: no such data set.
        """
        return await self._transport.read(Dataset, path("datasets", dataset_id))

    async def find(self, text: str) -> Dataset:
        """The data set with this id; else the only one with this name; else the only one whose id ends with this text.

        Args:
            text: an id, a name, or at least 4 characters at the end of an id.

        Raises:
            NotFound: no such data set.
            InvalidRequest: several fit; the message names them.
        """
        return await self.get(await dataset_called(self._transport, text) or text)

    async def delete(self, dataset_id: str) -> None:
        """Delete a data set. Results and plans of its jobs stay.

        Raises:
            NotFound: no such data set.
            Conflict: a job that has not ended uses it.
        """
        await self._transport.delete(path("datasets", dataset_id))
