"""Role: what a parameter tensor is under muP."""

from typing import Literal

Role = Literal["input", "hidden", "output", "vector", "scalar"]
"""``input`` maps finitely many numbers to the width, ``hidden`` the width to the width, ``output`` the width to finitely
many numbers; a ``vector`` has one number a unit, a ``scalar`` does not grow."""
ROLES: tuple[Role, ...] = ("input", "hidden", "output", "vector", "scalar")
