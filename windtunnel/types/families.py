"""The model families: what the wire has to know of each, one record a family."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from windtunnel.types.kinds import OneOf

TaskKind = Literal["classification", "regression", "language"]
"""Kinds of task, by what is learned: a class, a number, or the next token."""
Activation = Literal["relu", "gelu", "tanh", "silu"]
Dial = Literal["attention_multiplier", "dropout", "input_noise", "augmentation"]
"""A hyperparameter that acts inside the forward pass, and that not every family has."""


@dataclass(frozen=True)
class FamilySize:
    """Width, depth, activation and heads of a model."""

    width: int
    depth: int = 2
    activation: Activation = "relu"
    d_head: int | None = None
    """Width of an attention head; None: the family has no heads."""


@dataclass(frozen=True)
class BlockOptions:
    """Choices that a family of blocks leaves open beside its size; each has the name of its field in a model's spec."""

    gqa_ratio: int = 1
    """Query heads that share one head of keys and values, the same at every width; 1: each has its own."""
    multiple_of: int = 8
    """Units of the MLP are rounded up to a multiple of this."""
    norm_gains: bool = False
    """Whether norms have gains that are trained."""
    qk_norm: bool = False
    """Whether queries and keys are normalised, head by head."""
    rope_theta: float = 10_000.0
    """Base of the wavelengths by which positions turn queries and keys."""


OPTIONS: tuple[str, ...] = tuple(field.name for field in fields(BlockOptions))
"""Names of the options that a family may have."""


@dataclass(frozen=True)
class FamilyInfo:
    """Record of a family of models: its sizes, its dials, what it learns, and what is known of deeper ones."""

    title: str
    """Words that begin a sentence about one model of it: ``An MLP``."""
    size: FamilySize
    """Size of a proxy where the request gives none."""
    layer: str
    """Name of what ``depth`` counts: ``hidden layer``, ``block``."""
    stack: str | None
    """Name of the module's list of them; None where it is not known."""
    dials: tuple[Dial, ...]
    """Dials that it can have; augmentation needs images beside."""
    learns: tuple[TaskKind, ...]
    """Kinds of task that it learns; none where it comes with its task."""
    deeper: str
    """Sentence about what is not known where values are copied from ``{proxy}`` of its layers to ``{target}``."""
    completep: str | None
    """Evidence that CompleteP rests on for it, in words; None where CompleteP has nothing to say about it."""
    why_no_completep: str
    """Reason why CompleteP has nothing to say about it; empty where it has."""
    dropout_place: str
    """Place where its dropout acts; empty where it has none."""
    images: bool = False
    """Whether its examples must be images."""
    embeds: bool = False
    """Whether its inputs are tokens, which it looks up in tables."""
    options: BlockOptions | None = None
    """Choices that a request may make beside the size, with their defaults; None: it has none."""
    hidden_from: int = 1
    """Least depth with a tensor between input and readout."""
    from_task: bool = False
    """Whether the model comes with the task: a module of one's own, with an activation of its own and no known inside."""

    @property
    def heads(self) -> bool:
        """Whether it has attention heads, which are the same size at every width."""
        return self.size.d_head is not None

    @property
    def noise_place(self) -> str:
        """Place where its input noise acts."""
        return "the sum of the embeddings" if self.embeds else "the standardised inputs"

    def can_learn(self, kind: str, *, images: bool) -> bool:
        """Whether it learns tasks of that kind, with examples that are images or not."""
        return kind in self.learns and (images or not self.images)


_BRANCHES = (
    "From {proxy} to {target} residual blocks no branch is scaled down, so the sum of the branches grows with the depth "
    "and the best learning rate may fall; each added block copies the proxy's last one."
)

FAMILIES: Mapping[str, FamilyInfo] = {
    "mlp": FamilyInfo(
        title="An MLP",
        size=FamilySize(width=64),
        layer="hidden layer",
        stack="layers",
        dials=("dropout", "input_noise", "augmentation"),
        learns=("classification", "regression"),
        deeper="From {proxy} to {target} hidden layers without residual branches nothing is known to keep its optimum; "
        "each added layer copies the proxy's last one.",
        completep=None,
        why_no_completep="family 'mlp' has no residual branches, which is what the rule scales",
        dropout_place="after the nonlinearity of every hidden layer",
        hidden_from=2,
    ),
    "resnet": FamilyInfo(
        title="A resnet",
        size=FamilySize(width=16),
        layer="block",
        stack="blocks",
        dials=("dropout", "input_noise", "augmentation"),
        learns=("classification",),
        deeper=_BRANCHES,
        completep="measured for pre-norm transformers under AdamW, and carried over to convolutions by its derivation",
        why_no_completep="",
        dropout_place="between the two convolutions of every block",
        images=True,
    ),
    "transformer": FamilyInfo(
        title="A transformer",
        size=FamilySize(width=48, activation="gelu", d_head=16),
        layer="block",
        stack="blocks",
        dials=("attention_multiplier", "dropout", "input_noise"),
        learns=("language",),
        deeper=_BRANCHES,
        completep="measured for pre-norm transformers under AdamW",
        why_no_completep="",
        dropout_place="on what attention and MLP add to the residual stream",
        embeds=True,
    ),
    "llama": FamilyInfo(
        title="A Llama",
        size=FamilySize(width=48, activation="silu", d_head=16),
        layer="block",
        stack="blocks",
        dials=("attention_multiplier", "dropout", "input_noise"),
        learns=("language",),
        deeper=_BRANCHES,
        completep="measured for pre-norm transformers under AdamW",
        why_no_completep="",
        dropout_place="on what attention and MLP add to the residual stream",
        embeds=True,
        options=BlockOptions(),
    ),
    "module": FamilyInfo(
        title="A module of your own",
        size=FamilySize(width=64),
        layer="layer",
        stack=None,
        dials=("input_noise",),
        learns=(),
        deeper="From depth {proxy} to {target} no residual branch of the module is scaled down, and the best learning rate "
        "may fall; each added layer copies the proxy's last one.",
        completep=None,
        why_no_completep="which layers of a module of one's own end a residual branch is not known",
        dropout_place="",
        from_task=True,
    ),
}
"""Every family by name, in the order in which a task lists those that learn it."""

FamilyName = Annotated[str, OneOf(FAMILIES)]
"""A name of the table of families."""


def learners(kind: str, *, images: bool) -> tuple[str, ...]:
    """Names of the families that learn tasks of that kind, with examples that are images or not; the default first."""
    return tuple(name for name, info in FAMILIES.items() if info.can_learn(kind, images=images))


def built_in() -> tuple[str, ...]:
    """Names of the families whose models are this project's own."""
    return tuple(name for name, info in FAMILIES.items() if not info.from_task)


def heads_words() -> str:
    """Default widths of an attention head by family, in words: ``16 for transformer``."""
    return ", ".join(f"{info.size.d_head} for {name}" for name, info in FAMILIES.items() if info.heads)
