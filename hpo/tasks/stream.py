"""Streams: tokens in one long row, most often of a file; windows at random places train, windows at fixed places judge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpo.errors import InvalidData
from hpo.tasks.split import Split, TrainingPart
from windtunnel.token_rows import TokenRow
from windtunnel.types.streams import held_windows, windows

SAMPLE_TOKENS = 2**18
"""Most tokens of the sample by which a stream is judged where an in-memory part would be read as a whole."""


@dataclass(frozen=True)
class TokenPart(TrainingPart):
    """Training part of a stream. A row is the position of a window's first token.

    Every batch is looked through for tokens beyond the vocabulary when it is read: reading a whole stream for that, before
    a job begins, would take as long as reading it.
    """

    tokens: TokenRow
    """Whole numbers in one row; those of a file stay on the disk."""
    context: int
    """Tokens of an example. A window is one longer: its last token is a label alone."""
    vocabulary: int
    name: str
    """Name of the task, for errors."""
    sources: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Device that gets the batches. The positions of its windows come back from there: one wait a batch on a GPU."""

    def __post_init__(self) -> None:
        if windows(len(self.tokens), self.context) < 1:
            raise InvalidData(
                f"task {self.name!r}: {len(self.tokens):,} tokens hold no window of {self.context} tokens and the next",
                f"give at least {self.context + 1:,} tokens, or a shorter context",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(context,)"""
        return (self.context,)

    def __len__(self) -> int:
        return windows(len(self.tokens), self.context)

    def order(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        """Positions of windows at random places, independent of each other, [steps, size]."""
        return torch.randint(len(self.tokens) - self.context, (steps, size), generator=generator)

    def drawn(self, size: int, generator: torch.Generator) -> Tensor:
        """Positions of windows at random places, [size]."""
        return torch.randint(len(self.tokens) - self.context, (size,), generator=generator)

    def spread(self, count: int) -> Tensor:
        """Positions of windows at equal distances over the whole part, [count]."""
        return torch.arange(count) * (len(self.tokens) - self.context - 1) // max(count - 1, 1)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of the windows at these positions, and the tokens one later, both [*rows, context] int64.

        Raises:
            InvalidData: a token is beyond the vocabulary, or the file was cut off; the message has the position.
        """
        starts = rows.cpu().numpy()
        try:
            values = self.tokens.windows(starts, self.context + 1)
        except OSError as error:
            raise InvalidData(f"task {self.name!r}: {error}", "write the file again") from error
        self._check(values, starts)
        found = torch.from_numpy(values)
        inputs, labels = found[..., :-1].contiguous(), found[..., 1:].contiguous()
        return inputs.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def cast(self, dtype: torch.dtype) -> Self:  # noqa: ARG002 - a stream has no floats
        """The part itself: tokens are whole numbers."""
        return self

    def on(self, device: torch.device) -> Self:
        """The part with its batches on a device; the tokens stay where they are."""
        return replace(self, device=device)

    def content(self) -> Iterator[bytes]:
        """Bytes of the tokens, or of a long file of its length and pieces of it."""
        return self.tokens.content()

    def sample(self) -> Split:
        """Windows at equal distances over the whole part, ``SAMPLE_TOKENS`` tokens at most."""
        count = max(1, min(len(self), SAMPLE_TOKENS // self.context))
        return Split(*self.take(self.spread(count)), torch.zeros(count, dtype=torch.int64, device=self.device))

    def _check(self, values: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        if values.min() < 0 or values.max() >= self.vocabulary:
            wrong = ((values < 0) | (values >= self.vocabulary)).nonzero()
            first = tuple(int(axis[0]) for axis in wrong)
            at = int(starts[first[:-1]]) + first[-1]
            raise InvalidData(
                f"task {self.name!r}: token {values[first]} at position {at:,}; allowed: 0 to {self.vocabulary - 1:,}",
                "give the size of the vocabulary that the tokenizer has, or write the tokens again",
            )


def held_out(tokens: TokenRow, context: int, vocabulary: int, name: str) -> Split:
    """Validation or test part: windows at fixed places, equally spread over these tokens, in memory."""
    part = TokenPart(tokens, context, vocabulary, name)
    count = held_windows(len(tokens), context)
    return Split(*part.take(part.spread(count)), torch.zeros(count, dtype=torch.int64))


def stream_parts(tokens: Sequence[TokenRow], context: int, vocabulary: int, name: str) -> tuple[TokenPart, Split, Split]:
    """The three parts of a task from the tokens of each."""
    train, validation, test = tokens
    return (
        TokenPart(train, context, vocabulary, name),
        held_out(validation, context, vocabulary, name),
        held_out(test, context, vocabulary, name),
    )
