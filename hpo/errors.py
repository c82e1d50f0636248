"""What can go wrong in the numerics, typed, with a sentence that says what to do. Imports no torch."""


class HpoError(Exception):
    """Base of every error of this package.

    Args:
        message: what happened, with the numbers.
        hint: what to try next.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Diverged(HpoError):
    """Every training run at a point ended in a non-finite loss."""


class Refused(HpoError):
    """The method cannot answer this question, or the evidence speaks against the answer."""


class CertificateFailed(HpoError):
    """The hypergradient is not what finite differences of the same training runs say."""


class InvalidData(HpoError):
    """A data set or a checkpoint is not what it claims to be."""


class OutOfMemory(HpoError):
    """The population does not fit."""
