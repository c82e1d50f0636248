"""What a check of ``doctor`` finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "problem"]
    message: str
    remedy: str = ""
