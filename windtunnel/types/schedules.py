"""Learning-rate schedules as a spec names them: name, settings, and the settings that can be searched.

A schedule multiplies the learning rate. Lengths are shares of the run, so that a schedule means the same over any number
of steps; only ``gpt3`` counts tokens. ``windtunnel.schedules.formulas`` evaluates them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeGuard, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from windtunnel.types.base import Request, Response, misfit

ShapeName = Literal["warmup_fraction", "floor", "decay_gamma", "cycle_length", "decay_fraction", "knot"]
"""Shape parameter that can be searched; ``Schedule.shape`` has the ones of a schedule."""

FIELDS: dict[ShapeName, str] = {
    "warmup_fraction": "warmup_fraction",
    "floor": "floor",
    "decay_gamma": "decay_gamma",
    "cycle_length": "cycle_length",
    "decay_fraction": "decay_fraction",
    "knot": "knots",
}
"""Shape parameter -> the field of a schedule that holds its value; ``knot`` stands for one value each of ``knots``."""


def is_shape(name: str) -> TypeGuard[ShapeName]:
    """Whether a hyperparameter is a shape parameter of schedules."""
    return name in FIELDS


Warmup = Annotated[
    float, Field(ge=0, lt=1, description="Share of the run over which the multiplier first rises linearly from 0.")
]
Floor = Annotated[float, Field(ge=0, le=1, description="Lowest multiplier, as a share of the peak.")]


class Schedule(Request):
    """Base of every schedule: a name, a title, a formula, and the shape parameters that can be searched.

    In formulas, t is the time in steps (1 at the first update, T at the last), w = min(1, t / (warmup_fraction T)), and
    p = (t - warmup_fraction T) / (T - warmup_fraction T), at least 0: the share of the time after the warmup.
    """

    title: ClassVar[str]
    formula: ClassVar[str]
    shape: ClassVar[tuple[ShapeName, ...]] = ()
    counts_tokens: ClassVar[bool] = False
    """Whether its lengths are counts of tokens: it is not stretched with the run then, and continues after its end."""

    def arguments(self, steps: int, tokens_per_step: float) -> dict[str, Any]:  # noqa: ARG002 - for those that count
        """Arguments of its formula by name, beside the time and the length of the run.

        Args:
            steps: length of the run.
            tokens_per_step: batch size times context; the batch size where a task has no context.
        """
        return self.model_dump(exclude={"name"})

    def value(self, name: ShapeName) -> float | tuple[float, ...]:
        """The setting of one of its shape parameters; a tuple for ``knot``."""
        found: float | tuple[float, ...] = getattr(self, FIELDS[name])
        return found

    def with_shape(self, values: dict[ShapeName, Any]) -> Self:
        """Copy of the schedule with other values of some shape parameters."""
        changed = {FIELDS[name]: value for name, value in values.items()}
        return type(self).model_validate(self.model_dump() | changed)


class ConstantSchedule(Schedule):
    """Multiplier 1 at every step."""

    title: ClassVar = "Constant"
    formula: ClassVar = "1"
    name: Literal["constant"] = "constant"


class WarmupSchedule(Schedule):
    """Linear from 0 to 1 over the warmup, then 1."""

    title: ClassVar = "Linear warmup"
    formula: ClassVar = "w"
    shape: ClassVar = ("warmup_fraction",)
    name: Literal["warmup"] = "warmup"
    warmup_fraction: Warmup = Field(0.05, gt=0, lt=1)


class StepSchedule(Schedule):
    """Drops by one factor at equal distances.

    Piecewise constant: it has a derivative in ``decay_gamma``, and none in the places of the drops, which are settings.
    """

    title: ClassVar = "Step decay"
    formula: ClassVar = "w decay_gamma^k, k = the drops before t; drop j at j step_size T"
    shape: ClassVar = ("warmup_fraction", "decay_gamma")
    name: Literal["step"] = "step"
    warmup_fraction: Warmup = 0.05
    step_size: float = Field(0.25, gt=0, le=1, description="Time between two drops, as a share of the run.")
    decay_gamma: float = Field(0.3, gt=0, le=1, description="Factor of one drop.")


def _increasing(milestones: tuple[float, ...]) -> tuple[float, ...]:
    if any(not 0 < milestone < 1 for milestone in milestones):
        raise ValueError(f"milestones are {list(milestones)}; allowed: shares of the run, each above 0 and below 1")
    if list(milestones) != sorted(set(milestones)):
        raise ValueError(f"milestones are {list(milestones)}; allowed: each later than the one before")
    return milestones


class MultistepSchedule(Schedule):
    """Drops by one factor at given times.

    Piecewise constant: it has a derivative in ``decay_gamma``, and none in the milestones, which are settings.
    """

    title: ClassVar = "Step decay at milestones"
    formula: ClassVar = "w decay_gamma^k, k = the milestones before t / T"
    shape: ClassVar = ("warmup_fraction", "decay_gamma")
    name: Literal["multistep"] = "multistep"
    warmup_fraction: Warmup = 0.05
    milestones: Annotated[tuple[float, ...], AfterValidator(_increasing)] = Field(
        (0.5, 0.75), min_length=1, max_length=32, description="Times of the drops, as shares of the run."
    )
    decay_gamma: float = Field(0.1, gt=0, le=1, description="Factor of one drop.")


class ExponentialSchedule(Schedule):
    """Linear warmup, then an equal factor at every step."""

    title: ClassVar = "Exponential decay"
    formula: ClassVar = "w decay_gamma^p"
    shape: ClassVar = ("warmup_fraction", "decay_gamma")
    name: Literal["exponential"] = "exponential"
    warmup_fraction: Warmup = 0.05
    decay_gamma: float = Field(0.1, gt=0, le=1, description="Factor over the whole run: the last multiplier.")


class CosineSchedule(Schedule):
    """Linear warmup, then a half cosine from 1 down to the floor."""

    title: ClassVar = "Cosine annealing"
    formula: ClassVar = "w (floor + (1 - floor) (1 + cos(pi p)) / 2)"
    shape: ClassVar = ("warmup_fraction", "floor")
    name: Literal["cosine"] = "cosine"
    warmup_fraction: Warmup = 0.05
    floor: float = Field(0.1, ge=0, le=1, description="Last multiplier, as a share of the peak.")


class CosineRestartsSchedule(Schedule):
    """Linear warmup, then half cosines that start again from the top, each longer and lower than the one before (SGDR).

    A restart is a jump. The derivative in ``cycle_length`` is that of the curve between the restarts; on which update a
    restart falls has no derivative.
    """

    title: ClassVar = "Cosine annealing with warm restarts"
    formula: ClassVar = (
        "w (floor + (1 - floor) decay_gamma^k (1 + cos(pi q)) / 2), k = the cycles before p, q = the share of cycle k; "
        "cycle k is cycle_length cycle_multiplier^k long"
    )
    shape: ClassVar = ("warmup_fraction", "floor", "decay_gamma", "cycle_length")
    name: Literal["cosine-restarts"] = "cosine-restarts"
    warmup_fraction: Warmup = 0.05
    floor: Floor = 0.05
    cycle_length: float = Field(
        0.25, gt=0, le=10, description="Length of the first cycle, as a share of the run after the warmup."
    )
    cycle_multiplier: float = Field(1.0, ge=1, le=10, description="Length of a cycle over that of the one before.")
    decay_gamma: float = Field(
        1.0, gt=0, le=1, description="Height of a peak above the floor over that of the one before; 1: equal peaks."
    )


class CyclicSchedule(Schedule):
    """Triangles from the floor up to a peak and down again, each peak lower than the one before."""

    title: ClassVar = "Cyclic, triangular"
    formula: ClassVar = (
        "floor + (1 - floor) decay_gamma^k (1 - |2 q - 1|), k = the cycles before t, q = the share of cycle k; "
        "a cycle is cycle_length T long"
    )
    shape: ClassVar = ("floor", "decay_gamma", "cycle_length")
    name: Literal["cyclic"] = "cyclic"
    floor: Floor = 0.05
    cycle_length: float = Field(0.25, gt=0, le=10, description="Length of a cycle, up and down, as a share of the run.")
    decay_gamma: float = Field(
        0.5, gt=0, le=1, description="Height of a peak above the floor over that of the one before; 1: equal peaks."
    )


class InverseSqrtSchedule(Schedule):
    """Linear warmup, then the inverse square root of the time."""

    title: ClassVar = "Inverse square root"
    formula: ClassVar = "min(t / W, sqrt(W / t)), W = warmup_fraction T"
    shape: ClassVar = ("warmup_fraction",)
    name: Literal["inverse-sqrt"] = "inverse-sqrt"
    warmup_fraction: Warmup = Field(0.1, gt=0, lt=1)


class WarmupStableDecaySchedule(Schedule):
    """Linear warmup, a long constant part, and a decay at the end (WSD). Where warmup and decay overlap, both act."""

    title: ClassVar = "Warmup, stable, decay"
    formula: ClassVar = (
        "w (floor + (1 - floor) g), g = 1 - q (linear) or 1 - sqrt(q), "
        "q = (t - (1 - decay_fraction) T) / (decay_fraction T), at least 0"
    )
    shape: ClassVar = ("warmup_fraction", "floor", "decay_fraction")
    name: Literal["warmup-stable-decay"] = "warmup-stable-decay"
    warmup_fraction: Warmup = 0.05
    decay_fraction: float = Field(0.2, gt=0, lt=1, description="Share of the run, at its end, over which it decays.")
    floor: float = Field(0.0, ge=0, le=1, description="Last multiplier, as a share of the peak.")
    decay_shape: Literal["linear", "1-sqrt"] = Field(
        "linear",
        description="1-sqrt falls faster at first. It has no finite slope where the decay begins, so prefer linear where "
        "decay_fraction is searched.",
    )


GPT3_RUN, GPT3_WARMUP, GPT3_DECAY = 300e9, 375e6, 260e9
"""Tokens of GPT-3's run, of its warmup, and until its floor (Brown et al. 2020, appendix B)."""


