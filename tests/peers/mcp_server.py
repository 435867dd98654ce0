"""An MCP server of our own, written with the official SDK, that behaves as its plan says: `mcp_server.py PLAN [PORT]`.

PLAN is a JSON file that is read at the start and again for each list: `tools` (name -> description), `schema` of each,
`start` (hang, die, flood), `pages` without end. Calls: `add`, `echo`, and what misbehaves: `hang`, `die`, `flood`, `fail`,
`change` (writes `next` over the plan and says that the list has changed). What it was asked to do is noted, a line each,
in PLAN.log.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

PLAN = Path(sys.argv[1])
OUT = os.dup(1)  # the library gives the real one to itself
ANY = {"type": "object"}
ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "description": "The other."}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


def plan() -> dict[str, Any]:
    return json.loads(PLAN.read_text("utf-8"))


def note(line: str) -> None:
    with PLAN.with_suffix(".log").open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


async def list_tools(
    ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    said = plan()
    schemas = said.get("schema", {})
    tools = [
        types.Tool(
            name=name,
            description=description,
            input_schema=schemas.get(name, ADD if name == "add" else ANY),
            annotations=types.ToolAnnotations(read_only_hint=True, destructive_hint=False),
        )
        for name, description in said.get("tools", {"add": "Add two numbers."}).items()
    ]
    return types.ListToolsResult(tools=tools, next_cursor="more" if said.get("pages") else None)


async def call_tool(
    ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
) -> types.CallToolResult:
    args = params.arguments or {}
    note(f"{params.name} {json.dumps(args, sort_keys=True)}")
    match params.name:
        case "add":
            value = args["a"] + args["b"]
            return types.CallToolResult(
                content=[types.TextContent(type="text", text=str(value))],
                structured_content={"sum": value},
            )
        case "hang":
            await asyncio.sleep(3600)
        case "die":
            os._exit(3)
        case "flood":
            flood(OUT)
        case "shout":
            flood(2)
        case "fail":
            return types.CallToolResult(
                content=[types.TextContent(type="text", text="It cannot be done.")], is_error=True
            )
        case "environment":
            text = json.dumps(dict(os.environ))
            return types.CallToolResult(content=[types.TextContent(type="text", text=text)])
        case "change":
            PLAN.write_text(json.dumps(plan()["next"]), "utf-8")
            await ctx.session.send_tool_list_changed()
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=json.dumps(args, sort_keys=True))]
    )


def flood(where: int) -> None:
    line = json.dumps(
        {
            "jsonrpc": "2.0",
            "method": "notifications/message",
            "params": {"level": "info", "data": "x" * 900},
        }
    )
    while True:
        os.write(where, f"{line}\n".encode())


async def over_pipes(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    start = plan().get("start")
    note(f"start {os.getpid()}")
    if start == "hang":
        time.sleep(3600)
    if start == "die":
        print("no such key: LICENCE", file=sys.stderr)
        sys.exit(3)
    if start == "flood":
        flood(OUT)
    server: Server[Any] = Server("ours", on_list_tools=list_tools, on_call_tool=call_tool)
    if len(sys.argv) > 2:
        import uvicorn

        app = server.streamable_http_app()
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
    else:
        asyncio.run(over_pipes(server))


if __name__ == "__main__":
    main()
