"""The table of optimizers, from their entries in the code."""

import json

from windtunnel.types.optimizers import OPTIMIZERS, OptimizerInfo

HEAD = """\
| name | update | settings | decay | rate with the batch size | state | hypergradients | source |
|---|---|---|---|---|---|---|---|"""


def catalogue() -> str:
    """A row for every optimizer that ``optimizer.name`` may name."""
    return "\n".join([HEAD, *map(_row, OPTIMIZERS.values())])


def _row(info: OptimizerInfo) -> str:
    options = [f"`{name}`: {json.dumps(value)}" for name, value in info.options.items()]
    settings = ", ".join([*(f"`{name}`: {value:g}" for name, value in info.settings.items()), *options])
    cells = (
        f"`{info.name}`",
        f"{info.label}: {info.formula}",
        settings.replace("e-0", "e-") or "none",
        ", ".join(f"`{kind}`" for kind in info.decays),
        "no rule" if info.batch is None else f"lr {info.batch.formula}",
        f"{info.state} copies",
        f"none: {info.pathwise}" if info.pathwise else "yes",
        info.source,
    )
    return f"| {' | '.join(cells)} |"
