"""Errors of the numerics, typed, each with a sentence that says what to do. Imports no torch."""


class HpoError(Exception):
    """Base of every error of this package. Its text is the message and the hint; who shows both apart takes the fields.

    Args:
        message: what happened, with its numbers.
        hint: what to try next.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def advice(self) -> str | None:
        """Sentence about what to try next: another name of ``hint``."""
        return self.hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Diverged(HpoError):
    """Every training run at a point ended in a non-finite loss."""


class Refused(HpoError):
    """The method cannot compute this, or the evidence speaks against the result."""


class CertificateFailed(HpoError):
    """The hypergradient differs from finite differences of the same training runs."""


class InvalidData(HpoError):
    """A data set or a checkpoint differs from its description."""


class OutOfMemory(HpoError):
    """The population does not fit in memory."""


class InvalidProblem(HpoError, ValueError):
    """A function or value of a bilevel problem cannot be used; the message names it, and what is allowed."""


class NoDevice(HpoError):
    """The device that should compute is not there."""
