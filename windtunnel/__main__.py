"""``python -m windtunnel`` is the command ``windtunnel``."""

from windtunnel.cli import main

main()
