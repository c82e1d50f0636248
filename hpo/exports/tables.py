"""Writes the values of each tensor in an exported file, as source of Python dictionaries. No torch here."""

from collections.abc import Mapping
from pprint import pformat
from typing import Any

from windtunnel.types.plans import TensorRow, TransferPlan


def torch_decay(plan: TransferPlan, row: TensorRow) -> float:
    """The decay of a tensor as torch and optax take it: a step shrinks the tensor by learning rate times this decay.

    Independent decay shrinks by ``weight_decay`` times the schedule alone, so it is divided by the learning rate.
    """
    return row.weight_decay / row.learning_rate if plan.decay == "independent" else row.weight_decay


def drawn_std(row: TensorRow) -> float:
    """Standard deviation of the initial values; 0 if they are a constant and not drawn."""
    return row.init_std if row.init == "normal" else 0.0


def constants(plan: TransferPlan) -> dict[str, float]:
    """Tensor -> initial value of all its entries, for tensors that start at a constant other than 0."""
    return {row.name: row.init_value for row in plan.trained if row.init == "constant"}


def paddings(plan: TransferPlan) -> dict[str, int]:
    """Embedding -> row that starts at 0, for tables with a ``padding_idx``."""
    return {row.name: row.padding for row in plan.trained if row.padding is not None}


def multipliers(plan: TransferPlan) -> dict[str, float]:
    """Tensor -> forward multiplier, for multipliers other than 1."""
    return {row.name: row.multiplier for row in plan.trained if row.multiplier != 1}


def penalties(plan: TransferPlan) -> dict[str, float]:
    """Tensor -> lambda of its L2 penalty, for tensors that have one."""
    return {row.name: row.l2 for row in plan.trained if row.l2 > 0}


def dictionary(name: str, entries: Mapping[str, Any] | Mapping[int, Any]) -> str:
    """Source of a dictionary, one entry per line."""
    lines = [f"    {key!r}: {pformat(value, width=1000, sort_dicts=False)}," for key, value in entries.items()]
    return "\n".join([f"{name} = {{", *lines, "}"])
