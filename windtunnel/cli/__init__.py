"""The command ``windtunnel``."""

from windtunnel.cli.app import main

__all__ = ["main"]
