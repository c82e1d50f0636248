"""The outcome of one check of ``doctor``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, and its remedy."""

    name: str
    status: Literal["ok", "warn", "problem"]
    message: str
    remedy: str = ""