class GPT3Schedule(Schedule):
    """Warmup and decay counted in tokens: linear warmup, a cosine down to the floor, then constant.

    A step has batch_size * context tokens. Where a task has no context (images, tables), one example counts as one token.
    Without token counts both are the shares that they were of GPT-3's own run of 300 billion tokens: a warmup of 375
    million, the floor after 260 billion. Counts are absolute: over a longer run the floor is reached after as many tokens.
    """

    title: ClassVar = "GPT-3, counted in tokens"
    formula: ClassVar = (
        "min(1, n / warmup_tokens) (floor + (1 - floor) (1 + cos(pi q)) / 2), n = t batch_size context, "
        "q = (n - warmup_tokens) / (decay_tokens - warmup_tokens), in 0 to 1"
    )
    shape: ClassVar = ("floor",)
    counts_tokens: ClassVar = True
    name: Literal["gpt3"] = "gpt3"
    warmup_tokens: int | None = Field(
        None, ge=0, le=10**15, description="Tokens of the warmup; without context one example is one token."
    )
    decay_tokens: int | None = Field(
        None, ge=1, le=10**15, description="Tokens, from the start of the run, after which the floor is reached."
    )
    floor: Floor = 0.1

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        warmup, decay = self.warmup_tokens, self.decay_tokens
        if (warmup is None) != (decay is None):
            missing = "warmup_tokens" if warmup is None else "decay_tokens"
            raise misfit(f"/{missing}", f"{missing} is missing: give warmup_tokens and decay_tokens both or neither", None)
        if warmup is not None and decay is not None and warmup >= decay:
            raise misfit("/warmup_tokens", f"warmup_tokens {warmup:,} must be below decay_tokens {decay:,}", warmup)
        return self

    def arguments(self, steps: int, tokens_per_step: float) -> dict[str, Any]:
        """Token counts as steps, not rounded; without counts the shares of GPT-3's own run."""
        warmup, decay = self.warmup_tokens, self.decay_tokens
        return {
            "warmup_steps": GPT3_WARMUP / GPT3_RUN * steps if warmup is None else warmup / tokens_per_step,
            "decay_steps": GPT3_DECAY / GPT3_RUN * steps if decay is None else decay / tokens_per_step,
            "floor": self.floor,
        }


