"""``mcp``: a server of the Model Context Protocol on standard input and output, for agents."""

import typer

from windtunnel.cli.extras import need
from windtunnel.cli.options import Url
from windtunnel.client import AsyncClient


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mcp")(mcp)


def mcp(url: Url = None) -> None:
    """Let an agent use the server: tools to estimate, submit, watch, compare and plan, over standard input and output.

    The agent's program starts this command. The key comes from WINDTUNNEL_API_KEY. Nothing can be deleted by it.

    \b
    Examples:
      windtunnel mcp --url http://127.0.0.1:8000
    """
    need("mcp", "mcp")
    from windtunnel.agents import mcp_server

    mcp_server(AsyncClient(url)).run("stdio")
