"""`lineshaft quotas`: what teams may hold in one pool, or of one accelerator in it."""

from typing import Annotated
from urllib.parse import urlencode

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import show, show_one
from cli.organisations import Json, Limit, Offset, Team, TeamName

app = typer.Typer(help="Quotas by pool, beside a team's quota over all pools: set, list, remove.", no_args_is_help=True)
Pool = Annotated[str, typer.Argument(help="The pool.")]
Accelerator = Annotated[str, typer.Option(help="Only slots with this model.")]


@app.command("list")
def list_quotas(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List quotas by pool, with what is held of each."""
    with client_of(context) as client:
        found = client.get_list("/v1/quotas", tenant=team, limit=limit, offset=offset)
    show(found, ("tenant", "pool", "accelerator", "slots_max", "slots_held", "note"), as_json=as_json, empty="No quota by pool.")


@app.command("set")
def set_quota(  # noqa: PLR0913 - each is a part of the quota's name
    context: typer.Context,
    team: TeamName,
    pool: Pool,
    slots: Annotated[int, typer.Argument(min=0, help="So many slots at one time.")],
    accelerator: Accelerator = "",
    as_json: Json = False,
) -> None:
    """Bound what a team may hold in a pool; what is held stays until it ends."""
    with client_of(context) as client:
        show_one(client.put("/v1/quotas", {"tenant": team, "pool": pool, "accelerator": accelerator, "slots_max": slots}), as_json=as_json)


@app.command()
def remove(context: typer.Context, team: TeamName, pool: Pool, accelerator: Accelerator = "") -> None:
    """Remove a quota: the team's quota over all pools is what binds then."""
    with client_of(context) as client:
        client.delete(f"/v1/quotas?{urlencode({'tenant': team, 'pool': pool, 'accelerator': accelerator})}")
    out.print(f"team {team} has no quota of its own in pool {pool}")
