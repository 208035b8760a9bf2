"""`lineshaft plans`: list, show, approve, refuse, cancel."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.cards import print_plan
from cli.context import out
from cli.listing import show, show_one
from tools.plan import Plan

app = typer.Typer(help="Plans: what was proposed, decided and done.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlanId = Annotated[str, typer.Argument(help="The plan's id.")]
COLUMNS = ("id", "tenant", "state", "title", "decided_by", "created_at")


@app.command("list")
def list_plans(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    as_json: Json = False,
) -> None:
    """List plans, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/plans", tenant=tenant, state=state, limit=limit)
    for row in rows:
        document = row["document"]
        row["title"] = document["title"] if isinstance(document, dict) else ""
    show(rows, COLUMNS, as_json=as_json, empty="No plan yet.")


@app.command("show")
def show_plan(context: typer.Context, plan_id: PlanId, as_json: Json = False) -> None:
    """Show a plan's card and how it ended."""
    with client_of(context) as client:
        row = client.get_object(f"/v1/plans/{plan_id}")
    if as_json:
        show_one(row, as_json=True)
        return
    print_plan(out, Plan.model_validate(row["document"]))
    outcome = row["outcome"]
    ended = {name: value for name, value in outcome.items() if name != "results" and value} if isinstance(outcome, dict) else {}
    show_one({"state": row["state"], "digest": row["digest"], "decided_by": row["decided_by"], **ended}, as_json=False)


@app.command()
def approve(context: typer.Context, plan_id: PlanId, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Approve a plan, after showing it."""
    with client_of(context) as client:
        row = client.get_object(f"/v1/plans/{plan_id}")
        print_plan(out, Plan.model_validate(row["document"]))
        if not yes:
            typer.confirm("Approve exactly this plan?", abort=True)
        told = client.post(f"/v1/plans/{plan_id}/approve", {"digest": row["digest"]})
    out.print(f"plan {plan_id} is {told['state']}")


@app.command()
def refuse(context: typer.Context, plan_id: PlanId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Refuse a plan: nothing of it is done."""
    with client_of(context) as client:
        told = client.post(f"/v1/plans/{plan_id}/refuse", {"reason": reason})
    out.print(f"plan {plan_id} is {told['state']}")


@app.command()
def cancel(context: typer.Context, plan_id: PlanId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """End a plan: what runs is stopped, what was done is undone."""
    with client_of(context) as client:
        client.post(f"/v1/plans/{plan_id}/cancel", {"reason": reason})
    out.print(f"plan {plan_id} is being cancelled")
