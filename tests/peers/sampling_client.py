"""Lends a model to an MCP server's agent with the official Python client, and prints JSON. The model asks for a tool
where it may, and answers with what the tool gave.

usage: sampling_client.py tools|plain URL
       sampling_client.py tools|plain COMMAND [ARG ...]
"""

import asyncio
import json
import sys

import mcp
from mcp import types
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main(kind, words):
    asked = []

    async def sample(context, params):
        asked.append(params.model_dump(mode="json", by_alias=True, exclude_none=True))
        answer = {"role": "assistant", "model": "lent"}
        last = params.messages[-1].content
        blocks = last if isinstance(last, list) else [last]
        given = [b for b in blocks if b.type == "tool_result"]
        if params.tools and not given:
            call = types.ToolUseContent(type="tool_use", id="c1", name="read", input={"path": "README.md"})
            return types.CreateMessageResultWithTools(**answer, content=[call], stop_reason="toolUse")
        said = given[0].content[0].text if given else blocks[0].text
        text = types.TextContent(type="text", text=f"I saw: {said}")
        return types.CreateMessageResult(**answer, content=text, stop_reason="endTurn")

    tools = types.SamplingCapability(tools=types.SamplingToolsCapability()) if kind == "tools" else None
    target = words[0] if words[0].startswith("http") else stdio_client(
        StdioServerParameters(command=words[0], args=words[1:])
    )
    client = mcp.Client(target, mode="legacy", sampling_callback=sample, sampling_capabilities=tools)
    async with client:
        ran = await client.call_tool("run_agent", {"task": "What does README.md say?"})
        print(json.dumps({"asked": asked, "error": ran.is_error, "report": ran.structured_content}))


asyncio.run(main(sys.argv[1], sys.argv[2:]))
