"""Lists and calls what an MCP server offers with the official Python client, and prints what came as JSON.

usage: mcp_client.py auto|legacy|sse URL
       mcp_client.py auto|legacy COMMAND [ARG ...]
"""

import asyncio
import json
import sys

import mcp
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client


def target(mode, words):
    if mode == "sse":
        return sse_client(words[0])
    if words[0].startswith("http"):
        return words[0]
    return stdio_client(StdioServerParameters(command=words[0], args=words[1:]))


async def main(mode, words):
    progress = []

    async def on_progress(done, total, message):
        progress.append(message)

    async with mcp.Client(target(mode, words), mode="auto" if mode == "auto" else "legacy") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        read = await client.call_tool("read", {"path": "README.md"})
        wrong = await client.call_tool("read", {"path": "absent.txt"})
        denied = await client.call_tool("bash", {"command": "touch made"})
        prompts = (await client.list_prompts()).prompts
        review = await client.get_prompt("review", {})
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        readme = next(r.uri for r in resources if str(r.uri).endswith("/README.md"))
        content = (await client.read_resource(readme)).contents[0]
        print(
            json.dumps(
                {
                    "protocol": client.protocol_version,
                    "server": client.server_info.name,
                    "tools": sorted(tools),
                    "read_only": tools["read"].annotations.read_only_hint,
                    "read": read.content[0].text,
                    "wrong": [wrong.is_error, wrong.content[0].text],
                    "denied": [denied.is_error, denied.content[0].text],
                    "prompts": sorted(p.name for p in prompts),
                    "review": review.messages[0].content.text,
                    "templates": sorted(t.uri_template for t in templates),
                    "resource": content.text,
                }
            )
        )


asyncio.run(main(sys.argv[1], sys.argv[2:]))
