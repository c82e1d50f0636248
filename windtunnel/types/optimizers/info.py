"""What there is to know about an optimizer without a tensor: one record answers for it wherever its name is not enough."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from windtunnel.types.hyperparameters import BIJECTIONS
from windtunnel.types.modules import Role
from windtunnel.types.powers import Power

DecayKind = Literal["decoupled", "l2", "independent"]
"""decoupled: w -= lr*wd*w. l2: wd*w is added to the gradient. independent: w -= wd*w."""
SettingName = Literal["momentum", "beta1", "beta2", "eps"]
"""Settings that belong to some optimizers and not to others."""


@dataclass(frozen=True)
class Bounds:
    """What a setting may be in a request."""

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
    """What a table of the theory says about one role: the power laws that a rate's law is made of."""

    @property
    def sgd(self) -> Power:
        """Learning rate of an update that is as large as the gradient."""
        ...

    @property
    def adam(self) -> Power:
        """Learning rate of an update whose entries are of order 1, whatever the size of the gradient."""
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
    """How the learning rate goes with the batch size below the critical one."""

    power: float
    """lr' = lr (B'/B)^power."""
    kept: str
    """What the rule leaves as it is, in words."""

    def factor(self, ratio: float) -> float:
        """Factor on the learning rate where the batch is ``ratio`` times as large."""
        return float(ratio**self.power)

    @property
    def formula(self) -> str:
        """The factor, as a formula."""
        return {1.0: "B'/B", 0.5: "sqrt(B'/B)"}.get(self.power, f"(B'/B)^{self.power:g}")


GroupValue = SettingName | tuple[SettingName, ...] | Literal["weight_decay", "decoupled"]


@dataclass(frozen=True)
class TorchForm:
    """How the optimizer is spelled in torch."""

    path: str
    """Import path of its class: of torch, or of ``windtunnel.torch.optimizers`` where torch has none; that file needs
    torch alone, and exported files embed its text."""
    group: Mapping[str, GroupValue]
    """Key of a parameter group -> what it holds: settings, the weight decay, or whether that is decoupled."""
    lacks: frozenset[DecayKind] = frozenset()
    """Kinds of decay that the class does not have: the weights are shrunk before each of its steps."""

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
    """One optimizer: settings, decay, laws of transfer, and how other libraries spell it."""

    name: str
    """As a request names it."""
    title: str
    """As a sentence names it; of the algorithm, which several entries may share."""
    label: str
    """As documentation names it."""
    formula: str
    """Its update, without decay and clipping."""
    source: str
    settings: Mapping[SettingName, float]
    """Setting -> its default."""
    decays: tuple[DecayKind, ...]
    """Kinds of decay that it takes, its default first."""
    state: int
    """Copies of the parameters in its state, the parameters themselves included."""
    normalises: bool
    """Whether the size of its update does not go with that of the gradient."""
    rate: RateLaw
    batch: BatchRule | None
    """None: no rule is known, and a plan for another batch size is refused."""
    coordinate_rate: float
    """Learning rate at which a step of a coordinate check moves activations by about their own size."""
    torch: TorchForm
    optax: str
    """Source of the optax transformation without decay and rate, a template over the settings' values; ``eps`` is a name in
    it, since tensors may differ in that."""
    no_decay: tuple[str, str] = ("is not what it does", "leave decay out")
    """Why it takes no other kind of decay, and what to do, in words."""
    why_no_l2: str = ""
    """Why L2 in its gradient carries to no other size, a template over ``term``; empty where it does."""
    why_no_completep: str = ""
    """Why CompleteP says nothing about it; empty where it does."""
    sqrt_decay: bool = False
    """Whether the rule ``sqrt`` of decay was measured under it."""
    huggingface: Mapping[SettingName, str] = field(default_factory=dict)
    """Setting -> the TrainingArguments of Hugging Face that holds it."""
    pathwise: str = ""
    """Why a derivative through its updates is not that of the run; empty where it is."""

    @property
    def decay(self) -> DecayKind:
        """The kind of decay where a request names none."""
        return self.decays[0]

    @property
    def averages(self) -> list[SettingName]:
        """Its settings that are the memory of an average, below 1."""
        return [name for name in self.settings if BIJECTIONS[name] == "complement_logit"]

    def carries(self, decay: DecayKind) -> bool:
        """Whether some rule carries a decay of that kind to another size."""
        return decay != "l2" or not self.why_no_l2
