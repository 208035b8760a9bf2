"""`lineshaft invoice`: what a team spent in a month."""

import json
from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show
from factory_infra.errors import InvalidInput

app = typer.Typer(help="What a team spent in a month, by project, key, model and day.")
SUMS = ("unit", "attempts", "quantity", "quantity_out", "amount")


@app.command()
def invoice(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    team: Annotated[str | None, typer.Option("--team", "--tenant", help="Of an administrator: which team's.")] = None,
    month: Annotated[str | None, typer.Option(help="Such as 2026-11; this month (UTC) if left out.")] = None,
    by: Annotated[str, typer.Option(help="Of project, key, agent, model and day, with commas.")] = "project,key,model,day",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print an invoice; its total is the ledger's, to the last digit."""
    if as_csv and as_json:
        raise InvalidInput("An invoice is printed as CSV or as JSON, not as both.", remedy="Leave one out.")
    with client_of(context) as client:
        if as_csv:
            typer.echo(client.get_text("/v1/invoices.csv", tenant=team, month=month, by=by), nl=False)
            return
        told = client.get_object("/v1/invoices", tenant=team, month=month, by=by)
    if as_json:
        out.print_json(json.dumps(told))
        return
    lines = told["lines"]
    rows: list[JsonObject] = (
        [{**line, "attempts": line.get("calls")} for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
    )
    show(rows, (*by.replace(" ", "").split(","), *SUMS), as_json=False, empty="Nothing was spent.")
    out.print(f"team {told['tenant']}, {told['since']} until before {told['until']}: {told['total']} {told['currency']}", markup=False)
