"""Lists and calls what an MCP server offers with fastmcp's client; answers its questions with yes; prints JSON.

usage: fastmcp_client.py URL
       fastmcp_client.py COMMAND [ARG ...]
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport


async def main(words):
    asked = []

    async def answer(message, response_type, params, context):
        asked.append(message)
        return response_type(**{name: "allow once" for name in response_type.__annotations__})

    target = words[0] if words[0].startswith("http") else StdioTransport(command=words[0], args=words[1:])
    async with Client(target, elicitation_handler=answer) as client:
        tools = await client.list_tools()
        ran = await client.call_tool("bash", {"command": "echo hello > made; cat made"})
        print(json.dumps({"tools": sorted(t.name for t in tools), "asked": asked, "ran": ran.content[0].text}))


asyncio.run(main(sys.argv[1:]))
