"""The Python client: every public name is here, the modules are private."""

from windtunnel.client._async.client import AsyncClient
from windtunnel.client._async.datasets import AsyncDatasets
from windtunnel.client._async.job import AsyncJob
from windtunnel.client._async.jobs import AsyncJobs
from windtunnel.client._async.keys import AsyncKeys
from windtunnel.client._async.laws import AsyncLaws
from windtunnel.client._async.plan import AsyncPlan, AsyncPlans
from windtunnel.client._async.result import AsyncResult
from windtunnel.client._async.webhooks import AsyncWebhooks
from windtunnel.client._async.workers import AsyncWorkers
from windtunnel.client._client import Client
from windtunnel.client._datasets import Datasets
from windtunnel.client._errors import (
    ApiError,
    BadRequest,
    Conflict,
    ConnectionFailed,
    DatabaseAway,
    DatasetInUse,
    DatasetTooLarge,
    DiskFull,
    Forbidden,
    ForeignOrigin,
    ForkRefused,
    IdempotencyConflict,
    InternalError,
    InvalidDataset,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    JobNotEnded,
    LawRefused,
    MalformedJson,
    MethodNotAllowed,
    NotFinished,
    NotFound,
    NotInstalled,
    NotReady,
    OperatorsOnly,
    QuotaExceeded,
    RateLimited,
    ServerError,
    TooLarge,
    TooManyAtOnce,
    TooManyDatasets,
    TransferRefused,
    Unauthorized,
    UnexpectedAnswer,
    UnsupportedMediaType,
    ValidationFailed,
    WaitTimeout,
    WindtunnelError,
    WrongHost,
    WrongPrefix,
)
from windtunnel.client._job import Job
from windtunnel.client._jobs import Jobs
from windtunnel.client._keys import Keys
from windtunnel.client._laws import Laws
from windtunnel.client._pacing import Pacing
from windtunnel.client._plan import Plan, Plans
from windtunnel.client._progress import JobProgress
from windtunnel.client._result import Result
from windtunnel.client._webhooks import Webhooks
from windtunnel.client._workers import Workers

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncDatasets",
    "AsyncJob",
    "AsyncJobs",
    "AsyncKeys",
    "AsyncLaws",
    "AsyncPlan",
    "AsyncPlans",
    "AsyncResult",
    "AsyncWebhooks",
    "AsyncWorkers",
    "BadRequest",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DatabaseAway",
    "DatasetInUse",
    "DatasetTooLarge",
    "Datasets",
    "DiskFull",
    "Forbidden",
    "ForeignOrigin",
    "ForkRefused",
    "IdempotencyConflict",
    "InternalError",
    "InvalidDataset",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobNotEnded",
    "JobProgress",
    "Jobs",
    "Keys",
    "LawRefused",
    "Laws",
    "MalformedJson",
    "MethodNotAllowed",
    "NotFinished",
    "NotFound",
    "NotInstalled",
    "NotReady",
    "OperatorsOnly",
    "Pacing",
    "Plan",
    "Plans",
    "QuotaExceeded",
    "RateLimited",
    "Result",
    "ServerError",
    "TooLarge",
    "TooManyAtOnce",
    "TooManyDatasets",
    "TransferRefused",
    "Unauthorized",
    "UnexpectedAnswer",
    "UnsupportedMediaType",
    "ValidationFailed",
    "WaitTimeout",
    "Webhooks",
    "WindtunnelError",
    "Workers",
    "WrongHost",
    "WrongPrefix",
]
