"""Checks of the starts that a job gives for its searched hyperparameters, by label, as far as the spec alone can tell."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from windtunnel.types.base import misfit
from windtunnel.types.hyperparameters import SOURCED, HyperparameterName, Scope

LABELS = 10_000
"""Largest number of starts that a spec may give."""


class Searched(Protocol):
    """An item of the search."""

    @property
    def name(self) -> HyperparameterName:
        """Name of the hyperparameter that is tuned."""

    @property
    def scope(self) -> Scope:
        """Whether it has one value (``global``) or one for each role, tensor or layer."""

    @property
    def range(self) -> tuple[float, float]:
        """(low, high) of the search."""


def check_initial(initial: Mapping[str, float], search: Sequence[Searched], keys: Mapping[str, Sequence[str]]) -> None:
    """Refuse a start of a hyperparameter that is not searched, or outside of its range.

    The roles and tensors in a label are checked when the job is submitted: only the proxy has them.

    Args:
        initial: label -> value.
        search: the items of the search.
        keys: name -> keys that may follow it in a label, for the names whose keys the spec knows: knots, sources, layers.
    """
    if len(initial) > LABELS:
        raise misfit("/initial", f"initial has {len(initial):,} starts; allowed: at most {LABELS:,}", None)
    items = {item.name: item for item in search}
    for label, value in initial.items():
        name, _, key = label.partition(".")
        path = f"/initial/{label}"
        item = items.get(name)  # type: ignore[call-overload]
        if item is None:
            raise misfit(path, f"{label!r} starts what is not searched; searched: {', '.join(items)}", value)
        kind = SOURCED.get(item.name) or (None if item.scope == "global" else item.scope)
        if kind is None and key:
            raise misfit(path, f"{name} is searched with scope 'global': its only label is {name!r}, not {label!r}", value)
        if kind is not None and not key:
            raise misfit(path, f"{name} has a value for each {kind}; name one of them, as in '{name}.KEY'", value)
        known = keys.get(name)
        if key and known is not None and key not in known:
            raise misfit(path, f"{name} has no {kind} {key!r}; allowed: {', '.join(known)}", value)
        low, high = item.range
        if not low <= value <= high:
            raise misfit(path, f"the start {value:g} of {label} is outside its search range {low:g} to {high:g}", value)
