"""The Python client: flat public names, private modules."""

from windtunnel.client._client import Client
from windtunnel.client._datasets import Datasets
from windtunnel.client._errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    LawRefused,
    NotFinished,
    NotFound,
    RateLimited,
    ServerError,
    TooLarge,
    TransferRefused,
    Unauthorized,
    UnexpectedAnswer,
    ValidationFailed,
    WaitTimeout,
    WindtunnelError,
)
from windtunnel.client._job import Job
from windtunnel.client._jobs import Jobs
from windtunnel.client._laws import Laws
from windtunnel.client._pacing import Pacing
from windtunnel.client._plan import Plan, Plans
from windtunnel.client._progress import JobProgress
from windtunnel.client._result import Result

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Datasets",
    "Forbidden",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobProgress",
    "Jobs",
    "LawRefused",
    "Laws",
    "NotFinished",
    "NotFound",
    "Pacing",
    "Plan",
    "Plans",
    "RateLimited",
    "Result",
    "ServerError",
    "TooLarge",
    "TransferRefused",
    "Unauthorized",
    "UnexpectedAnswer",
    "ValidationFailed",
    "WaitTimeout",
    "WindtunnelError",
]
