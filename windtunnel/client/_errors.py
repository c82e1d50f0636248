"""Exceptions of the client: one hierarchy, one class for each error that a caller may handle on its own."""

from collections.abc import Sequence

from windtunnel.types import Failure, FieldError, Problem


class WindtunnelError(Exception):
    """Base class of every exception that the client raises on purpose."""


class ConnectionFailed(WindtunnelError):
    """The server gave no answer: nothing listens there, the connection broke, or it took too long."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(
            f"no windtunnel server answers at {url}: {reason}. Start one with `windtunnel serve`, "
            "or set WINDTUNNEL_URL to the address of a running one."
        )


class UnexpectedAnswer(WindtunnelError):
    """The server answered, but not as the API promises: it is another program, or another version."""

    def __init__(self, request: str, reason: str) -> None:
        super().__init__(
            f"{request} gave an answer this client does not understand: {reason}. "
            "Check that the address is a windtunnel server of this version (`windtunnel doctor`)."
        )


class InvalidRequest(WindtunnelError, ValueError):
    """The request cannot be sent, such as a spec that is not JSON."""


class NotInstalled(WindtunnelError, ImportError):
    """The call runs in this process, and packages that it needs are not installed."""


class ApiError(WindtunnelError):
    """The server refused the request and said why.

    Attributes:
        problem: the answer's problem document (RFC 9457).
        retry_after: seconds to wait before the next try, if the server said so; else None.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after
        lines = [self.headline]
        lines += [f"  {error.pointer or '(request)'}: {error.message}" for error in problem.errors]
        super().__init__("\n".join(lines))

    @property
    def headline(self) -> str:
        """Message without the errors of single fields: the detail, or the title where the detail repeats the first error.

        Where there are more errors than the answer names, it says how many.
        """
        problem = self.problem
        detail = problem.detail or problem.title
        if not problem.errors:
            return detail
        told = problem.errors[0]
        firsts = (f"{told.pointer or 'body'}: {told.message}", told.message)
        first = next((each for each in firsts if detail.startswith(each)), None)
        if first is None:
            return detail
        more = detail.removeprefix(first)
        return problem.title + (more if "names the first" in more else "")

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self.problem.status


class BadRequest(ApiError):
    """The request cannot be read (400, ``bad-request``)."""


class MalformedJson(BadRequest):
    """The body is not JSON (400, ``malformed-json``)."""


class WrongPrefix(BadRequest):
    """The proxy names a path that is none (400, ``wrong-prefix``); its operator corrects ``X-Forwarded-Prefix``."""


class Unauthorized(ApiError):
    """The server asks for an API key, or does not know the one sent (401, ``unauthorized``).

    Give the key as ``api_key`` or in ``WINDTUNNEL_API_KEY``.
    """


class Forbidden(ApiError):
    """The API key does not allow this (403)."""


class OperatorsOnly(Forbidden):
    """The call needs an operator's key (403, ``operators-only``)."""


class QuotaExceeded(Forbidden):
    """The owner has as many jobs, plans, fits, keys or webhooks as allowed (403, ``quota``)."""


class ForeignOrigin(Forbidden):
    """The request comes from a page of another site (403, ``foreign-origin``)."""


class NotFound(ApiError):
    """No job, plan or data set has this id (404, ``not-found``)."""


class MethodNotAllowed(ApiError):
    """The address does not take this method (405, ``method-not-allowed``): the server has another version."""


class Conflict(ApiError):
    """The request does not fit the state of the job, data set or plan (409)."""


class NotFinished(Conflict):
    """The job has no result yet, or ended without one (409, ``not-finished``)."""


class JobNotEnded(Conflict):
    """The job cannot be deleted before it has ended (409, ``job-not-ended``); cancel it first."""


class DatasetInUse(Conflict):
    """A job that has not ended uses the data set (409, ``dataset-in-use``)."""


class TooManyDatasets(Conflict):
    """The owner has as many data sets as allowed (409, ``too-many-datasets``)."""


class TransferRefused(Conflict):
    """The plan is refused: the coordinate check failed, or no rule reaches this target (409, ``transfer-refused``)."""


class TooLarge(ApiError):
    """The request is larger than the server accepts (413, ``too-large``)."""


class DatasetTooLarge(TooLarge):
    """The data set takes more time or memory to read than allowed (413, ``dataset-too-large``)."""


class UnsupportedMediaType(ApiError):
    """The server does not read this kind of body (415, ``unsupported-media-type``)."""


class WrongHost(ApiError):
    """The server does not answer under this host name (421, ``wrong-host``); ``WINDTUNNEL_ALLOWED_HOSTS`` lists them."""


