"""Finds the tokens in a file: where they begin, their type and their number. Reads headers alone, never a token."""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import BinaryIO, Literal

TokenFileFormat = Literal["bin", "npy", "npz"]
TokenType = Literal["uint8", "uint16", "uint32"]
"""Type of the tokens in a file without a header; the lowest byte first."""

ENDINGS: Mapping[str, TokenFileFormat] = {".bin": "bin", ".npy": "npy", ".npz": "npz"}
"""Ending of a file's name -> its format."""
SIZES: Mapping[TokenType, int] = {"uint8": 1, "uint16": 2, "uint32": 4}
"""Type -> bytes of a token."""
ARRAYS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
"""Types of arrays of whole numbers, without their order of bytes."""
HEADER_WORDS = 256
"""Length of the header of a .bin file, in words of four bytes: magic number, version, number of tokens, zeros."""
MAGIC: Mapping[tuple[int, int], TokenType] = {(20240520, 1): "uint16", (20240801, 7): "uint32"}
"""(magic number, version) of the header that llm.c and its followers write -> type of the tokens after it."""
MEMBER = "tokens.npy"
"""Name of the array in an .npz file."""


class BadTokens(ValueError):
    """The file holds no tokens that can be read.

    Args:
        message: what was found, and what is allowed.
        field: the argument to change: ``file`` or ``dtype``.
        given: the value of ``dtype``, where that is the field.
    """

    def __init__(self, message: str, field: Literal["file", "dtype"] = "file", given: str | None = None) -> None:
        super().__init__(message)
        self.message, self.field, self.given = message, field, given


@dataclass(frozen=True)
class TokenArray:
    """Place of the tokens in a file."""

    offset: int
    """Bytes before the first token."""
    dtype: str
    """Type as numpy writes it, with the order of bytes: ``<u2``."""
    count: int
    """Number of tokens."""


def locate(file: BinaryIO, size: int, format: TokenFileFormat, dtype: TokenType | None) -> TokenArray:  # noqa: A002
    """The place of the tokens in a file.

    Args:
        file: the file, at any position.
        size: its size in bytes.
        format: ``bin``, tokens after a header or from the first byte on; ``npy``, an array; ``npz``, an archive with the
            array ``tokens``, not compressed.
        dtype: type of the tokens of a ``bin`` without a header; None: there is a header, or the array has its own type.

    Raises:
        BadTokens: there are none, or they are not what is said.
    """
    if not size:
        raise BadTokens("the file is empty; expected tokens")
    if format == "bin":
        return _after_header(file, size, dtype)
    if dtype is not None:
        raise BadTokens(f"dtype {dtype!r} is for a .bin file without a header; an array has its own type", "dtype", dtype)
    return _in_archive(file) if format == "npz" else _array(file, 0, size, "the array")


def _after_header(file: BinaryIO, size: int, dtype: TokenType | None) -> TokenArray:
    length = 4 * HEADER_WORDS
    file.seek(0)
    words = struct.unpack("<3i", file.read(12)) if size >= length else (0, 0, 0)
    of_header = MAGIC.get((words[0], words[1]))
    if of_header is not None:
        if dtype not in (None, of_header):
            raise BadTokens(
                f"dtype {dtype!r} differs from the header of the file, which says {of_header}; leave it out", "dtype", dtype
            )
        return _counted(size - length, SIZES[of_header], of_header, length, words[2])
    if dtype is None:
        raise BadTokens(
            "the file has no header that says the type of its tokens; give dtype: uint8, uint16 or uint32 (a header is "
            f"256 words of four bytes: {' or '.join(f'{magic}, {version}' for magic, version in MAGIC)}, number of tokens)",
            "dtype",
        )
    return _counted(size, SIZES[dtype], dtype, 0, None)


def _counted(left: int, each: int, name: TokenType, offset: int, promised: int | None) -> TokenArray:
    if left % each:
        raise BadTokens(
            f"the file has {left:,} bytes of tokens, which is no whole number of {name} ({each} bytes each): it was cut "
            "off, or is of another type"
        )
    count = left // each
    if promised is not None and promised != count:
        raise BadTokens(f"the header of the file promises {promised:,} tokens, and {count:,} follow: it was cut off")
    return TokenArray(offset, f"<u{each}", count)


def _array(file: BinaryIO, offset: int, size: int, what: str) -> TokenArray:
    """Array whose header begins at ``offset`` of a file, or of a part of it, ``size`` bytes long."""
    from numpy.lib import format as npy

    file.seek(offset)
    try:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
    except (ValueError, KeyError) as error:
        raise BadTokens(f"{what} has no header that numpy wrote: {str(error)[:200]}") from error
    if dtype.str[1:] not in ARRAYS:
        raise BadTokens(f"{what} is of type {dtype}; allowed: whole numbers, such as uint16 or uint32")
    if len(shape) != 1:
        raise BadTokens(f"{what} is of shape {list(shape)}; allowed: one dimension, all tokens in one row")
    if not shape[0]:
        raise BadTokens(f"{what} is empty; expected tokens")
    begin = file.tell()
    if begin + prod(shape) * dtype.itemsize > offset + size:
        has = (offset + size - begin) // dtype.itemsize
        raise BadTokens(f"{what} promises {shape[0]:,} tokens, and {has:,} follow: the file was cut off")
    return TokenArray(begin, dtype.str, shape[0])


def _in_archive(file: BinaryIO) -> TokenArray:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if names != [MEMBER]:
                raise BadTokens(f"the archive has {', '.join(names)[:200] or 'nothing'}; expected the array 'tokens' alone")
            member = archive.getinfo(MEMBER)
    except zipfile.BadZipFile as error:
        raise BadTokens(f"the file is no npz archive: {error}") from error
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise BadTokens(
            "the array 'tokens' is compressed, so that it would have to be read as a whole; write it with numpy.savez and "
            "not savez_compressed, or as .npy with numpy.save"
        )
    # Before the member lies a header of its own: 30 bytes, then its name and its extra field.
    file.seek(member.header_offset)
    local = file.read(30)
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise BadTokens("the file is no npz archive: the array 'tokens' is not where its directory says")
    name, extra = struct.unpack("<HH", local[26:30])
    return _array(file, member.header_offset + 30 + name + extra, member.file_size, "the array 'tokens'")
