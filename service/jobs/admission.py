"""Refuses a job that could not run: its population would not fit in memory (and which field to shrink, to what), or it
moves regularisers of tensors that it does not have."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hpo.estimators.facts.registry import facts
from hpo.estimators.facts.storage import States
from hpo.families.facts.registry import proxy_tensors
from hpo.footprint.memory import at_once
from hpo.footprint.sizes import Sizes
from hpo.mup.labels import labels
from hpo.mup.resolve import check_labels
from hpo.sizing.checks import check_parts
from hpo.sizing.peak import peak_bytes
from store.settings import PREFIX
from windtunnel.types import FieldError, JobSpec, UnknownTask

LEANER: Mapping[States, tuple[States, ...]] = {"sqrt": ("log",), "log": ()}
"""Storages of the reverse pass that need less memory than one, the cheapest first; of any other: those named here."""
MOST_NAMED = 3
"""Fields named in one refusal: the first is the one that helps most."""


@dataclass(frozen=True)
class Lever:
    """A field that the population's memory grows with."""

    section: str
    name: str
    least: int

    @property
    def pointer(self) -> str:
        """The field in the request."""
        return f"/{self.section}/{self.name}"

    def value(self, spec: JobSpec) -> int:
        """The value that the request gave."""
        given: int = getattr(getattr(spec, self.section), self.name)
        return given

    def step(self, spec: JobSpec) -> int:
        """Distance of allowed values: a transformer's heads are not cut."""
        if self.name != "width":
            return 1
        if spec.info.module is not None:
            # Which other widths a module of one's own can have is not known; multiples of its table's can be hoped for.
            return math.gcd(spec.model.width, spec.info.width or 1)
        return spec.model.width_step

    def lowest(self, spec: JobSpec) -> int:
        """Smallest allowed value."""
        module = spec.info.module
        return module.depth if self.name == "depth" and module is not None else self.least

    def set(self, spec: JobSpec, value: int) -> JobSpec:
        """Copy of the request with another value of this field, not validated: only its size is of interest."""
        section = getattr(spec, self.section).model_copy(update={self.name: value})
        return spec.model_copy(update={self.section: section})


WIDTH = Lever("model", "width", 4)
LEVERS = (
    Lever("outer", "starts", 1),
    Lever("inner", "seeds", 1),
    WIDTH,
    Lever("model", "depth", 1),
    Lever("inner", "steps", 2),
    Lever("inner", "batch_size", 1),
    Lever("outer", "finish_seeds", 2),
)


def absence(spec: JobSpec) -> list[FieldError]:
    """Error for a spec whose task is not installed here; empty where it is."""
    try:
        _ = spec.info
    except UnknownTask as error:
        return [FieldError(pointer="/task", message=str(error), given=spec.task)]
    return []


def _sizes(spec: JobSpec) -> Sizes:
    return Sizes.of(spec, spec.info)


def label_errors(spec: JobSpec) -> list[FieldError]:
    """Lines of a regulariser schedule, and starts, that no role or tensor of the proxy would follow."""
    tensors, found = proxy_tensors(spec.model, spec.info), []
    known = labels(spec, tensors) if spec.initial else []
    for label, value in spec.initial.items():
        if label not in known:
            shown = ", ".join(each for each in known if each.startswith(label.partition(".")[0] + "."))
            message = f"nothing that is searched has the label {label!r}; allowed: {shown}"
            found.append(FieldError(pointer=f"/initial/{label}", message=message, given=value))
    for label in spec.regularization.schedule:
        try:
            check_labels(spec, [label], tensors)
        except ValueError as error:
            found.append(FieldError(pointer=f"/regularization/schedule/{label}", message=str(error), given=label))
    return found


def population_errors(spec: JobSpec, limit: int) -> list[FieldError]:
    """Fields to shrink where the population needs more than ``limit`` bytes, after ``label_errors``; empty where it fits.

    Each error names a field, its value, the estimate, the limit, and the largest value of that field with which the job
    fits while all else stays. Where no single field can do it, the fields are named with values that fit together.
    """
    if absent := absence(spec):
        return absent
    if unknown := label_errors(spec):
        return unknown
    needed = peak_bytes(_sizes(spec), limit)
    if needed <= limit:
        return []
    storage = _storage_error(spec, limit)
    if storage is not None:
        return [storage]
    alone = [(lever, _largest(spec, lever, limit)) for lever in LEVERS]
    enough = [(lever, value) for lever, value in alone if value is not None]
    size = f"the population needs {size_in_words(needed)}; allowed: {size_in_words(limit)}"
    if enough:
        # The lever that has to give up the smallest share of its value is named first.
        enough.sort(key=lambda pair: pair[1] / pair[0].value(spec), reverse=True)
        return [
            _error(spec, lever, f"{size}; with all else as it is, at most {lever.name} {value:,} fits")
            for lever, value in enough[:MOST_NAMED]
        ]
    together = _shrunk(spec, limit)
    changed = [lever for lever in LEVERS if lever.value(together) != lever.value(spec)]
    fits = peak_bytes(_sizes(together), limit) <= limit
    words = ", ".join(f"{lever.name} {lever.value(together):,}" for lever in changed)
    advice = f"for example, {words} fit together" if fits else "the smallest job of this kind does not fit either"
    found = [_error(spec, lever, f"{size}; {advice}") for lever in changed]
    if not fits:
        found += _check_errors(spec, limit)
    # Nothing can be made smaller: refused all the same.
    return found or [_error(spec, WIDTH, f"{size}; {advice}")]


