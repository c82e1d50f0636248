"""Sizes of a stream's parts: how many windows of a context there are in a row of tokens. Imports no torch."""

from windtunnel.types.base import Response

MOST_CONTEXT = 65_536
"""Longest context of a stream, in tokens."""
MOST_VOCABULARY = 2**20
MOST_WINDOWS, MOST_TOKENS, FEW_WINDOWS = 500, 2**17, 16
"""Windows that judge at most, validation or test; tokens of them at most, but for a few windows: every outer step reads
them."""
SHARE, MOST_HELD_OUT = 0.1, 2**21
"""Share of a stream's tokens that the validation part has, and the test part, and the most tokens of each."""


def windows(tokens: int, context: int) -> int:
    """Number of windows in a row of tokens that share no token to predict: an epoch."""
    return max(0, (tokens - 1) // context)


def held_windows(tokens: int, context: int) -> int:
    """Number of windows of a validation or test part."""
    return min(MOST_WINDOWS, max(FEW_WINDOWS, MOST_TOKENS // context), windows(tokens, context))


class StreamInfo(Response):
    """Tokens of each part of a task whose examples are windows in one long row of tokens.

    Windows at random places of the training part are trained on. Those of the other two are fixed.
    """

    train: int
    validation: int
    test: int

    @classmethod
    def split(cls, tokens: int) -> "StreamInfo":
        """Parts of a stream: its beginning trains, what follows is held out, a tenth for each part, 2,097,152 at most."""
        held = min(int(tokens * SHARE), MOST_HELD_OUT)
        return cls(train=tokens - 2 * held, validation=held, test=held)

    @property
    def longest(self) -> int:
        """Longest context of which each part has a window."""
        return min(self.train, self.validation, self.test) - 1

    def examples(self, context: int) -> tuple[int, int, int]:
        """Examples of each part at a context: of the training part, windows that share no token to predict."""
        return windows(self.train, context), held_windows(self.validation, context), held_windows(self.test, context)
