"""OptimizerInfo: the record of an optimizer, with every fact about it that needs no tensor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self

from windtunnel.types.hyperparameters import BIJECTIONS
from windtunnel.types.powers import Power
from windtunnel.types.tensors import Role

DecayKind = Literal["decoupled", "l2", "independent"]
"""Kind of weight decay. decoupled: w -= lr*wd*w. l2: wd*w is added to the gradient. independent: w -= wd*w."""
SettingName = Literal["momentum", "beta1", "beta2", "eps"]
"""Settings that belong to some optimizers and not to others."""
OptionName = Literal["nesterov", "ns_steps", "adjust_lr_fn"]
"""Choices that belong to some optimizers and not to others; they are no numbers to tune, so none is searched."""
OptionValue = bool | int | str
Options = Mapping[OptionName, OptionValue]


@dataclass(frozen=True)
class Bounds:
    """Range of a setting's values in a request, and whether it includes its ends."""

    low: float
    high: float
    includes_low: bool
    includes_high: bool


BOUNDS: Mapping[SettingName, Bounds] = {
    "momentum": Bounds(0, 1, includes_low=True, includes_high=False),
    "beta1": Bounds(0, 1, includes_low=True, includes_high=False),
    "beta2": Bounds(0, 1, includes_low=True, includes_high=False),
    "eps": Bounds(0, 1, includes_low=False, includes_high=True),
}


class RateLaws(Protocol):
    """Power laws of one role in a table of the theory: an optimizer's learning-rate law is made of them."""

    @property
    def sgd(self) -> Power:
        """Learning rate of an update that is as large as the gradient."""
        ...

    @property
    def adam(self) -> Power:
        """Learning rate of an update whose entries are of order 1, whatever the size of the gradient."""
        ...

    @property
    def orthogonal(self) -> Power | None:
        """Learning rate of an update whose singular values are of order 1; None: it is Adam's."""
        ...

    @property
    def gradient(self) -> Power:
        """Size of one entry of the gradient of the stored tensor."""
        ...

    @property
    def multiplier(self) -> Power:
        """Forward multiplier."""
        ...


RateLaw = Callable[[RateLaws, Role], Power | None]
"""(table's entry, role) -> power law of the learning rate; None where the theory has none for this optimizer."""


def gradient_sized(laws: RateLaws, role: Role) -> Power:  # noqa: ARG001
    """Law of the learning rate of an update that is as large as the gradient, such as SGD's."""
    return laws.sgd


def entry_sized(laws: RateLaws, role: Role) -> Power:  # noqa: ARG001
    """Law of the learning rate of an update whose entries are of order 1, such as Adam's."""
    return laws.adam


@dataclass(frozen=True)
class BatchRule:
    """Rule for the learning rate at another batch size, valid below the critical batch size."""

    power: float
    """Exponent of the rule lr' = lr (B'/B)^power."""
    kept: str
    """Hyperparameters that the rule does not change, in words."""

    def factor(self, ratio: float) -> float:
        """Factor on the learning rate where the batch is ``ratio`` times as large."""
        return float(ratio**self.power)

    @property
    def formula(self) -> str:
        """The factor, as a formula."""
        return {1.0: "B'/B", 0.5: "sqrt(B'/B)"}.get(self.power, f"(B'/B)^{self.power:g}")


GroupValue = SettingName | tuple[SettingName, ...] | OptionName | Literal["weight_decay", "decoupled", "matrix"]


@dataclass(frozen=True)
class TorchForm:
    """Class of the optimizer in torch, and the keys of its parameter groups."""

    path: str
    """Import path of its class: of torch, or of ``windtunnel.torch.optimizers`` where torch has none; that file needs
    torch alone, and exported files embed its text."""
    group: Mapping[str, GroupValue]
    """Key of a parameter group -> its value: settings, options, the weight decay, whether the decay is decoupled, or
    whether its tensors move as matrices."""
    lacks: frozenset[DecayKind] = frozenset()
    """Kinds of decay that the class lacks; for these the weights are shrunk before each of its steps."""

    @property
    def is_torchs_own(self) -> bool:
        """Whether the class comes with torch."""
        return self.path.startswith("torch.")

    @property
    def module(self) -> str:
        """The module that has the class."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class OptimizerInfo:
    """Record of an optimizer: settings, decay, laws of transfer, and its names in other libraries."""

    name: str
    """Name in a request."""
    title: str
    """Name of the algorithm in a sentence; several optimizers may share it."""
    label: str
    """Name in documentation."""
    formula: str
    """Formula of its update, without decay and clipping."""
    source: str
    settings: Mapping[SettingName, float]
    """Setting -> its default."""
    decays: tuple[DecayKind, ...]
    """Kinds of decay that it takes, its default first."""
    state: int
    """Copies of the parameters in its state, the parameters themselves included."""
    normalises: bool
    """Whether the size of its update does not depend on the size of the gradient."""
    rate: RateLaw
    """Law by which the learning rate scales with the size of the model."""
    batch: BatchRule | None
    """Rule for another batch size; None: no rule is known, and a plan for another batch size is refused."""
    coordinate_rate: float
    """Learning rate of a coordinate check, at which a step moves activations by about their own size."""
    torch: TorchForm
    optax: str
    """Source text of the optax transformation without decay and learning rate, a template over the settings' values.

    ``eps`` stays a name in it, because it may differ between tensors; it is None where a tensor moves as a matrix.
    """
    optax_helpers: str = ""
    """Source text of functions that ``optax`` calls."""
    options: Options = field(default_factory=dict)
    """Option -> its default."""
    matrices: frozenset[Role] = frozenset()
    """Roles of the tensors that move as matrices [first dimension, all others], by another rule than the rest."""
    matrix_state: int = 0
    """Copies of such a tensor in the state of the torch class, the tensor itself included."""
    with_options: Callable[[Options], Mapping[str, object]] | None = None
    """(options) -> fields of this record that depend on them; None: no field does."""
    no_decay: tuple[str, str] = ("is not what it does", "leave decay out")
    """(reason why it takes no other kind of decay, what to do instead), in words."""
    why_no_l2: str = ""
    """Reason why L2 in its gradient cannot be carried to another size, a template over ``term``; empty where it can."""
    why_no_completep: str = ""
    """Reason why CompleteP does not cover it; empty where it does."""
    sqrt_decay: bool = False
    """Whether the decay rule ``sqrt`` was measured under it."""
    huggingface: Mapping[SettingName, str] = field(default_factory=dict)
    """Setting -> the field of Hugging Face's TrainingArguments that holds it."""
    pathwise: str = ""
    """Reason why the derivative through its updates is not the derivative of the run; empty where it is."""

    def chosen(self, options: Options) -> Self:
        """The record under a choice of options; those that are left out have their defaults."""
        if self.with_options is None:
            return self
        changes: dict[str, Any] = dict(self.with_options({**self.options, **options}))
        return replace(self, **changes)

    def copies(self, role: str) -> int:
        """Copies of a tensor of that role in the state of the torch class, the tensor itself included."""
        return self.matrix_state if role in self.matrices else self.state

    @property
    def decay(self) -> DecayKind:
        """Kind of decay of a request that names none."""
        return self.decays[0]

    @property
    def averages(self) -> list[SettingName]:
        """Settings that are the coefficient of a running average, below 1."""
        return [name for name in self.settings if BIJECTIONS[name] == "complement_logit"]

    def carries(self, decay: DecayKind) -> bool:
        """Whether some rule carries a decay of that kind to another size."""
        return decay != "l2" or not self.why_no_l2