def _check_errors(spec: JobSpec, limit: int) -> list[FieldError]:
    """Measurements for the transfer that there is no room for, by the field that asks for each."""
    found = []
    for pointer, needed in check_parts(_sizes(spec)).items():
        if needed <= limit:
            continue
        less = {
            "/parametrization": "the coordinate check takes about as much for every model; without it (parametrization "
            "standard) nothing can be transferred",
            "/transfer/ladder": "ask for a ladder of smaller widths, or for none",
            "/transfer/scaling": "ask for smaller widths or shorter runs, or for none",
        }.get(pointer, "leave it out")
        message = (
            f"what this asks the job to measure at its end needs {size_in_words(needed)}; allowed: {size_in_words(limit)}; "
            f"{less}, or give workers and server more ({PREFIX}MAX_POPULATION_BYTES)"
        )
        found.append(FieldError(pointer=pointer, message=message, given=_at(spec, pointer)))
    return found


def _at(spec: JobSpec, pointer: str) -> object:
    value: object = spec.model_dump(mode="json")
    for name in pointer.split("/")[1:]:
        assert isinstance(value, dict)
        value = value[name]
    return value


def size_in_words(size: int) -> str:
    """A size as people write it, such as ``4.0 GiB``."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _error(spec: JobSpec, lever: Lever, message: str) -> FieldError:
    given = lever.value(spec)
    return FieldError(pointer=lever.pointer, message=f"with {lever.name} {given:,} {message}", given=given)


def _largest(spec: JobSpec, lever: Lever, limit: int) -> int | None:
    """Largest value of the field, at most the given one, with which the job fits; None where none does."""

    def fits(value: int) -> bool:
        return peak_bytes(_sizes(lever.set(spec, value)), limit) <= limit

    step = lever.step(spec)
    found = _bisect(max(1, -(-lever.lowest(spec) // step)), lever.value(spec) // step, lambda count: fits(count * step))
    return None if found is None else found * step


def _bisect(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    if not fits(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _shrunk(spec: JobSpec, limit: int) -> JobSpec:
    """Halve the field that is furthest above its default, again and again, until the job fits or no field helps."""
    while (needed := peak_bytes(_sizes(spec), limit)) > limit:
        options = [(lever, lever.set(spec, _half(lever, spec))) for lever in LEVERS]
        smaller = [(lever, halved) for lever, halved in options if peak_bytes(_sizes(halved), limit) < needed]
        if not smaller:
            break
        _, spec = max(smaller, key=lambda option: option[0].value(spec) / option[0].value(_DEFAULT))
    return spec


def _half(lever: Lever, spec: JobSpec) -> int:
    """About half of the value, and an allowed one."""
    step = lever.step(spec)
    return max(lever.lowest(spec), step, lever.value(spec) // 2 // step * step)


def _storage_error(spec: JobSpec, limit: int) -> FieldError | None:
    """The storage of the reverse pass that would do, where another one than was asked for does."""
    storage = facts(spec.method.estimator).storage(at_once(_sizes(spec)), limit)
    if storage is None:
        return None
    needed, given = peak_bytes(_sizes(spec), limit), spec.method.checkpointing
    for leaner in LEANER.get(storage.states, tuple(LEANER)):
        method = spec.method.model_copy(update={"checkpointing": leaner})
        less = peak_bytes(_sizes(spec.model_copy(update={"method": method})), limit)
        if less <= limit:
            message = (
                f"with checkpointing {given} the population needs {size_in_words(needed)}; allowed: "
                f"{size_in_words(limit)}; with all else as it is, checkpointing {leaner} fits in {size_in_words(less)}"
            )
            return FieldError(pointer="/method/checkpointing", message=message, given=given)
    return None


_DEFAULT = JobSpec(task="digits")
