"""Turns templates into pages: the Jinja environment, how numbers, times and sizes read, and the small lines of a list."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import windtunnel
from service.pages.assets import asset
from windtunnel.types import JobSpec, UnknownTask, is_dataset
from windtunnel.types.verdicts import estimate, number

TEMPLATES = Path(__file__).parent.parent / "templates"

WIDTH, HEIGHT, MARGIN = 96, 26, 3
"""Sizes of a sparkline, in pixels."""


def percent(share: float | None, places: int = 1) -> str:
    """A share in [0, 1] as a percentage."""
    return "–" if share is None else f"{100 * share:.{places}f} %"


def runs_of_target(share: float) -> str:
    """A cost in runs of the target: 3.4 % of a target run, 12.5 target runs."""
    if share < 1:
        return f"{percent(share)} of a target run"
    runs = number(share, 3)
    return f"{runs} target run" if runs == "1" else f"{runs} target runs"


def clock(moment: datetime | None) -> str:
    """A time to the second, UTC."""
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(moment: datetime) -> str:
    """Time since a moment, coarsely: 3 min ago."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def duration(seconds: float | None) -> str:
    """A time span: 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def roughly(seconds: float) -> str:
    """A time span as nobody would trust to the second: 40 s, 3 min, 2 h 10 min."""
    if seconds < 55:
        return f"{max(10, 10 * round(seconds / 10))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60 // 10 * 10} min"


def words(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def task_name(spec: JobSpec) -> str:
    """A job's task as people call it: a data set by the name that its owner gave it."""
    if not is_dataset(spec.task):
        return spec.task
    try:
        return spec.info.title
    except UnknownTask:  # its row is gone
        return spec.task


def unit(spec: JobSpec) -> str:
    """Unit of a job's losses, after a comma; empty where its data set is gone."""
    try:
        return f", {spec.info.unit}"
    except UnknownTask:
        return ""


def sparkline(values: Sequence[float]) -> str:
    """``points`` of an SVG polyline in a box of 96 by 26; empty for less than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    across, down = (WIDTH - 2 * MARGIN) / (len(values) - 1), HEIGHT - 2 * MARGIN
    return " ".join(
        f"{MARGIN + index * across:.1f},{MARGIN + down * (high - value) / span:.1f}" for index, value in enumerate(values)
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "runs_of_target": runs_of_target,
        "clock": clock,
        "ago": ago,
        "duration": duration,
        "roughly": roughly,
        "words": words,
        "task_name": task_name,
        "unit": unit,
    }
    environment.globals |= {"estimate": estimate, "asset": asset, "version": windtunnel.__version__}
    return environment


ENVIRONMENT = _environment()
"""Templates of the pages. Each is given ``root``, the path that its addresses begin with."""