Multiplier = Annotated[float, Field(gt=0, le=1000)]


class KnotsSchedule(Schedule):
    """Free values at equal distances over the time after the warmup, the first at its start, the last at the run's end.

    Between two knots the logarithm is interpolated, not the value: a multiplier stays positive, halving it is an equal
    step at any height, and a knot that is searched by its logarithm acts on the log multiplier linearly, with a hat
    function that no other knot changes. With the learning rate in the search too, one direction is redundant: all knots
    up, all rates down.
    """

    title: ClassVar = "Knots"
    formula: ClassVar = "w exp(the linear interpolation of log(knots) at p), knot k of n at p = k / (n - 1)"
    shape: ClassVar = ("warmup_fraction", "knot")
    name: Literal["knots"] = "knots"
    warmup_fraction: Warmup = 0.05
    knots: tuple[Multiplier, ...] = Field(
        (1.0, 0.87, 0.55, 0.23, 0.1),
        min_length=2,
        max_length=32,
        description="Multipliers, each above 0, at most 1000. Default: as the default cosine.",
    )


AnySchedule = (
    ConstantSchedule
    | WarmupSchedule
    | StepSchedule
    | MultistepSchedule
    | ExponentialSchedule
    | CosineSchedule
    | CosineRestartsSchedule
    | CyclicSchedule
    | InverseSqrtSchedule
    | WarmupStableDecaySchedule
    | GPT3Schedule
    | KnotsSchedule
)
SHORT = {"wsd": "warmup-stable-decay"}
"""Short name of a schedule that a request may use -> its name."""


def _by_its_name(given: Any) -> Any:
    """A schedule as requested, with its name in place of a short one; anything but a mapping passes through."""
    name = given.get("name") if isinstance(given, Mapping) else None
    return {**given, "name": SHORT[name]} if isinstance(name, str) and name in SHORT else given


ScheduleSpec = Annotated[AnySchedule, Field(discriminator="name"), BeforeValidator(_by_its_name)]

SCHEDULES: dict[str, type[Schedule]] = {kind.model_fields["name"].default: kind for kind in get_args(AnySchedule)}
"""Every schedule by name."""


class ScheduleInfo(Response):
    """One schedule, as listed by ``GET /v1/schedules``."""

    name: str
    title: str
    formula: str
    """Multiplier at time t of a run of T steps."""
    searchable: list[str]
    """Shape parameters that a job can search."""
    json_schema: dict[str, Any] = Field(alias="schema")
    """JSON schema of its settings."""


def described(name: str) -> ScheduleInfo:
    """Listing of the schedule of that name."""
    kind = SCHEDULES[name]
    return ScheduleInfo(
        name=name, title=kind.title, formula=kind.formula, searchable=list(kind.shape), schema=kind.model_json_schema()
    )