class ValidationFailed(ApiError):
    """A field of the request is wrong (422, ``invalid-request``); ``errors`` names each one."""

    @property
    def errors(self) -> Sequence[FieldError]:
        """Wrong fields of the request: for each its pointer, the value given, and what is allowed."""
        return self.problem.errors


class InvalidDataset(ValidationFailed):
    """The file or one of its options is wrong (422, ``invalid-dataset``); ``errors`` names column and row."""


class IdempotencyConflict(ValidationFailed):
    """The idempotency key belongs to a job with another spec (422, ``idempotency-conflict``)."""


class ForkRefused(ValidationFailed):
    """The new job cannot begin at its parent's best hyperparameters (422, ``fork-refused``); ``errors`` names them."""


class LawRefused(ApiError):
    """The table of runs does not determine a scaling law (422, ``law-refused``); the message says why and what to do."""


class RateLimited(ApiError):
    """The server got too many requests (429, ``rate-limited``), even after the client waited ``retry_after`` seconds."""


class TooManyAtOnce(RateLimited):
    """The owner has as many event streams, uploads or test messages under way as allowed (429, ``too-many-at-once``)."""


class ServerError(ApiError):
    """The server failed (5xx)."""


class InternalError(ServerError):
    """The server failed on this request (500, ``internal-error``); its log says where."""


class DatabaseAway(ServerError):
    """The server cannot reach its database (503, ``database-away``)."""


class NotReady(ServerError):
    """The server cannot take and run jobs (503, ``not-ready``); the message says what is wrong."""


class DiskFull(ServerError):
    """The server has no room left, and kept nothing of the request (507, ``disk-full``)."""


class JobFailed(WindtunnelError):
    """The job that ``wait`` waited for has failed."""

    def __init__(self, job_id: str, failure: Failure) -> None:
        self.job_id = job_id
        self.failure = failure
        between = " " if failure.message.endswith((".", ":", "!")) else "; "
        hint = f"{between}{failure.hint}" if failure.hint else ""
        super().__init__(f"{job_id} failed ({failure.type}): {failure.message}{hint}")


class JobCancelled(WindtunnelError):
    """The job that ``wait`` waited for has been cancelled."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"{job_id} was cancelled")


class WaitTimeout(WindtunnelError, TimeoutError):
    """The job did not end within the timeout of ``wait``; it runs on."""

    def __init__(self, job_id: str, seconds: float, state: str) -> None:
        self.job_id = job_id
        super().__init__(f"{job_id} is {state} after waiting {seconds:g} s; it goes on: wait again, or cancel it")


BY_TYPE: dict[str, type[ApiError]] = {
    "bad-request": BadRequest,
    "malformed-json": MalformedJson,
    "wrong-prefix": WrongPrefix,
    "unauthorized": Unauthorized,
    "operators-only": OperatorsOnly,
    "quota": QuotaExceeded,
    "foreign-origin": ForeignOrigin,
    "not-found": NotFound,
    "method-not-allowed": MethodNotAllowed,
    "not-finished": NotFinished,
    "job-not-ended": JobNotEnded,
    "dataset-in-use": DatasetInUse,
    "too-many-datasets": TooManyDatasets,
    "transfer-refused": TransferRefused,
    "too-large": TooLarge,
    "dataset-too-large": DatasetTooLarge,
    "unsupported-media-type": UnsupportedMediaType,
    "wrong-host": WrongHost,
    "invalid-request": ValidationFailed,
    "invalid-dataset": InvalidDataset,
    "idempotency-conflict": IdempotencyConflict,
    "fork-refused": ForkRefused,
    "law-refused": LawRefused,
    "rate-limited": RateLimited,
    "too-many-at-once": TooManyAtOnce,
    "internal-error": InternalError,
    "database-away": DatabaseAway,
    "not-ready": NotReady,
    "disk-full": DiskFull,
}
"""Type of a problem document -> its exception."""
BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedMediaType,
    421: WrongHost,
    422: ValidationFailed,
    429: RateLimited,
}
"""HTTP status -> its exception, for a problem of unknown type and for an answer that is not a problem document."""


def api_error(problem: Problem, retry_after: float | None) -> ApiError:
    """The exception for a problem document: by its type, else by its status."""
    slug = problem.type.replace(":", "/").rsplit("/", 1)[-1]
    kind = BY_TYPE.get(slug) or BY_STATUS.get(problem.status)
    if kind is None:
        kind = ServerError if problem.status >= 500 else ApiError
    return kind(problem, retry_after)
