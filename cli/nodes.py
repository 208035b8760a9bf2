"""`lineshaft nodes`: list, show, drain, resume, and how reliable they are."""

import json
from typing import Annotated, Literal

import typer
from rich.markup import escape

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one
from cli.proposing import carried_out, propose, step

app = typer.Typer(help="Nodes: list, show, drain, resume.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Pool = Annotated[str, typer.Argument(help="The pool.")]
Name = Annotated[str, typer.Argument(help="The node.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
HealthName = Literal["healthy", "suspect", "draining", "repairing", "retired"]
COLUMNS = ("pool", "name", "health", "accelerator", "accelerators_ok", "accelerators", "driver", "heartbeat_at", "reason")
PLATFORM = "platform"


@app.command("list")
def list_nodes(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    pool: Annotated[str | None, typer.Option(help="Only this pool's.")] = None,
    health: Annotated[HealthName | None, typer.Option(help="Only those in this health.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many.")] = 0,
    as_json: Json = False,
) -> None:
    """List nodes. One that is not healthy is not handed out."""
    with client_of(context) as client:
        rows = client.get_list("/v1/nodes", pool=pool, health=health, limit=limit, offset=offset)
    show(rows, COLUMNS, as_json=as_json, empty="No node has reported: start 'lineshaft node-agent' on one.")


@app.command("show")
def show_node(context: typer.Context, pool: Pool, name: Name, as_json: Json = False) -> None:
    """Show a node with what happened to it, newest first."""
    with client_of(context) as client:
        told = client.get_object(f"/v1/nodes/{pool}/{name}")
    if as_json:
        out.print_json(json.dumps(told))
        return
    node = told["node"]
    if isinstance(node, dict):
        show_one({field: value for field, value in node.items() if field != "gauges"}, as_json=False)
    for title, columns in (
        ("incidents", ("opened_at", "closed_at", "code", "severity", "action", "plan_id", "reason")),
        ("events", ("at", "code", "recovered", "accelerator", "severity", "action", "words")),
        ("moves", ("at", "was", "now", "actor", "reason")),
    ):
        found = told[title]
        rows: list[JsonObject] = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        out.print(f"\n{escape(title)}")
        show(rows[:20], columns, as_json=False, empty="  none")


@app.command()
def drain(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pool: Pool,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take a node out of what is handed out: a plan of one step. What runs there goes on."""
    wanted = step("drain", "nodes.drain", f"drain node {name}", {"pool": pool, "name": name, "reason": reason})
    with client_of(context) as client:
        carried_out(client, propose(client, PLATFORM, f"Drain node {name}", [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def resume(context: typer.Context, pool: Pool, name: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Hand a node out again: a plan of one step."""
    wanted = step("resume", "nodes.resume", f"hand out node {name}", {"pool": pool, "name": name})
    with client_of(context) as client:
        carried_out(client, propose(client, PLATFORM, f"Hand out node {name}", [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def reliability(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    pool: Annotated[str | None, typer.Option(help="Only this pool's.")] = None,
    node: Annotated[str | None, typer.Option(help="Only this node of the pool.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Only the nodes of this cluster.")] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="That the truth lies between the bounds.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Mean time between failures and to repair, with bounds."""
    with client_of(context) as client:
        told = client.get_object("/v1/reliability", pool=pool, node=node, cluster=cluster, confidence=confidence)
    if as_json:
        out.print_json(json.dumps(told))
        return
    rows: list[JsonObject] = [
        {"what": title, **rate}
        for title, rate in (
            ("between failures of a node", told["node_mtbf"]),
            ("by accelerator", told["accelerator_mtbf"]),
            ("to repair", told["mttr"]),
        )
        if isinstance(rate, dict)
    ]
    out.print(escape(f"{told['subject']}: {told['nodes']} nodes, {told['accelerators']} accelerators"))
    show(rows, ("what", "hours", "hours_lower", "hours_upper", "events", "hours_watched", "note"), as_json=False, empty="")
