"""TransferPlan: everything the large run needs, for each role and each tensor."""

from datetime import datetime
from typing import Literal

from windtunnel.types.base import Response
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizer import DecayKind, OptimizerName
from windtunnel.types.results import CoordinateCheck, LossEstimate, Provenance, Role
from windtunnel.types.schedules import ScheduleSpec


class TensorRow(Response):
    """How to initialise and update one parameter tensor of the target."""

    name: str
    shape: list[int]
    role: Role
    init: Literal["normal", "zeros"]
    init_std: float
    learning_rate: float
    """Peak learning rate, before the schedule's multiplier."""
    weight_decay: float
    eps: float | None
    """None under SGD."""
    multiplier: float
    """The forward pass uses multiplier * tensor."""


class RoleRow(Response):
    """The rule of one role: base value in the proxy, value in the target, formula."""

    role: Role
    tensors: int
    learning_rate: float | None
    """None where the tensors of this role differ; see the tensor rows. Likewise below."""
    weight_decay: float | None
    eps: float | None
    init_std: float | None
    multiplier: float | None
    base_learning_rate: float | None
    base_weight_decay: float | None
    formulas: dict[str, str]
    """Quantity -> formula, with m = target fan-in / proxy fan-in."""


class Assumption(Response):
    """One value that was carried over, by which formula, and what that takes for granted."""

    quantity: str
    value: float | None
    formula: str
    assumption: str


class TransferPlan(Response):
    """The config of the large model, and why it may be trusted."""

    id: str
    job_id: str
    created_at: datetime
    task: str
    parametrization: Literal["mup", "standard"]
    model: ModelSpec
    """The proxy."""
    width: int
    depth: int
    steps: int
    batch_size: int
    context: int = 1
    """Tokens of an example; where the task has no context, one example counts as one token."""
    width_ratio: float
    """m: target width over proxy width."""
    features: int
    classes: int
    optimizer: OptimizerName
    decay: DecayKind
    momentum: float | None
    beta1: float | None
    beta2: float | None
    clip_norm: float | None
    schedule: ScheduleSpec
    roles: list[RoleRow]
    tensors: list[TensorRow]
    parameters: int
    """Number of parameters of the target."""
    hyperparameters: dict[str, float]
    """The tuned values of the proxy, by label."""
    proxy_validation: LossEstimate
    tuning_share: float
    """Cost of the tuning over the cost of one run of the target, both in multiply-adds of training."""
    assumptions: list[Assumption]
    not_covered: list[str]
    """What the theory behind the transfer says nothing about."""
    coordinate_check: CoordinateCheck | None
    forced: bool
    """True where the coordinate check did not pass and the request said force."""
    provenance: Provenance

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one update: batch size times context."""
        return self.batch_size * self.context
