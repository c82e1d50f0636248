"""What can go wrong between a user and the service: one hierarchy, one class for each thing to react to."""

from collections.abc import Sequence

from windtunnel.types import Failure, FieldError, Problem


class WindtunnelError(Exception):
    """Root of everything the client raises on purpose."""


class ConnectionFailed(WindtunnelError):
    """No answer from the server: nobody listens there, the connection broke, or it took too long."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(
            f"no windtunnel server answers at {url}: {reason}. Start one with `windtunnel serve`, "
            "or set WINDTUNNEL_URL to the address of a running one."
        )


class UnexpectedAnswer(WindtunnelError):
    """The server answered, but not as the API promises: another program, or another version."""

    def __init__(self, request: str, reason: str) -> None:
        super().__init__(
            f"{request} gave an answer this client does not understand: {reason}. "
            "Check that the address is a windtunnel server of this version (`windtunnel doctor`)."
        )


class InvalidRequest(WindtunnelError, ValueError):
    """The request cannot be sent at all, such as a spec that is not JSON."""


class NotInstalled(WindtunnelError, ImportError):
    """What was asked for runs in this process, and packages that it takes are not installed."""


class ApiError(WindtunnelError):
    """The server refused the request and said why.

    Attributes:
        problem: the answer's problem document (RFC 9457).
        retry_after: seconds after which the server asks to be tried again, where it said so.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after
        lines = [problem.detail or problem.title]
        lines += [f"  {error.pointer or '(request)'}: {error.message}" for error in problem.errors]
        super().__init__("\n".join(lines))

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.problem.status


class ValidationFailed(ApiError):
    """A field of the request is wrong (422); ``errors`` names each one."""

    @property
    def errors(self) -> Sequence[FieldError]:
        """The bad fields: pointer, what was given, what is allowed."""
        return self.problem.errors


class Unauthorized(ApiError):
    """The server asks for an API key, or does not know the one sent (401): ``WINDTUNNEL_API_KEY`` or ``api_key``."""


class Forbidden(ApiError):
    """The API key does not allow this, or a quota is used up (403)."""


class LawRefused(ApiError):
    """The table of runs cannot answer for a scaling law (422); the message says why, and what to do."""


class NotFound(ApiError):
    """No job, plan or data set has this id (404)."""


class Conflict(ApiError):
    """The request does not fit the state of the job (409)."""


class NotFinished(Conflict):
    """The job has no result yet, or ended without one."""


class TransferRefused(Conflict):
    """No plan: the coordinate check did not pass, or the theory has no rule for this target."""


class TooLarge(ApiError):
    """What was sent is larger than the server takes, or takes more to read than it may (413)."""


class RateLimited(ApiError):
    """Too many requests (429)."""


class ServerError(ApiError):
    """The server failed (5xx)."""


class JobFailed(WindtunnelError):
    """The job that was waited for has failed."""

    def __init__(self, job_id: str, failure: Failure) -> None:
        self.job_id = job_id
        self.failure = failure
        hint = f" {failure.hint}" if failure.hint else ""
        super().__init__(f"{job_id} failed ({failure.type}): {failure.message}{hint}")


class JobCancelled(WindtunnelError):
    """The job that was waited for has been cancelled."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"{job_id} was cancelled")


class WaitTimeout(WindtunnelError, TimeoutError):
    """The job was not finished in the time given to ``wait``; it runs on."""

    def __init__(self, job_id: str, seconds: float, state: str) -> None:
        self.job_id = job_id
        super().__init__(f"{job_id} is {state} after waiting {seconds:g} s; it goes on: wait again, or cancel it")


_BY_TYPE: dict[str, type[ApiError]] = {
    "transfer-refused": TransferRefused,
    "not-finished": NotFinished,
    "law-refused": LawRefused,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: ValidationFailed,
    429: RateLimited,
}


def api_error(problem: Problem, retry_after: float | None) -> ApiError:
    """The exception of a problem document: by its type, else by its status."""
    slug = problem.type.replace(":", "/").rsplit("/", 1)[-1]
    kind = _BY_TYPE.get(slug) or _BY_STATUS.get(problem.status)
    if kind is None:
        kind = ServerError if problem.status >= 500 else ApiError
    return kind(problem, retry_after)
