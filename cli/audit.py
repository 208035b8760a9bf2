"""`lineshaft audit`: list, export and check the log of who changed what."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.listing import show, show_one

app = typer.Typer(help="The audit log: list, export, verify.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")]
Actor = Annotated[str | None, typer.Option(help="Only by who begins so.")]
Action = Annotated[str | None, typer.Option(help="Only actions that begin so, such as keys: or tool:.")]
Object = Annotated[str | None, typer.Option("--object", help="Only objects that begin so, such as team/vision.")]
After = Annotated[int, typer.Option(min=0, help="Only rows after this one.")]
COLUMNS = ("seq", "at", "tenant", "actor", "door", "action", "object", "outcome")


@app.command("list")
def list_audit(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    team: Team = None,
    actor: Actor = None,
    action: Action = None,
    thing: Object = None,
    after: After = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List who changed what, oldest first."""
    with client_of(context) as client:
        found = client.get_list("/v1/audit", tenant=team, actor=actor, action=action, object=thing, after=after, limit=limit)
    show(found, COLUMNS, as_json=as_json, empty="Nothing.")


@app.command()
def export(
    context: typer.Context,
    team: Team = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV that no spreadsheet calculates, in place of JSON lines.")] = False,
    after: After = 0,
) -> None:
    """Print every row with its digests: JSON lines, or CSV."""
    path = "/v1/audit.csv" if as_csv else "/v1/audit.jsonl"
    with client_of(context) as client:
        typer.echo(client.get_text(path, tenant=team, after=after), nl=False)


@app.command()
def verify(
    context: typer.Context,
    head: Annotated[str, typer.Option(help="What an earlier check printed as head: shows a log that was cut short since.")] = "",
    as_json: Json = False,
) -> None:
    """Compute every digest again; exit code 1 where the log was changed."""
    with client_of(context) as client:
        found = client.get_object("/v1/audit/verify", head=head)
    show_one(found, as_json=as_json)
    if not found.get("holds"):
        raise typer.Exit(1)
