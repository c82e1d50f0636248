"""Exit codes of the command line, and the errors behind each."""

from enum import IntEnum

from windtunnel.client import (
    ApiError,
    ConnectionFailed,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    ServerError,
    UnexpectedAnswer,
    ValidationFailed,
    WaitTimeout,
    WindtunnelError,
)


class ExitCode(IntEnum):
    """Exit code of a command; ``MEANINGS`` says what each means."""

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    SERVER = 5
    TIMEOUT = 6
    SETUP = 7
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.NEGATIVE: "the job failed or was cancelled; doctor found a problem; the database has another schema",
    ExitCode.USAGE: "wrong usage, a bad spec or a bad setting",
    ExitCode.UNREACHABLE: "no server answers",
    ExitCode.REFUSED: "refused: unknown id, job not finished, transfer not to be trusted, no law in a table; "
    "coordinate check failed",
    ExitCode.SERVER: "the server failed or gave an answer that cannot be understood",
    ExitCode.TIMEOUT: "the job did not end in the time given",
    ExitCode.SETUP: "this installation lacks something: an extra, a free port, a database",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C; jobs go on",
}


class SetupError(WindtunnelError):
    """This installation cannot run the command; the message says what to install or change."""


class SpecError(WindtunnelError):
    """A spec file, an override or a setting cannot be read."""


class NotCarried(WindtunnelError):
    """A transfer of given values that is not to be trusted."""


class NotForecast(WindtunnelError):
    """A forecast that cannot be made, kept or settled."""


# The first match decides: subclasses stand before their base classes.
_CODES: tuple[tuple[tuple[type[WindtunnelError], ...], ExitCode], ...] = (
    ((JobFailed, JobCancelled), ExitCode.NEGATIVE),
    ((ValidationFailed, InvalidRequest, SpecError), ExitCode.USAGE),
    ((ConnectionFailed,), ExitCode.UNREACHABLE),
    ((ServerError, UnexpectedAnswer), ExitCode.SERVER),
    ((ApiError, NotCarried, NotForecast), ExitCode.REFUSED),
    ((WaitTimeout,), ExitCode.TIMEOUT),
)


def exit_code(error: WindtunnelError) -> ExitCode:
    """Exit code for an error."""
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    return ExitCode.SETUP
