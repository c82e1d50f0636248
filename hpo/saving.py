"""Saves and loads a study's state as named files: safetensors for tensors, JSON for numbers. Never pickle."""

import hashlib
import json
from dataclasses import asdict, dataclass

from safetensors import SafetensorError
from safetensors.torch import load, save

from hpo.errors import InvalidData
from hpo.search.protocol import SearchState
from hpo.search.readings import EarlyStopped, Readings
from windtunnel.types import JobSpec
from windtunnel.types.base import stated

FORMAT = 3
TENSORS, NUMBERS = "state.safetensors", "state.json"


@dataclass(frozen=True)
class StudyState:
    """Everything that a study needs to continue."""

    outer_step: int
    search: SearchState | None
    """State of the search; None before outer step 0 is done."""
    readings: Readings
    spent: float
    wall_seconds: float


def spec_sha256(spec: JobSpec) -> str:
    """Hash of the fields that decide the numbers: those that differ from their defaults, without name and target.

    A version that adds a field with a default reads the states of versions before it. One that changes what a default
    means must count FORMAT up.
    """
    decisive = {field: value for field, value in stated(spec).items() if field not in ("name", "target")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def save_state(state: StudyState, spec: JobSpec) -> dict[str, bytes]:
    """File name -> content of a study's state."""
    tensors, search = ({}, None) if state.search is None else state.search
    numbers = {
        "format": FORMAT,
        "spec_sha256": spec_sha256(spec),
        "outer_step": state.outer_step,
        "readings": asdict(state.readings),
        "spent": state.spent,
        "wall_seconds": state.wall_seconds,
        "search": search,
    }
    # JSON writes a float64 with as many digits as it takes to read the same one back.
    return {
        TENSORS: save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}),
        NUMBERS: json.dumps(numbers, indent=1).encode(),
    }


def load_state(files: dict[str, bytes], spec: JobSpec) -> StudyState:
    """State of a study from its files: the inverse of ``save_state``.

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
    said = numbers["readings"]
    readings = Readings(
        **{
            **said,
            "profile": tuple(said["profile"]),
            "direction": tuple(said.get("direction", ())),
            "early": EarlyStopped(**said.get("early", {})),
        }
    )
    search = None if numbers["search"] is None else (tensors, numbers["search"])
    return StudyState(numbers["outer_step"], search, readings, numbers["spent"], numbers["wall_seconds"])
