"""Options of an upload beside the file itself, and the formats that take them."""

import os
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import BinaryIO, Literal, get_args

from pydantic import Field, field_validator

from service.datasets.errors import BadData
from windtunnel.delimited import Decimal, Delimiter
from windtunnel.token_files import TokenType
from windtunnel.types import DatasetDecimal, DatasetDelimiter, DatasetFormat
from windtunnel.types.base import Request
from windtunnel.types.streams import MOST_VOCABULARY

SUFFIXES: dict[str, DatasetFormat] = {
    ".npz": "npz",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".bin": "tokens",
    ".npy": "tokens",
}
"""Ending of a file's name -> its format."""

TAKEN: dict[DatasetFormat, frozenset[str]] = {
    "npz": frozenset({"kind", "context"}),
    "csv": frozenset({"kind", "target", "delimiter", "decimal"}),
    "parquet": frozenset({"kind", "target", "decimal"}),
    "text": frozenset({"context"}),
    "tokens": frozenset({"context", "dtype", "vocabulary"}),
}
"""Format -> the options that it takes."""

OPTIONS = sorted(frozenset().union(*TAKEN.values()))
"""Options that not every format takes."""

DELIMITERS: dict[DatasetDelimiter, Delimiter] = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
DECIMALS: dict[DatasetDecimal, Decimal] = {"point": ".", "comma": ","}

CONTEXT = 64
"""Tokens of an example of text where nothing else is asked for."""

LONGEST_NAME = 200

Kind = Literal["classification", "regression"]


class UploadOptions(Request):
    """The fields of an upload beside ``file``."""

    name: str = Field("", max_length=LONGEST_NAME, description="What to call it; by default the file's name.")
    format: DatasetFormat | None = Field(None, description="By default what the file's name ends in.")
    target: str | None = Field(
        None, min_length=1, max_length=1000, description="csv, parquet: the column to learn; 'target' or the last one."
    )
    kind: Kind | None = Field(None, description="csv, parquet, npz: by default what the target looks like.")
    delimiter: DatasetDelimiter | None = Field(
        None, description="csv: what separates the cells; by default what gives every row as many as the first."
    )
    decimal: DatasetDecimal | None = Field(
        None, description="csv, parquet: the decimal sign of numbers that are text; by default as the numbers tell."
    )
    context: int | None = Field(
        None,
        ge=2,
        le=4096,
        description="text, tokens, npz of tokens: tokens of an example; 64. A job on tokens may choose.",
    )
    dtype: TokenType | None = Field(None, description="tokens: their type, in a .bin file without a header.")
    vocabulary: int | None = Field(
        None,
        ge=2,
        le=MOST_VOCABULARY,
        description="tokens: how many there are; by default the largest one and all below it.",
    )

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(f"name {name!r} has characters that cannot be shown; allowed: printable ones")
        return name.strip()


@dataclass(frozen=True)
class Upload:
    """A file, and what its sender said of it."""

    file: BinaryIO
    """The file, with a descriptor, at any position."""
    name: str
    """File name that the sender gave."""
    kind: DatasetFormat
    """Format in which to read the file."""
    options: UploadOptions

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self.file.fileno()).st_size


def file_name(given: str | None) -> str:
    """The last part of the name that the sender's machine knows the file by, as far as it can be shown."""
    last = PureWindowsPath(PurePosixPath(given or "").name).name
    return "".join(character for character in last if character.isprintable())[-LONGEST_NAME:]


def format_of(name: str, options: UploadOptions) -> DatasetFormat:
    """The format in force.

    Raises:
        BadData: the name's ending says nothing, or an option is none of the format's.
    """
    found = options.format or SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if found is None:
        endings = ", ".join(SUFFIXES)
        formats = ", ".join(get_args(DatasetFormat))
        raise BadData(
            f"the name '{name}' does not say what the file is; allowed: a name that ends in {endings}, or a field format: "
            f"{formats}",
            "/format" if name else "/file",
            name,
        )
    for option in OPTIONS:
        value = getattr(options, option)
        if value is not None and option not in TAKEN[found]:
            taking = ", ".join(name for name, taken in TAKEN.items() if option in taken)
            raise BadData(f"{option} says nothing of a file of format {found}; allowed for {taking}", f"/{option}", value)
    return found
