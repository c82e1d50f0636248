"""Windtunnel: tune small, fly large. The parts for users: wire types, client, command line, figures.

Names are loaded at their first use, so that ``import windtunnel`` takes milliseconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

from windtunnel import task_source

__version__ = "0.1.0"

if TYPE_CHECKING:
    from windtunnel.client import (
        ApiError,
        AsyncClient,
        AsyncJob,
        AsyncPlan,
        AsyncResult,
        Client,
        Conflict,
        ConnectionFailed,
        InvalidRequest,
        Job,
        JobCancelled,
        JobFailed,
        NotFinished,
        NotFound,
        NotInstalled,
        Pacing,
        Plan,
        RateLimited,
        Result,
        ServerError,
        TooLarge,
        TransferRefused,
        UnexpectedAnswer,
        ValidationFailed,
        WaitTimeout,
        WindtunnelError,
    )
    from windtunnel.tasks.user import UserTask
    from windtunnel.types import (
        Dataset,
        Failure,
        InnerSpec,
        JobEvent,
        JobSpec,
        MethodSpec,
        ModelSpec,
        OptimizerSpec,
        OuterSpec,
        OuterStep,
        Problem,
        SearchItem,
        Target,
        TaskInfo,
        TransferPlan,
        TuneResult,
    )

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "AsyncPlan",
    "AsyncResult",
    "Bilevel",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Dataset",
    "Failure",
    "InnerSpec",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "JobSpec",
    "MethodSpec",
    "ModelSpec",
    "NotFinished",
    "NotFound",
    "NotInstalled",
    "OptimizerSpec",
    "OuterSpec",
    "OuterStep",
    "Pacing",
    "Plan",
    "Problem",
    "RateLimited",
    "Result",
    "SearchItem",
    "ServerError",
    "Target",
    "TaskInfo",
    "TooLarge",
    "TransferPlan",
    "TransferRefused",
    "TuneResult",
    "UnexpectedAnswer",
    "UserTask",
    "ValidationFailed",
    "WaitTimeout",
    "WindtunnelError",
    "__version__",
    "carry",
    "count",
    "hypergradient",
    "roles",
    "solve",
    "tune",
]

_WIRE = frozenset(
    {
        "Dataset",
        "Failure",
        "InnerSpec",
        "JobEvent",
        "JobSpec",
        "MethodSpec",
        "ModelSpec",
        "OptimizerSpec",
        "OuterSpec",
        "OuterStep",
        "Problem",
        "SearchItem",
        "Target",
        "TaskInfo",
        "TransferPlan",
        "TuneResult",
    }
)


_ELSEWHERE = {
    "Bilevel": "windtunnel.bilevel",
    "UserTask": "windtunnel.tasks.user",
    "carry": "windtunnel.carrying",
    "count": "windtunnel.inspecting",
    "hypergradient": "windtunnel.bilevel",
    "roles": "windtunnel.inspecting",
    "solve": "windtunnel.bilevel",
    "tune": "windtunnel.tuning",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'windtunnel' has no attribute {name!r}")
    module = _ELSEWHERE.get(name, "windtunnel.types" if name in _WIRE else "windtunnel.client")
    return getattr(importlib.import_module(module), name)


def _task(name: str) -> Any:
    return importlib.import_module("windtunnel.tasks").TASKS[name]


task_source.hand_in(_task)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
