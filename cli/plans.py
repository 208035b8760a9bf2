"""`lineshaft plans`: list, show, approve, refuse, edit, hold, cancel, undo."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.cards import print_plan
from cli.context import out
from cli.listing import show, show_one
from factory_infra.errors import InvalidInput
from tools.drawing import diagram_of, text_of
from tools.plan import Plan

app = typer.Typer(help="Plans: what was proposed, decided and done.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlanId = Annotated[str, typer.Argument(help="The plan's id.")]
COLUMNS = ("id", "tenant", "project", "state", "title", "decided_by", "created_at")


@app.command("list")
def list_plans(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    project: Annotated[str, typer.Option(help="Only those of this project.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    as_json: Json = False,
) -> None:
    """List plans, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/plans", tenant=tenant, state=state, project=project, limit=limit)
    for row in rows:
        document = row["document"]
        row["title"] = document["title"] if isinstance(document, dict) else ""
    show(rows, COLUMNS, as_json=as_json, empty="No plan yet.")


@app.command("show")
def show_plan(
    context: typer.Context,
    plan_id: PlanId,
    as_text: Annotated[bool, typer.Option("--text", help="Print plain text.")] = False,
    diagram: Annotated[bool, typer.Option(help="Print a Mermaid flow chart.")] = False,
    as_json: Json = False,
) -> None:
    """Show a plan's card, who decided what, and how it ended."""
    with client_of(context) as client:
        row = client.get_object(f"/v1/plans/{plan_id}")
        approvals = client.get_list(f"/v1/plans/{plan_id}/approvals")
    if as_text or diagram:
        plan = Plan.model_validate(row["document"])
        typer.echo(text_of(plan) if as_text else diagram_of(plan))
        return
    if as_json:
        show_one(row, as_json=True)
        return
    print_plan(out, Plan.model_validate(row["document"]))
    outcome = row["outcome"]
    ended = {name: value for name, value in outcome.items() if name != "results" and value} if isinstance(outcome, dict) else {}
    show_one({"state": row["state"], "digest": row["digest"], "decided_by": row["decided_by"], **ended}, as_json=False)
    for each in approvals:
        word = "approved" if each["approve"] else "refused"
        out.print(f"  revision {each['revision']} {word} by {each['actor']} ({each['role']}) at {each['at']}", highlight=False)


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


@app.command()
def pause(context: typer.Context, plan_id: PlanId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Hold a plan that runs: the step at work ends, nothing more begins."""
    with client_of(context) as client:
        told = client.post(f"/v1/plans/{plan_id}/pause", {"reason": reason})
    out.print(f"plan {plan_id} is {told['state']}")


@app.command()
def resume(context: typer.Context, plan_id: PlanId) -> None:
    """Let a held plan go on."""
    with client_of(context) as client:
        told = client.post(f"/v1/plans/{plan_id}/resume")
    out.print(f"plan {plan_id} is {told['state']}")


@app.command()
def undo(context: typer.Context, plan_id: PlanId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Undo what stands of a plan that ended, newest first."""
    with client_of(context) as client:
        client.post(f"/v1/plans/{plan_id}/undo", {"reason": reason})
    out.print(f"plan {plan_id} is being undone")


@app.command()
def edit(  # noqa: PLR0913  (each is an option of the command)
    context: typer.Context,
    plan_id: PlanId,
    changes: Annotated[list[str] | None, typer.Option("--set", help="STEP.ARGUMENT=VALUE; may be given often.")] = None,
    drops: Annotated[list[str] | None, typer.Option("--drop", help="A step to leave out; may be given often.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON: the whole list of steps.", exists=True, dir_okay=False)] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Change a plan that is proposed or paused. The new revision is shown and needs its own approval."""
    with client_of(context) as client:
        digest = client.get_object(f"/v1/plans/{plan_id}/status")["digest"]
        plan = Plan.model_validate(client.get_object(f"/v1/plans/{plan_id}")["document"])
        steps: list[JsonValue] = [step.model_dump(mode="json") for step in plan.steps]
        if file is not None:
            steps = json.loads(file.read_text())
        known_steps(steps, [*(change.partition(".")[0] for change in changes or []), *(drops or [])])
        edited = [changed(step, changes or []) for step in steps if isinstance(step, dict) and step.get("id") not in (drops or [])]
        row = client.put(f"/v1/plans/{plan_id}", {"digest": digest, "steps": list(edited), "reason": reason})
    revision = Plan.model_validate(row["document"])
    print_plan(out, revision)
    out.print(f"revision {revision.revision} of plan {plan_id} needs an approval: lineshaft plans approve {plan_id}")


def known_steps(steps: list[JsonValue], names: list[str]) -> None:
    """Raise InvalidInput where a name is no step's: a slip of the pen would change nothing, unseen."""
    known = [str(step.get("id")) for step in steps if isinstance(step, dict)]
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"The plan has no step '{name}'.", remedy=f"Name one of: {', '.join(known)}. Write --set STEP.ARGUMENT=VALUE."
            )


def changed(step: dict[str, JsonValue], changes: list[str]) -> dict[str, JsonValue]:
    """The step with the arguments that were set; a value is read as JSON where it is JSON. Raises InvalidInput."""
    arguments = step["arguments"]
    kept = dict(arguments) if isinstance(arguments, dict) else {}
    for change in changes:
        target, equals, text = change.partition("=")
        name, dot, argument = target.partition(".")
        if not equals or not dot:
            raise InvalidInput(f"'{change}' is no change.", remedy="Write --set STEP.ARGUMENT=VALUE.")
        if name == step["id"]:
            try:
                kept[argument] = json.loads(text)
            except json.JSONDecodeError:
                kept[argument] = text
    return {**step, "arguments": kept}
