"""`lineshaft mcp`: the MCP server over stdin and stdout, for a client on this machine. It asks the API under your key."""

import asyncio

import httpx
import typer
from mcp.server.stdio import stdio_server

from api.mcp.door import Door
from api.mcp.server import build_server
from cli.access import access
from cli.context import settings_of

app = typer.Typer(help="Serve MCP over stdin and stdout for a client on this machine.")
SECONDS_MAX = 60.0


async def serve(url: str, key: str) -> None:
    """Serve one client until it closes its end."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS_MAX, trust_env=False) as http:
        server = build_server(Door(http, lambda context: f"Bearer {key}"))
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())


@app.command()
def mcp(context: typer.Context) -> None:
    """Serve MCP over stdin and stdout; the rules are those of the key, as everywhere."""
    asyncio.run(serve(*access(settings_of(context))))
