"""TransferPlan: the config of the large run, for each role and each tensor."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.families import TaskKind
from windtunnel.types.ladders import LadderCertificate, PredictedPenalty
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizer import OptimizerName
from windtunnel.types.optimizers import OPTIMIZERS, DecayKind, OptimizerInfo, OptionName, OptionValue
from windtunnel.types.responses import RegulariserKnots
from windtunnel.types.results import CoordinateCheck, LossEstimate, Provenance, Role
from windtunnel.types.schedules import ScheduleSpec
from windtunnel.types.tasks import OfTask
from windtunnel.types.tensors import FrozenTensor, is_none, left_out
from windtunnel.types.transfer import DecayRule, DepthRule, Parametrization
from windtunnel.types.translations import HorizonFit, NoiseScale


class TensorRow(Response):
    """Initial values, learning rate, decay and multiplier of one parameter tensor of the target.

    A frozen tensor (``requires_grad=False`` in the module that was tuned) keeps the values that the module gives it: its
    start is ``kept``, and its learning rate and decay are 0.
    """

    name: str
    shape: list[int]
    role: Role | Literal["frozen"]
    group: str | None = None
    """Finer name within the role, such as ``qkv``."""
    init: Literal["normal", "zeros", "constant", "kept"]
    init_std: float
    init_value: float = 0.0
    """Initial value of all entries of a constant tensor, such as 1 for the gain of a norm."""
    learning_rate: float
    """Peak learning rate, before the schedule's multiplier."""
    weight_decay: float
    l2: float = 0.0
    """Coefficient lambda of lambda / 2 |w|^2 in the training loss, before clipping."""
    eps: float | None
    """Epsilon of the update; None for an optimizer without eps, and for a matrix under Muon."""
    multiplier: float
    """Forward multiplier: the forward pass uses multiplier * tensor."""
    padding: int | None = Field(None, exclude_if=is_none)
    """Row of an embedding that starts at 0 and stays there, its ``padding_idx``; None: no row does."""

    @classmethod
    def of_frozen(cls, tensor: FrozenTensor) -> "TensorRow":
        """The row of a tensor that is not trained."""
        return cls(
            name=tensor.name,
            shape=tensor.shape,
            role="frozen",
            init="kept",
            init_std=0.0,
            learning_rate=0.0,
            weight_decay=0.0,
            eps=None,
            multiplier=1.0,
        )

    @property
    def is_frozen(self) -> bool:
        """Whether the tensor keeps the values that the module gives it."""
        return self.init == "kept"


class RoleRow(Response):
    """The rule of one role: base value in the proxy, value in the target, formula."""

    role: Role
    tensors: int
    learning_rate: float | None
    """Peak learning rate of all tensors of this role; None where they differ. The tensor rows have the values then.

    The other fields of a row are None likewise.
    """
    weight_decay: float | None
    l2: float | None = 0.0
    eps: float | None
    init_std: float | None
    multiplier: float | None
    base_learning_rate: float | None
    base_weight_decay: float | None
    formulas: dict[str, str]
    """Quantity -> formula, with m = target fan-in / proxy fan-in and m_L = target depth / proxy depth."""


class Assumption(Response):
    """One value that was carried over, its formula, and the assumption that the formula rests on."""

    quantity: str
    value: float | None
    formula: str
    assumption: str


class PlanRegularization(Response):
    """Regularisers that act in the training loss and in the forward pass of training, not in the optimizer. None: off."""

    dropout: float | None = None
    """Rate p of multiplicative Gaussian noise of variance p / (1 - p), the same in all layers."""
    layer_dropout: dict[str, float] = Field(default_factory=dict)
    """Layer or block (``layers.0``, ``blocks.3``) -> its rate, where each has its own; ``dropout`` is None then."""
    label_smoothing: float | None = None
    """Share of the target spread over all classes."""
    input_noise: float | None = None
    """Standard deviation of Gaussian noise on the inputs; on the sum of the embeddings for text."""
    augmentation: float | None = None
    """Standard deviation of random shifts of the images along both sides, in pixels."""

    @property
    def drops(self) -> bool:
        """Whether any layer has dropout."""
        return self.dropout is not None or bool(self.layer_dropout)


class PredictedLoss(Response):
    """Loss of this run as predicted by a scaling law that was fitted to other runs."""

    fit: str
    law: str
    value: float
    low: float
    high: float
    """Upper end of the 90 % interval of the law's value; ``low`` is the lower end. A single run scatters more."""
    run_low: float | None = None
    """Low end of the 90 % interval of a single run."""
    run_high: float | None = None
    beyond: dict[str, float]
    """Input of the law -> factor by which this run lies beyond the largest that it was fitted to."""
    residual: float | None = None
    """Scatter of the fitted runs about the law, in log loss."""
    held_out_miss: float | None = None
    """Predicted over actual loss of the largest fitted run, minus 1; None where none was held out."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences on what speaks against the law; laws of the fit that disagree come first."""

    @property
    def sentence(self) -> str:
        """Value, interval and extrapolation in one line."""
        told = f"{self.value:.4g} nats ({self.low:.4g} to {self.high:.4g}) by {self.law.replace('_', ' ')}"
        far = ", ".join(
            f"{name.replace('_', ' ')} {factor:.3g} times the largest run" for name, factor in self.beyond.items()
        )
        told = f"{told}; extrapolated: {far}" if far else told
        return "; ".join([told, *(f"warning: {each}" for each in self.warnings)])


