"""Every error has an exit code, and every exit code a meaning."""

import pytest

from windtunnel.cli.exits import MEANINGS, ExitCode, SetupError, SpecError, exit_code
from windtunnel.client import (
    ConnectionFailed,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    UnexpectedAnswer,
    WaitTimeout,
    WindtunnelError,
)
from windtunnel.client._errors import api_error
from windtunnel.types import Failure, Problem


def refused(status: int, kind: str = "about:blank") -> WindtunnelError:
    return api_error(Problem(type=kind, title="t", status=status, detail="d"), None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobFailed("job_1", Failure(type="diverged", message="m")), 1),
        (JobCancelled("job_1"), 1),
        (refused(422), 2),
        (InvalidRequest("x"), 2),
        (SpecError("x"), 2),
        (ConnectionFailed("http://x", "refused"), 3),
        (refused(404), 4),
        (refused(409, "transfer-refused"), 4),
        (refused(403), 4),
        (refused(429), 4),
        (refused(500), 5),
        (UnexpectedAnswer("GET /", "html"), 5),
        (WaitTimeout("job_1", 1, "running"), 6),
        (SetupError("x"), 7),
    ],
)
def test_an_error_ends_in_its_code(error, code):
    assert exit_code(error) == code


def test_every_code_has_a_meaning():
    assert set(MEANINGS) == set(ExitCode)
