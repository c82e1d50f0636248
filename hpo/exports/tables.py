"""What an exported file knows about each tensor, as source of Python dictionaries. No torch here."""

from collections.abc import Mapping
from pprint import pformat
from typing import Any

from windtunnel.types.plans import TensorRow, TransferPlan


def torch_decay(plan: TransferPlan, row: TensorRow) -> float:
    """The decay as torch and optax take it: they shrink by learning rate times decay.

    Independent decay shrinks by ``weight_decay`` times the schedule alone.
    """
    return row.weight_decay / row.learning_rate if plan.decay == "independent" else row.weight_decay


def drawn_std(row: TensorRow) -> float:
    """Standard deviation of the initial values; 0 where they are zeros and nothing is drawn."""
    return row.init_std if row.init == "normal" else 0.0


def constants(plan: TransferPlan) -> dict[str, float]:
    """Tensor -> what all its entries start at, where that is a constant other than 0."""
    return {row.name: row.init_value for row in plan.tensors if row.init == "constant"}


def multipliers(plan: TransferPlan) -> dict[str, float]:
    """Tensor -> forward multiplier, where it is not 1."""
    return {row.name: row.multiplier for row in plan.tensors if row.multiplier != 1}


def penalties(plan: TransferPlan) -> dict[str, float]:
    """Tensor -> lambda of its L2 penalty, where it has one."""
    return {row.name: row.l2 for row in plan.tensors if row.l2 > 0}


def dictionary(name: str, entries: Mapping[str, Any] | Mapping[int, Any]) -> str:
    """Source of a dictionary, one entry a line."""
    lines = [f"    {key!r}: {pformat(value, width=1000, sort_dicts=False)}," for key, value in entries.items()]
    return "\n".join([f"{name} = {{", *lines, "}"])
