"""A small MCP server of the kind that people write with fastmcp. usage: fastmcp_server.py stdio|http|sse [PORT]"""

import sys

from fastmcp import FastMCP
from mcp.types import ToolAnnotations

server = FastMCP("small")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def fail(reason: str) -> str:
    """Fails."""
    raise ValueError(reason)


@server.resource("notes://today")
def today() -> str:
    """What is noted for today."""
    return "Water the plants."


@server.prompt
def greet(name: str) -> str:
    """Greets somebody."""
    return f"Say hello to {name}."


transport = sys.argv[1]
if transport == "stdio":
    server.run(show_banner=False)
else:
    server.run(transport=transport, port=int(sys.argv[2]), show_banner=False)
