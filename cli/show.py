"""`lineshaft show`: leases, endpoints, versions, catalog, cost, and whether the inventory equals the ledger."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.listing import show, show_one

app = typer.Typer(help="Look at what there is and what it cost.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")]


@app.command()
def slots(context: typer.Context, as_json: Json = False) -> None:
    """The slots of this installation."""
    with client_of(context) as client:
        pool = client.get_object("/v1/accelerators")
    rows = pool["slots"] if isinstance(pool["slots"], list) else []
    show([row for row in rows if isinstance(row, dict)], ("index", "kind", "name", "memory_gib"), as_json=as_json, empty="No slot.")


@app.command()
def leases(
    context: typer.Context, tenant: Team = None, ended: Annotated[bool, typer.Option(help="Ended ones too.")] = False, as_json: Json = False
) -> None:
    """Leases."""
    with client_of(context) as client:
        rows = client.get_list("/v1/leases", tenant=tenant, active=not ended)
    show(rows, ("id", "tenant", "slot_kind", "slots", "state", "purpose", "granted_at", "expires_at"), as_json=as_json, empty="No lease.")


@app.command()
def endpoints(context: typer.Context, tenant: Team = None, as_json: Json = False) -> None:
    """Live endpoints."""
    with client_of(context) as client:
        rows = client.get_list("/v1/endpoints", tenant=tenant)
    show(rows, ("tenant", "name", "model_name", "version", "previous_version", "url"), as_json=as_json, empty="No endpoint is live.")


@app.command()
def versions(context: typer.Context, tenant: Team = None, as_json: Json = False) -> None:
    """Model versions."""
    with client_of(context) as client:
        rows = client.get_list("/v1/registry/versions", tenant=tenant)
    show(rows, ("tenant", "model_name", "version", "dataset", "algorithm", "metrics", "created_at"), as_json=as_json, empty="No version.")


@app.command()
def catalog(
    context: typer.Context, query: Annotated[str, typer.Argument(help="What to look for.")], tenant: Team = None, as_json: Json = False
) -> None:
    """Search the catalog."""
    with client_of(context) as client:
        rows = client.get_list("/v1/catalog", q=query, tenant=tenant)
    show(rows, ("id", "kind", "name", "description"), as_json=as_json, empty="Nothing like it.")


@app.command()
def cost(
    context: typer.Context,
    tenant: Team = None,
    plan: Annotated[str | None, typer.Option(help="Only this plan's.")] = None,
    as_json: Json = False,
) -> None:
    """What was spent and is reserved."""
    with client_of(context) as client:
        show_one(client.get_object("/v1/cost", tenant=tenant, plan_id=plan), as_json=as_json)


@app.command()
def reconciliation(context: typer.Context, as_json: Json = False) -> None:
    """Whether the inventory equals the ledger."""
    with client_of(context) as client:
        show_one(client.get_object("/v1/reconciliation"), as_json=as_json)
