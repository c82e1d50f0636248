"""Wire types: what a job asks for, what it reports, what it returns. Pydantic only, no torch."""

from windtunnel.types.estimators import ESTIMATORS, EstimatorInfo, EstimatorName
from windtunnel.types.events import EventType, JobEvent, OuterStep
from windtunnel.types.hyperparameters import HyperparameterName, Scope
from windtunnel.types.jobs import (
    TERMINAL_STATES,
    Attempt,
    CurrentPoint,
    Failure,
    FailureType,
    Job,
    JobPage,
    JobState,
    MetricPoints,
    Progress,
    WorkerInfo,
)
from windtunnel.types.method import MethodSpec
from windtunnel.types.model import Family, ModelSpec
from windtunnel.types.optimizer import DecayKind, OptimizerName, OptimizerSpec
from windtunnel.types.plans import Assumption, RoleRow, TensorRow, TransferPlan
from windtunnel.types.problems import FieldError, Problem
from windtunnel.types.regularization import RegularizationSpec
from windtunnel.types.results import (
    CoordinateCheck,
    CoordinateSlope,
    Cost,
    EstimatorChoice,
    LossEstimate,
    PointEvaluation,
    Provenance,
    ProxyFacts,
    ScheduleCurve,
    TensorFacts,
    TuneResult,
)
from windtunnel.types.spec import (
    ConstantSchedule,
    CosineSchedule,
    InnerSpec,
    JobSpec,
    OuterSpec,
    ScheduleSpec,
    SearchItem,
    Target,
    WarmupSchedule,
)
from windtunnel.types.tasks import TASKS, TaskInfo

__all__ = [
    "ESTIMATORS",
    "TASKS",
    "TERMINAL_STATES",
    "Assumption",
    "Attempt",
    "ConstantSchedule",
    "CoordinateCheck",
    "CoordinateSlope",
    "CosineSchedule",
    "Cost",
    "CurrentPoint",
    "DecayKind",
    "EstimatorChoice",
    "EstimatorInfo",
    "EstimatorName",
    "EventType",
    "Failure",
    "FailureType",
    "Family",
    "FieldError",
    "HyperparameterName",
    "InnerSpec",
    "Job",
    "JobEvent",
    "JobPage",
    "JobSpec",
    "JobState",
    "LossEstimate",
    "MethodSpec",
    "MetricPoints",
    "ModelSpec",
    "OptimizerName",
    "OptimizerSpec",
    "OuterSpec",
    "OuterStep",
    "PointEvaluation",
    "Problem",
    "Progress",
    "Provenance",
    "ProxyFacts",
    "RegularizationSpec",
    "RoleRow",
    "ScheduleCurve",
    "ScheduleSpec",
    "Scope",
    "SearchItem",
    "Target",
    "TaskInfo",
    "TensorFacts",
    "TensorRow",
    "TransferPlan",
    "TuneResult",
    "WarmupSchedule",
    "WorkerInfo",
]
