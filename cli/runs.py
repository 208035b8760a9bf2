"""`lineshaft runs`: what is going on, how to end it, and the switch that stops every effect."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import show, show_one

app = typer.Typer(help="Runs: each request with all that came of it.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunId = Annotated[str, typer.Argument(help="The run's id.")]
COLUMNS = ("id", "tenant", "state", "actor", "title", "model_calls", "tokens", "steps_done", "started_at")


@app.command("list")
def list_runs(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state; 'open' for all that may still do something.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/runs", tenant=tenant, state=state, limit=limit)
    show(rows, COLUMNS, as_json=as_json, empty="No run yet.")


@app.command("show")
def show_run(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Show how far a run went, and where it stands."""
    with client_of(context) as client:
        row = client.get_object(f"/v1/runs/{run_id}")
    show_one(row, as_json=as_json)


@app.command()
def kill(context: typer.Context, run_id: RunId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """End a run: a turn that thinks stops, a plan is cancelled and undone."""
    with client_of(context) as client:
        client.post(f"/v1/runs/{run_id}/kill", {"reason": reason})
    out.print(f"run {run_id} is being ended")


@app.command("stop-effects")
def stop_effects(context: typer.Context, reason: Annotated[str, typer.Option(help="Why; everybody is told.")] = "") -> None:
    """Stop every effect of the installation; reads go on. What runs is ended, plans are held."""
    turn(context, stopped=True, reason=reason)


@app.command("start-effects")
def start_effects(context: typer.Context, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Let effects happen again; held plans go on."""
    turn(context, stopped=False, reason=reason)


def turn(context: typer.Context, *, stopped: bool, reason: str) -> None:
    """Turn the switch and say how it stands."""
    with client_of(context) as client:
        told = client.put("/v1/switch", {"stopped": stopped, "reason": reason})
    out.print("every effect is stopped" if told["stopped"] else "effects may happen")


@app.command()
def switch(context: typer.Context, as_json: Json = False) -> None:
    """Tell whether effects are stopped, by whom and why."""
    with client_of(context) as client:
        row = client.get_object("/v1/switch")
    show_one(row, as_json=as_json)
