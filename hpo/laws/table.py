"""Holds a table of runs as arrays, and derives columns from others: D = B S, C = 6 N D, S_min, C_min."""

from dataclasses import dataclass, field

import numpy as np

from hpo.laws.batches import critical_batches_of
from hpo.laws.forms import Array
from hpo.laws.published import CriticalBatch
from hpo.laws.refusals import LawRefused, check_warmup
from hpo.laws.repeating import repeated_tokens
from windtunnel.types.laws import LawColumns, LawName

LEAST_MODELS = 3
"""Model sizes beyond which the errors of critical batch sizes are told apart by model size."""


@dataclass
class RunTable:
    """Columns of runs by name, each [rows], and notes on how columns were derived."""

    columns: dict[str, Array]
    derived: list[str] = field(default_factory=list)

    def get(self, law: LawName, name: str) -> Array:
        """The column of this name, [rows].

        Raises:
            LawRefused: the table has no such column; ``law`` needs it.
        """
        if name not in self.columns:
            raise LawRefused(law, "missing_column", f"the table has no column {name}", f"add a column {name}")
        return self.columns[name]

    @property
    def has_batches(self) -> bool:
        """True if the table has the columns that critical batch sizes are fitted from."""
        return {"parameters", "batch_size", "steps", "loss"} <= set(self.columns)


def run_table(given: LawColumns, warmup_steps: int) -> RunTable:
    """Arrays of a table given as a wire type, with tokens and compute derived if they are missing."""
    columns = {name: np.array(values, dtype=np.float64) for name, values in given if values is not None and name != "run"}
    if given.run is not None:
        # By their names, so that 1 and "1" are one run.
        names = [str(label) for label in given.run]
        columns["run"] = np.unique(names, return_inverse=True)[1].astype(np.float64)
    table = RunTable(columns)
    if warmup_steps and "warmup_steps" not in columns and "steps" in columns:
        columns["warmup_steps"] = np.full(given.rows, float(warmup_steps))
    if "tokens" not in columns and {"batch_size", "steps"} <= set(columns):
        columns["tokens"] = columns["batch_size"] * columns["steps"]
        table.derived.append("tokens = batch_size * steps")
    if "compute" not in columns and {"parameters", "tokens"} <= set(columns):
        columns["compute"] = 6 * columns["parameters"] * columns["tokens"]
        table.derived.append("compute = 6 * parameters * tokens, without attention's context term")
    if {"tokens", "unique_tokens"} <= set(columns):
        # Compute was spent on every token, repeated or not: it is derived before.
        columns["tokens"], said = repeated_tokens(columns["tokens"], columns["unique_tokens"])
        table.derived += [said] if said else []
    return table


def critical_batches(table: RunTable) -> RunTable:
    """The losses and critical batch sizes of a table: as measured, or from runs at several batch sizes.

    Critical batch sizes of one model size come from the same runs, so that their errors are one draw.

    Raises:
        LawRefused: the table has neither.
    """
    law: LawName = "critical_batch"
    loss = table.get(law, "loss")
    check_warmup(law, table.columns.get("steps"), table.columns.get("warmup_steps"))
    if "critical_batch" in table.columns:
        names = ("loss", "critical_batch", "run")
        return RunTable({name: table.columns[name] for name in names if name in table.columns})
    if not table.has_batches:
        raise LawRefused(
            law,
            "missing_column",
            "the table has no column critical_batch",
            "add it, or parameters, batch_size and steps of runs at 3 batch sizes or more",
        )
    columns = table.columns
    found = critical_batches_of(columns["parameters"], columns["batch_size"], columns["steps"], loss)
    if not found:
        raise LawRefused(
            law,
            "one_batch_size",
            "no model size ran at 3 batch sizes that all went through one loss",
            "run one model size at 3 batch sizes or more and give several points of each curve",
        )
    note = f"critical batch sizes from {len(found)} losses that runs at several batch sizes went through"
    sizes, losses, critical = np.array(found).T
    made = RunTable({"loss": losses, "critical_batch": critical}, [note])
    models = len(np.unique(sizes))
    if models > LEAST_MODELS:
        made.columns["run"] = sizes
    else:
        made.derived.append(
            f"they come from runs of {models} model size{'s' if models > 1 else ''}, and their errors are taken as "
            f"independent: the intervals are too narrow; runs of more than {LEAST_MODELS} model sizes tell them apart"
        )
    return made


def with_minima(table: RunTable, law: CriticalBatch) -> None:
    """Add S_min = S / (1 + B_crit(L) / B) and C_min = C / (1 + B / B_crit(L)) (Kaplan et al., equations 5.4 and 5.5)."""
    columns = table.columns
    if not {"batch_size", "loss"} <= set(columns):
        return
    critical = law.tokens / columns["loss"] ** (1 / law.exponent)
    if "steps" in columns:
        columns["steps_min"] = columns["steps"] / (1 + critical / columns["batch_size"])
    if "compute" in columns:
        columns["compute_min"] = columns["compute"] / (1 + columns["batch_size"] / critical)
