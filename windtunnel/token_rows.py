"""Tokens in one long row, in memory or in a file: parts of a row, and windows at given places of it. Needs numpy."""

import os
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from windtunnel.token_files import TokenArray

PIECE = 2**20
"""Tokens that are looked at together."""
WHOLE, PIECES = 2**25, 2**12
"""Tokens of a file up to which all of them stand for it; number of pieces that stand for a longer one."""


class TokenRow(ABC):
    """Whole numbers in one row."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def part(self, begin: int, end: int) -> Self:
        """Tokens ``begin`` ... ``end - 1``, without a copy."""

    @abstractmethod
    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Tokens of windows that begin at these positions, [*starts, length].

        Raises:
            OSError: the file cannot be read, or ends before.
        """

    @abstractmethod
    def content(self) -> Iterator[bytes]:
        """Bytes that stand for the row: all tokens, or of a long file its length and pieces at equal distances."""

    def range(self) -> tuple[int, int]:
        """(smallest token, largest token), from all of them, a piece at a time."""
        low, high = sys.maxsize, -sys.maxsize
        for start in range(0, len(self), PIECE):
            piece = self.windows(np.array([start]), min(PIECE, len(self) - start))
            low, high = min(low, int(piece.min())), max(high, int(piece.max()))
        return low, high


@dataclass(frozen=True)
class TokensInMemory(TokenRow):
    """Tokens of an array."""

    array: NDArray[Any]
    """Whole numbers of any type, [n]."""

    def __len__(self) -> int:
        return len(self.array)

    def part(self, begin: int, end: int) -> Self:
        """Tokens ``begin`` ... ``end - 1``, without a copy."""
        return replace(self, array=self.array[begin:end])

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Tokens of windows that begin at these positions, [*starts, length]."""
        found: NDArray[np.int64] = self.array[starts[..., None] + np.arange(length)].astype(np.int64)
        return found

    def content(self) -> Iterator[bytes]:
        """All tokens, as numbers of eight bytes."""
        for start in range(0, len(self), PIECE):
            yield self.array[start : start + PIECE].astype("<i8").tobytes()


class _Descriptor:
    """Descriptor of an open file, closed with the last part of a row that reads from it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.number, 0, 0, os.POSIX_FADV_RANDOM)


class TokensOnDisk(TokenRow):
    """Tokens of a file, of which each window is read when it is asked for, and nothing else is ever read or kept.

    A mapped file would do the same with less code; but pages that a process looked at count as its memory, with all
    around them that the system maps at the same time (a gigabyte for a thousand windows was seen), and a file that is cut
    off meanwhile ends the process. Reading gives an error instead.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, place: TokenArray) -> None:
        self.path, self.place, self.begin, self.count = path, place, 0, place.count
        self._file = _Descriptor(path)

    def __len__(self) -> int:
        return self.count

    def part(self, begin: int, end: int) -> Self:
        """Tokens ``begin`` ... ``end - 1``; the file stays open until no part is left."""
        found = object.__new__(type(self))
        found.__dict__ |= self.__dict__
        found.begin, found.count = self.begin + begin, end - begin
        return found

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Tokens of windows that begin at these positions, [*starts, length].

        Raises:
            OSError: the file cannot be read, or ends before.
        """
        found = np.empty((starts.size, length), dtype=self.place.dtype)
        each, row, file = found.itemsize, found.itemsize * length, self._file.number
        view = found.view(np.uint8).reshape(-1).data
        for number, start in enumerate(starts.ravel().tolist()):
            at = self.place.offset + (self.begin + start) * each
            if os.preadv(file, [view[number * row : (number + 1) * row]], at) != row:
                raise OSError(f"{self.path} ends before token {self.begin + start + length:,}: it was cut off")
        return found.astype(np.int64).reshape(*starts.shape, length)

    def content(self) -> Iterator[bytes]:
        """All tokens as numbers of eight bytes, of up to ``WHOLE``; else their number, and ``PIECES`` pieces."""
        length = PIECE if self.count <= WHOLE else WHOLE // PIECES
        starts: Sequence[int] = range(0, self.count, PIECE)
        if self.count > WHOLE:
            yield str(self.count).encode()
            starts = [piece * (self.count - length) // (PIECES - 1) for piece in range(PIECES)]
        for start in starts:
            yield self.windows(np.array([start]), min(length, self.count - start)).astype("<i8").tobytes()
