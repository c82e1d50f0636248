"""Reads text: bytes in UTF-8, in windows whose next byte is learned."""

import codecs
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData, TooLarge
from service.datasets.options import CONTEXT

BYTES = 256
MOST_TOKENS = 1 << 25
LEAST_WINDOWS = 50
CHUNK = 1 << 20


@dataclass(frozen=True)
class Windows:
    """A sequence of tokens in windows that do not overlap, in order."""

    inputs: NDArray[Any]
    """[windows, context], unsigned."""
    labels: NDArray[Any]
    """[windows, context], the inputs one token later."""
    symbols: int
    """Number of symbols in the vocabulary."""


def read_text(file: BinaryIO, context: int | None) -> Windows:
    """Windows of bytes. Raises BadData."""
    content = file.read(MOST_TOKENS + 1)
    if not content:
        raise BadData("the file is empty; expected text in UTF-8")
    if len(content) > MOST_TOKENS:
        raise TooLarge(f"the text has more than {MOST_TOKENS:,} bytes; allowed: at most that many")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), CHUNK):
            decoder.decode(content[start : start + CHUNK], start + CHUNK >= len(content))
    except UnicodeDecodeError as error:
        raise BadData(f"the file is no text in UTF-8 ({error.reason})") from error
    if b"\0" in content:
        raise BadData("the file has NUL bytes, so it is no text")
    return windows(np.frombuffer(content, dtype=np.uint8), BYTES, CONTEXT if context is None else context)


def windows(tokens: NDArray[Any], symbols: int, context: int) -> Windows:
    """A sequence of tokens cut into windows; what is left over at its end is not used. Raises BadData."""
    if len(tokens) > MOST_TOKENS:
        raise TooLarge(f"there are {len(tokens):,} tokens; allowed: at most {MOST_TOKENS:,}")
    count = (len(tokens) - 1) // context
    if count < LEAST_WINDOWS:
        raise BadData(
            f"{len(tokens):,} tokens make {max(count, 0)} windows of {context}; allowed: at least {LEAST_WINDOWS} windows, "
            f"so {LEAST_WINDOWS * context + 1:,} tokens or a shorter context",
            given=len(tokens),
        )
    used = count * context
    return Windows(tokens[:used].reshape(count, context), tokens[1 : used + 1].reshape(count, context), symbols)
