"""Where the searched hyperparameters of a job start, by label: what can be said of them from the spec alone."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from windtunnel.types.base import misfit
from windtunnel.types.hyperparameters import SOURCED, HyperparameterName, Scope

LABELS = 10_000
"""Starts that a spec may give, at most."""


class Searched(Protocol):
    """An item of the search."""

    @property
    def name(self) -> HyperparameterName:
        """What is tuned."""

    @property
    def scope(self) -> Scope:
        """One value for all, or one for each of these."""

    @property
    def range(self) -> tuple[float, float]:
        """(low, high)."""


def check_initial(initial: Mapping[str, float], search: Sequence[Searched], keys: Mapping[str, Sequence[str]]) -> None:
    """Raise where a start is of nothing that is searched, or outside of its range.

    Which roles and tensors there are only the proxy knows: that is checked when the job is submitted.

    Args:
        initial: label -> value.
        search: what is tuned.
        keys: what may follow the name, for those names where the spec knows it: knots, sources, layers.
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
