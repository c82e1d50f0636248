"""The MCP server, asked by the SDK's own client: in this process, and as the process that an agent's program starts."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

mcp = pytest.importorskip("mcp")

from windtunnel import AsyncClient, Job  # noqa: E402
from windtunnel.agents import mcp_server  # noqa: E402


def asking(url: str, talk: Callable[[Any], Awaitable[None]]) -> None:
    async def run() -> None:
        client = AsyncClient(url)
        async with mcp.Client(mcp_server(client)) as agent:
            await talk(agent)
        await client.close()

    asyncio.run(run())


async def told(agent: Any, tool: str, **arguments: Any) -> Any:
    """The answer of a tool, which must be no error."""
    answer = await agent.call_tool(tool, arguments)
    text = [part.text for part in answer.content]
    assert not answer.is_error, text
    return [json.loads(part) for part in text] if len(text) != 1 else _read(text[0])


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_an_agent_tunes_watches_and_plans(service: str, finished: Job, small: dict[str, Any]) -> None:
    async def talk(agent: Any) -> None:
        assert (await told(agent, "estimate_job", spec=small))["memory"]["fits"]
        made = await told(agent, "submit_job", spec=small, name="by an agent")
        there = await told(agent, "wait_for_job", job_id=made["id"][-6:], seconds=60)
        assert (there["state"], there["name"]) == ("succeeded", "by an agent")
        result = await told(agent, "job_result", job_id=made["id"])
        assert result["best"]["hyperparameters"] and result["verdict"]
        compared = await told(agent, "compare_jobs", job_ids=[made["id"], finished.id])
        assert [each["id"] for each in compared["jobs"]] == [made["id"], finished.id]
        plan = await told(agent, "make_plan", job_id=made["id"], width=64, force=True)
        assert plan["roles"] and plan["width"] == 64
        assert (await told(agent, "list_plans", job_id=made["id"]))["id"] == plan["id"]
        assert "class" in await told(agent, "export_plan", plan_id=plan["id"], format="torch")

    asking(service, talk)


def test_what_an_agent_gets_wrong_is_told_as_people_are_told(service: str) -> None:
    async def talk(agent: Any) -> None:
        wrong = await agent.call_tool("submit_job", {"spec": {"task": "digits", "model": {"widht": 3}}})
        assert wrong.is_error and "did you mean 'width'" in wrong.content[0].text
        absent = await agent.call_tool("get_job", {"job_id": "job_00000000000000000000000000"})
        assert absent.is_error and "no job" in absent.content[0].text

    asking(service, talk)


def test_tools_say_what_they_do_and_none_deletes(service: str) -> None:
    async def talk(agent: Any) -> None:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
        assert all(tool.description for tool in tools.values())
        assert [name for name, tool in tools.items() if tool.annotations.destructive_hint] == ["cancel_job"]
        assert not [name for name in tools if "delete" in name or "key" in name]
        schema = (await agent.read_resource("windtunnel://spec")).contents[0].text
        assert "learning_rate" in schema

    asking(service, talk)


def test_the_command_speaks_on_standard_input_and_output(service: str, finished: Job) -> None:
    async def run() -> None:
        command = mcp.StdioServerParameters(
            command=sys.executable, args=["-m", "windtunnel", "mcp", "--url", service], env=dict(os.environ)
        )
        async with mcp.Client(command) as agent:
            assert (await told(agent, "get_job", job_id=finished.id))["state"] == "succeeded"

    asyncio.run(run())
