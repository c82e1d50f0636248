"""Saves and loads a solve between two outer steps as one file: safetensors with a header in JSON. Never pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hpo.errors import InvalidData

FORMAT = 1


def save(path: Path, outer: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, numbers: Mapping[str, Any]) -> None:
    """Write outer variables, the outer optimizer's state and some numbers; an older file is replaced at once or not at all.

    Raises:
        InvalidData: the optimizer remembers something that is neither a tensor nor a number.
    """
    tensors = {f"outer/{name}": value.detach().clone().contiguous() for name, value in outer.items()}
    state: dict[str, dict[str, float]] = {}
    for row, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{row}/{name}"] = value.detach().clone().contiguous()
            elif isinstance(value, int | float):
                state.setdefault(str(row), {})[name] = value
            elif value is not None:
                raise InvalidData(
                    f"the outer optimizer remembers {name}, a {type(value).__name__}, which a checkpoint cannot hold",
                    "use an optimizer whose state is tensors and numbers, or leave checkpoint out",
                )
    header = {"format": FORMAT, "state": state, **numbers}
    aside = path.with_name(path.name + ".part")
    # JSON writes a float64 with as many digits as it takes to read the same one back.
    save_file(tensors, aside, metadata={"windtunnel": json.dumps(header)})
    aside.replace(path)


def load(path: Path, outer: dict[str, Tensor], optimizer: torch.optim.Optimizer, same: Mapping[str, Any]) -> dict[str, Any]:
    """Read a file that ``save`` wrote into the outer variables and the outer optimizer, and return its numbers.

    Args:
        path: the file.
        outer: outer variables, overwritten.
        optimizer: outer optimizer over them, with its settings as they are now.
        same: numbers that must be as they were.

    Raises:
        InvalidData: the file is damaged, or belongs to another problem.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("windtunnel", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as damage:
        raise InvalidData(f"checkpoint {path} is damaged: {damage}") from damage
    if header.get("format") != FORMAT:
        raise InvalidData(f"checkpoint {path} has format {header.get('format')!r}, this version reads {FORMAT}")
    for name, now in same.items():
        if header.get(name) != now:
            raise InvalidData(
                f"checkpoint {path} belongs to another problem: its {name} is {header.get(name)!r}, now {now!r}",
                "give another path, or remove the file",
            )
    state: dict[int, dict[str, Any]] = {int(row): dict(entries) for row, entries in header["state"].items()}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "optimizer":
            row, _, entry = rest.partition("/")
            state.setdefault(int(row), {})[entry] = tensor
    with torch.no_grad():
        for name, value in outer.items():
            value.copy_(tensors[f"outer/{name}"])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    found: dict[str, Any] = header
    return found
