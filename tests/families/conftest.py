"""Libraries that some tests compare with."""

from tests.mup.conftest import needs

__all__ = ["needs"]