class TransferPlan(OfTask, Response):
    """The config of the large model, with the evidence that it may be trusted."""

    id: str
    job_id: str | None = None
    """Job that found the values; None for values that were given."""
    created_at: datetime
    task: str
    kind: TaskKind | None = None
    """Kind of the task; None in plans of older versions."""
    loss: str | None = None
    """Name of the user's own loss that the job trained with; None: cross-entropy, for a regression the squared error."""
    parametrization: Parametrization
    model: ModelSpec
    """The proxy."""
    width: int
    depth: int
    steps: int
    batch_size: int
    context: int = 1
    """Tokens of an example; where the task has no context, one example counts as one token."""
    width_ratio: float
    """Ratio m: target width over proxy width."""
    depth_ratio: float = 1.0
    """Ratio m_L: target depth over proxy depth."""
    depth_rule: DepthRule = "copy"
    depth_exponent: float | None = None
    """Exponent alpha of CompleteP; None under ``copy``."""
    decay_rule: DecayRule = "independent"
    """Rule by which the shrinkage of a step scales with the width; ``decay`` is the convention of the weight decay."""
    features: int
    classes: int
    optimizer: OptimizerName
    decay: DecayKind
    momentum: float | None
    beta1: float | None
    beta2: float | None
    optimizer_options: dict[OptionName, OptionValue] = Field(default_factory=dict, exclude_if=left_out)
    """Options of the optimizer that are no numbers to tune, such as ``ns_steps``; empty for one without options."""
    clip_norm: float | None
    regularization: PlanRegularization = PlanRegularization()
    regulariser_schedule: RegulariserKnots | None = None
    """Schedule of the regularisers over the run, from the job's spec or a best response; None where all are constant."""
    mixture_weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each data source in the training loss, by name; only ratios matter. Empty: all alike."""
    attention_multiplier: float | None = None
    """Factor on the attention logits q.k / d_head; None for families without attention."""
    schedule: ScheduleSpec
    roles: list[RoleRow]
    tensors: list[TensorRow]
    parameters: int
    """Number of parameters of the target that are trained."""
    non_embedding: int | None = None
    """Parameters N of scaling laws: without embeddings and a language model's readout. None in plans of older versions."""
    compute: float | None = None
    """Floating-point operations C = 6 N B S of one run of the target, B in tokens. None in plans of older versions."""
    compute_leaves_out: str | None = None
    """Sentence about operations that 6 N leaves out; None in plans of older versions."""
    predicted_loss: PredictedLoss | None = None
    """Prediction of the fit that the request named; None where it named no fit."""
    hyperparameters: dict[str, float]
    """The values of the proxy, by label."""
    proxy_validation: LossEstimate | None = None
    """Loss of the proxy with these values; None for values that no job found."""
    tuning_share: float | None = None
    """Cost of the tuning over the cost of one run of the target, both in multiply-adds of training; None likewise."""
    assumptions: list[Assumption]
    not_covered: list[str]
    """Sentences about facts that the theory behind the transfer does not cover."""
    coordinate_check: CoordinateCheck | None
    ladder: LadderCertificate | None = None
    """Runs of the tuned values at several widths; None where the job climbed no ladder."""
    penalties: list[PredictedPenalty] = Field(default_factory=list)
    """Predicted loss at this target, relative to the best, if the drift on the ladder continued."""
    noise_scale: NoiseScale | None = None
    horizon: HorizonFit | None = None
    in_your_loop: list[str] = Field(default_factory=list)
    """Sentences about work that the training loop and the model have to do, because no optimizer can."""
    forced: bool
    """True where a measurement speaks against the transfer, or is missing, and the request said force."""
    provenance: Provenance

    @property
    def trained(self) -> list[TensorRow]:
        """Rows of the tensors that are trained."""
        return [row for row in self.tensors if not row.is_frozen]

    @property
    def optimizer_info(self) -> OptimizerInfo:
        """Record of the optimizer, under the plan's options."""
        return OPTIMIZERS[self.optimizer].chosen(self.optimizer_options)

    @property
    def optimizer_settings(self) -> dict[str, float]:
        """Setting of the optimizer -> its value, without eps, which each tensor has."""
        own = [name for name in self.optimizer_info.settings if name in type(self).model_fields]
        return {name: getattr(self, name) or 0.0 for name in own}

    @property
    def options_in_force(self) -> dict[str, OptionValue]:
        """Option of the optimizer -> its value, with the default of an option that the plan leaves out."""
        own = (self.optimizer_info.options, self.optimizer_options)
        return {name: value for each in own for name, value in each.items()}

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one update: batch size times context."""
        return self.batch_size * self.context


class PlanBrief(Response):
    """Size, origin and date of a plan."""

    id: str
    job_id: str | None
    """Job that found the values; null for values that were given."""
    task: str
    width: int
    depth: int
    steps: int
    forced: bool
    created_at: datetime


class PlanPage(Response):
    """Plans in short, newest first."""

    items: list[PlanBrief]
    next_cursor: str | None = None
