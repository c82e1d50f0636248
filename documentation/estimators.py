"""Generates the table of estimators from their entries in the code."""

from typing import get_args

from windtunnel.types import ESTIMATORS, HyperparameterName

HEAD = """\
| name | what it is | time | memory | bias | settings | cannot differentiate | source |
|---|---|---|---|---|---|---|---|"""


def catalogue() -> str:
    """Markdown table with a row for every estimator that ``method.estimator`` may name."""
    rows = [HEAD]
    for name, info in ESTIMATORS.items():
        able = {item for item in get_args(HyperparameterName) if info.can(item)}
        unable = set(get_args(HyperparameterName)) - able
        # Whichever list is the shorter one.
        said = _codes(sorted(unable)) if len(unable) <= len(able) else f"all but {_codes(sorted(able))}"
        cells = (
            f"`{name}`",
            info.title,
            info.time,
            info.memory,
            info.bias,
            _codes(info.settings) or "none",
            said or "nothing",
            info.source or "none",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _codes(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
