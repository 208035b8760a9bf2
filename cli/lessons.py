"""`lineshaft lessons`: rate, list, show, decide, remove."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import show, show_one

app = typer.Typer(help="Lessons: what the team's own runs taught.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LessonId = Annotated[str, typer.Argument(help="The lesson's id.")]
COLUMNS = ("id", "tenant", "kind", "state", "request", "playbook", "by", "reason")


class Thumb(StrEnum):
    """Which way a thumb points."""

    UP = "up"
    DOWN = "down"


@app.command("list")
def list_lessons(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_json: Json = False,
) -> None:
    """List lessons, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/lessons", tenant=tenant, state=state)
    show(rows, COLUMNS, as_json=as_json, empty="No lesson yet.")


@app.command("show")
def show_lesson(context: typer.Context, lesson_id: LessonId, as_json: Json = False) -> None:
    """Show a lesson with its evidence and its scores."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/lessons/{lesson_id}"), as_json=as_json)


@app.command()
def remove(context: typer.Context, lesson_id: LessonId) -> None:
    """Remove a lesson: the next turn is planned without it."""
    with client_of(context) as client:
        client.delete(f"/v1/lessons/{lesson_id}")
    out.print(f"lesson {lesson_id} is removed")


@app.command()
def decide(
    context: typer.Context,
    lesson_id: LessonId,
    promote: Annotated[bool, typer.Option("--promote/--drop", help="Which it is to be.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Promote or drop a lesson that waits for a person."""
    with client_of(context) as client:
        client.post(f"/v1/lessons/{lesson_id}/decide", {"promote": promote, "reason": reason})
    out.print(f"lesson {lesson_id} is to be {'promoted' if promote else 'dropped'}")


@app.command()
def rate(
    context: typer.Context,
    plan_id: Annotated[str, typer.Argument(help="The plan's id.")],
    thumb: Annotated[Thumb, typer.Argument(help="up or down.")],
    comment: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Say what you think of a plan that is over: what went well becomes a candidate."""
    with client_of(context) as client:
        client.post(f"/v1/plans/{plan_id}/rating", {"score": 1 if thumb is Thumb.UP else -1, "comment": comment})
    out.print(f"plan {plan_id} is rated {thumb.value}")
