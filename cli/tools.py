"""`lineshaft tools`: list, show and call tools; add, review and approve servers of others."""

import json
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one
from factory_infra.errors import InvalidInput

app = typer.Typer(help="Tools: list, show, call; and servers of other people's tools.", no_args_is_help=True)
servers = typer.Typer(help="Servers of other people's tools: pinned by a digest, approved by an administrator.", no_args_is_help=True)
app.add_typer(servers, name="servers")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The tool's name.")]
Server = Annotated[str, typer.Argument(help="The server's name.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="Of an administrator: for which team.")]
Effects = Annotated[list[str] | None, typer.Option("--effect", help="TOOL=read|write|costly|destructive; may be repeated.")]
COLUMNS = ("name", "effect", "role", "agents", "undo")
SERVER_COLUMNS = ("name", "tenant", "url", "state", "digest", "approved_by", "approved_at")


@app.command("list")
def list_tools(
    context: typer.Context,
    effect: Annotated[str | None, typer.Option(help="read, write, costly or destructive.")] = None,
    noun: Annotated[str | None, typer.Option(help="Only tools over this noun; mcp for those of others.")] = None,
    as_json: Json = False,
) -> None:
    """List tools."""
    with client_of(context) as client:
        show(client.get_list("/v1/tools", effect=effect, noun=noun, limit=500), COLUMNS, as_json=as_json, empty="No such tool.")


@app.command("show")
def show_tool(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a tool with its schemas."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/tools/{name}"), as_json=as_json)


@app.command()
def call(
    context: typer.Context,
    name: Name,
    arg: Annotated[list[str] | None, typer.Option("--arg", help="NAME=VALUE, the value as JSON or as plain text; may be repeated.")] = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Call a tool. An effect becomes a plan: approve it with 'lineshaft plans approve'."""
    arguments = dict(pair(each) for each in arg or [])
    with client_of(context) as client:
        told = client.post(f"/v1/tools/{name}/call", {"arguments": arguments, "tenant": team})
    show_one(told, as_json=as_json)


def pair(text: str) -> tuple[str, JsonValue]:
    """Split NAME=VALUE. Raises InvalidInput."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"'{text}' is not NAME=VALUE.", remedy="Write --arg slots=2.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def declared(effects: list[str] | None) -> JsonObject:
    """What the operator says of each tool."""
    return dict(pair(each) for each in effects or [])


@servers.command("list")
def list_servers(context: typer.Context, as_json: Json = False) -> None:
    """List servers."""
    with client_of(context) as client:
        show(client.get_list("/v1/tool-servers"), SERVER_COLUMNS, as_json=as_json, empty="No tool server yet.")


@servers.command()
def add(
    context: typer.Context,
    server: Server,
    url: Annotated[str, typer.Argument(help="https://HOST/PATH, or http:// on this machine.")],
    secret: Annotated[str, typer.Option(help="Name of the file with its key in the folder of secrets; begins with 'tool-'.")] = "",
    team: Team = None,
) -> None:
    """Add a server; nothing of it can be called before it is reviewed and approved."""
    with client_of(context) as client:
        told = client.post("/v1/tool-servers", {"name": server, "url": url, "secret": secret, "tenant": team})
    out.print(f"tool server {server} is {told['state']}: review it next")


@servers.command()
def review(context: typer.Context, server: Server, as_json: Json = False) -> None:
    """Read what a server offers now, with the digest that an approval names."""
    with client_of(context) as client:
        told = client.post(f"/v1/tool-servers/{server}/review")
    if as_json:
        show_one(told, as_json=True)
        return
    for tool in rows(told["described"]):
        out.print(f"{tool['name']}: {tool['description']}", markup=False)
        out.print(json.dumps(tool["arguments"]), markup=False)
    out.print(f"state   {told['state']}\ndigest  {told['digest']}", markup=False)


def rows(value: JsonValue) -> list[JsonObject]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


@servers.command()
def approve(
    context: typer.Context,
    server: Server,
    digest: Annotated[str, typer.Option(help="The digest that the review printed.")],
    effect: Effects = None,
) -> None:
    """Approve exactly the descriptions that were reviewed; a tool whose effect is not named is held for costly."""
    with client_of(context) as client:
        told = client.post(f"/v1/tool-servers/{server}/approve", {"digest": digest, "effects": declared(effect)})
    out.print(f"tool server {server} is {told['state']}")


@servers.command()
def remove(context: typer.Context, server: Server) -> None:
    """Switch a server off."""
    with client_of(context) as client:
        client.delete(f"/v1/tool-servers/{server}")
    out.print(f"tool server {server} is removed")
