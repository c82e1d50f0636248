"""Reads files of tokens in pieces: a stream, whose windows are read when they are trained on. Never held in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData
from service.datasets.options import CONTEXT
from windtunnel.token_files import BadTokens, TokenArray, TokenFileFormat, TokenType, locate
from windtunnel.types.streams import MOST_VOCABULARY, StreamInfo

PIECE = 2**22
"""Tokens that are read at once."""
LEAST_WINDOWS = 50
"""Windows that the training part must hold."""


@dataclass(frozen=True)
class Tokens:
    """Tokens in a file, looked through once."""

    file: BinaryIO
    place: TokenArray
    context: int
    vocabulary: int

    @property
    def stored(self) -> np.dtype[Any]:
        """Type in which the tokens are stored: the smallest unsigned one that holds the vocabulary."""
        least = next(each for each in (1, 2, 4) if self.vocabulary <= 256**each)
        return np.dtype(f"<u{least}")

    @property
    def parts(self) -> StreamInfo:
        """Tokens of the three parts."""
        return StreamInfo.split(self.place.count)

    def pieces(self) -> Iterator[NDArray[Any]]:
        """All tokens, in pieces, as they are stored."""
        for piece in _pieces(self.file, self.place):
            yield piece.astype(self.stored, copy=False)


def read_tokens(
    file: BinaryIO,
    kind: TokenFileFormat,
    dtype: TokenType | None,
    vocabulary: int | None,
    context: int | None,
) -> Tokens:
    """Tokens of a file, after every one of them was compared with the vocabulary.

    Args:
        file: the file, open for reading.
        kind: its format.
        dtype: type of the tokens, where the file does not say it.
        vocabulary: number of different tokens; None: the largest one and all below it.
        context: tokens of an example; None: the default.

    Raises:
        BadData: the file holds no such tokens, or too few.
    """
    size = file.seek(0, 2)
    try:
        place = locate(file, size, kind, dtype)
    except BadTokens as error:
        raise BadData(error.message, f"/{error.field}", error.given) from error
    length = CONTEXT if context is None else context
    parts = StreamInfo.split(place.count)
    if parts.train < LEAST_WINDOWS * length + 1 or parts.longest < length:
        raise BadData(
            f"{place.count:,} tokens make {max(parts.train - 1, 0) // length:,} training windows of {length}, after a "
            f"tenth of them is held out for validation and a tenth for test; allowed: at least {LEAST_WINDOWS} windows, so "
            f"about {LEAST_WINDOWS * length * 5 // 4:,} tokens, or a shorter context",
            given=place.count,
        )
    low, high, at = _range(file, place, vocabulary)
    if low < 0:
        raise BadData(f"token {low} at position {at:,} is below 0; allowed: whole numbers from 0 on", given=low)
    if vocabulary is not None and high >= vocabulary:
        raise BadData(
            f"token {high:,} at position {at:,} is beyond the vocabulary of {vocabulary:,}; allowed: 0 to "
            f"{vocabulary - 1:,}",
            "/vocabulary",
            vocabulary,
        )
    if high >= MOST_VOCABULARY:
        raise BadData(
            f"token {high:,} at position {at:,} is larger than a vocabulary may be, {MOST_VOCABULARY:,}; was the file "
            "written with another dtype?",
            given=high,
        )
    if vocabulary is None and low == high:
        raise BadData(
            f"every token is {low}: there is nothing to learn; give vocabulary if there are others", "/vocabulary", None
        )
    return Tokens(file, place, length, high + 1 if vocabulary is None else vocabulary)


def _pieces(file: BinaryIO, place: TokenArray) -> Iterator[NDArray[Any]]:
    dtype = np.dtype(place.dtype)
    file.seek(place.offset)
    for start in range(0, place.count, PIECE):
        wanted = min(PIECE, place.count - start) * dtype.itemsize
        content = file.read(wanted)
        if len(content) != wanted:
            raise BadData("the file ends before its tokens do")
        yield np.frombuffer(content, dtype=dtype)


def _range(file: BinaryIO, place: TokenArray, vocabulary: int | None) -> tuple[int, int, int]:
    """(smallest token, largest token, position of the first that is beyond what is allowed, or of the largest)."""
    limit = (MOST_VOCABULARY if vocabulary is None else vocabulary) - 1
    low, high, at, done = 0, -1, 0, 0
    for number, piece in enumerate(_pieces(file, place)):
        least, most = int(piece.min()), int(piece.max())
        if least < 0 or most > limit:
            wrong = int(((piece < 0) | (piece > limit)).argmax())
            value = int(piece[wrong])
            return min(value, 0), value, done + wrong
        if most > high:
            high, at = most, done + int(piece.argmax())
        low = least if number == 0 else min(low, least)
        done += len(piece)
    return low, high, at
