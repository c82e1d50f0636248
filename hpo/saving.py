"""A study's state as named files: safetensors for points, JSON for numbers and counters. Never pickle."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hpo.errors import InvalidData
from hpo.outer import Trail, Visit
from hpo.readings import Readings
from windtunnel.types import JobSpec

FORMAT = 1
TENSORS, NUMBERS = "state.safetensors", "state.json"


@dataclass(frozen=True)
class StudyState:
    """Everything a study needs to go on."""

    outer_step: int
    trail: Trail | None
    start: Visit | None
    readings: Readings
    spent: float
    wall_seconds: float


def spec_sha256(spec: JobSpec) -> str:
    """Hash of what decides the numbers: the spec without its name and its target."""
    decisive = spec.model_dump(mode="json", exclude={"name", "target"})
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def save_state(state: StudyState, spec: JobSpec) -> dict[str, bytes]:
    """File name -> content."""
    tensors: dict[str, Tensor] = {}
    numbers = {
        "format": FORMAT,
        "spec_sha256": spec_sha256(spec),
        "outer_step": state.outer_step,
        "readings": asdict(state.readings),
        "spent": state.spent,
        "wall_seconds": state.wall_seconds,
    }
    if state.trail is not None and state.start is not None:
        trail = state.trail
        tensors = {
            "point": trail.point,
            "velocity": trail.velocity,
            "conviction": trail.conviction,
            "visits": torch.stack([visit.point for visit in trail.visits]),
            "start": state.start.point,
        }
        numbers["trail"] = {"width": trail.width, "rises": trail.rises, "lost": trail.lost}
        numbers["visits"] = [_numbers_of(visit) for visit in trail.visits]
        numbers["start"] = _numbers_of(state.start)
    # JSON writes a float64 with as many digits as it takes to read the same one back.
    return {
        TENSORS: save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}),
        NUMBERS: json.dumps(numbers, indent=1).encode(),
    }


def load_state(files: dict[str, bytes], spec: JobSpec) -> StudyState:
    """Inverse of ``save_state``.

    Raises:
        InvalidData: a file is missing or damaged, or the state is of another format or spec.
    """
    missing = sorted({TENSORS, NUMBERS} - set(files))
    if missing:
        raise InvalidData(f"the saved state lacks {', '.join(missing)}")
    try:
        tensors, numbers = load(files[TENSORS]), json.loads(files[NUMBERS])
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as damage:
        raise InvalidData(f"the saved state is damaged: {damage}") from damage
    if numbers.get("format") != FORMAT:
        raise InvalidData(f"the saved state has format {numbers.get('format')!r}, this version reads {FORMAT}")
    if numbers["spec_sha256"] != spec_sha256(spec):
        raise InvalidData("the saved state belongs to another spec", "a changed spec is a job of its own: submit it anew")
    trail: Trail | None = None
    start: Visit | None = None
    if "trail" in numbers:
        visits = _visits(numbers["visits"], tensors["visits"])
        trail = Trail(tensors["point"], tensors["velocity"], tensors["conviction"], visits=visits, **numbers["trail"])
        (start,) = _visits([numbers["start"]], tensors["start"][None])
    return StudyState(
        numbers["outer_step"], trail, start, Readings(**numbers["readings"]), numbers["spent"], numbers["wall_seconds"]
    )


def _numbers_of(visit: Visit) -> dict[str, float]:
    return {"outer_step": visit.outer_step, "loss": visit.loss, "stderr": visit.stderr}


def _visits(numbers: Sequence[dict[str, float]], points: Tensor) -> tuple[Visit, ...]:
    return tuple(
        Visit(int(entry["outer_step"]), point, entry["loss"], entry["stderr"])
        for entry, point in zip(numbers, points, strict=True)
    )
