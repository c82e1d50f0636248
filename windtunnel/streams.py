"""TokenStream: tokens in one long row, of a file or an array, as the data of a module of one's own. Needs numpy."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.token_files import ENDINGS, BadTokens, TokenType, locate
from windtunnel.types.streams import MOST_CONTEXT, MOST_VOCABULARY, StreamInfo

if TYPE_CHECKING:
    from windtunnel.token_rows import TokenRow

LOOKED_THROUGH = 2**26
"""Tokens up to which a stream is looked through for its vocabulary."""
CONTEXT = 64


class TokenStream:
    """Tokens in one long row, from which a job reads windows; those of a file are never held in memory.

    ```python
    stream = windtunnel.TokenStream("train.bin", dtype="uint16", vocabulary=50_257, context=512)
    result = windtunnel.tune(model=lambda width: MyModel(width), data=stream)
    ```

    Training takes windows at random places, drawn from the job's seed: the same on every machine. Of a single stream the
    last two tenths, 2,097,152 tokens each at most, are held out for validation and test; or give three streams. Both are
    judged on windows at fixed places, 500 at most. Each window is compared with the vocabulary when it is read.

    Args:
        tokens: path of a ``.bin``, ``.npy`` or ``.npz`` file (array ``tokens``, not compressed); or a tensor or array of
            whole numbers of any type in one dimension.
        context: tokens of an example. ``inner={"context": ...}`` of a job has the last word.
        vocabulary: number of different tokens; None: the largest one and all below it, of up to 67,108,864 tokens.
        dtype: type of the tokens of a ``.bin`` file without a header.

    Raises:
        ValueError: there are no such tokens, or the file says other things of them.
    """

    def __init__(
        self,
        tokens: Any,
        *,
        context: int = CONTEXT,
        vocabulary: int | None = None,
        dtype: TokenType | None = None,
    ) -> None:
        if not 2 <= context <= MOST_CONTEXT:
            raise ValueError(f"context is {context}; allowed: 2 to {MOST_CONTEXT:,}")
        if vocabulary is not None and not 2 <= vocabulary <= MOST_VOCABULARY:
            raise ValueError(f"vocabulary is {vocabulary}; allowed: 2 to {MOST_VOCABULARY:,}")
        self.row: TokenRow = _row(tokens, dtype)
        self.context = context
        self.vocabulary = _vocabulary(self.row) if vocabulary is None else vocabulary

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.row)


def three_of(data: Any) -> "tuple[TokenStream, TokenStream, TokenStream] | None":
    """Training, validation and test stream of one stream or three; None where the data are no streams.

    Raises:
        ValueError: only some of the parts are streams, they have different contexts, or one is too short.
    """
    if isinstance(data, TokenStream):
        info = StreamInfo.split(len(data))
        ends = (0, info.train, info.train + info.validation, len(data))
        return _checked([_part(data, *ends[at : at + 2]) for at in range(3)])
    if not isinstance(data, (tuple, list)) or not any(isinstance(part, TokenStream) for part in data):
        return None
    kinds = [type(part).__name__ for part in data]
    if kinds != ["TokenStream"] * 3:
        raise ValueError(f"data are {', '.join(kinds)}; give one TokenStream, or three: training, validation and test")
    return _checked(data)


def _part(stream: TokenStream, begin: int, end: int) -> TokenStream:
    found = object.__new__(TokenStream)
    found.row, found.context, found.vocabulary = stream.row.part(begin, end), stream.context, stream.vocabulary
    return found


def _checked(streams: Sequence[TokenStream]) -> "tuple[TokenStream, TokenStream, TokenStream]":
    train, validation, test = streams
    contexts, names = [stream.context for stream in streams], ("training", "validation", "test")
    if len(set(contexts)) > 1:
        raise ValueError(f"the streams have contexts {', '.join(map(str, contexts))}; give all the same")
    for name, stream in zip(names, streams, strict=True):
        if len(stream) <= stream.context:
            raise ValueError(
                f"the {name} part has {len(stream):,} tokens, and a window of context {stream.context} needs "
                f"{stream.context + 1:,}; give more tokens, or a shorter context"
            )
    return train, validation, test


def _row(tokens: Any, dtype: TokenType | None) -> "TokenRow":
    import numpy

    from windtunnel.token_rows import TokensInMemory, TokensOnDisk

    if isinstance(tokens, (str, os.PathLike)):
        path = Path(tokens)
        kind = ENDINGS.get(path.suffix.lower())
        if kind is None:
            raise ValueError(f"{path} is no file of tokens; allowed: a name that ends in {', '.join(ENDINGS)}")
        try:
            with path.open("rb") as file:
                place = locate(file, path.stat().st_size, kind, dtype)
            return TokensOnDisk(path, place)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        except BadTokens as error:
            raise ValueError(f"{path}: {error.message}") from error
    if dtype is not None:
        raise ValueError(f"dtype {dtype!r} is for a file; a tensor or array has its own type")
    array = tokens.detach().cpu().numpy() if hasattr(tokens, "detach") else numpy.asarray(tokens)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ValueError(
            f"tokens are {array.dtype} of shape {list(array.shape)}; allowed: whole numbers in one dimension, at least one"
        )
    return TokensInMemory(array)


def _vocabulary(row: "TokenRow") -> int:
    if len(row) > LOOKED_THROUGH:
        raise ValueError(
            f"vocabulary is missing, and {len(row):,} tokens are too many to look through for the largest; give the number "
            "of tokens that the tokenizer has"
        )
    low, high = row.range()
    if low < 0 or high >= MOST_VOCABULARY or low == high:
        raise ValueError(
            f"tokens run from {low} to {high}; allowed: at least two different ones, 0 to {MOST_VOCABULARY - 1:,}"
        )
    return high + 1
