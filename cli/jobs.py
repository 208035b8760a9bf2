"""`lineshaft jobs`: list, show, logs, cancel."""

import time
from typing import Annotated

import typer

from api.client import ApiClient
from cli.access import client_of
from cli.context import out
from cli.listing import show, show_one

app = typer.Typer(help="Jobs: what runs and what ran.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
FOLLOW_SECONDS = 0.5
COLUMNS = ("id", "tenant", "name", "state", "percent", "stage", "started_at", "finished_at")


@app.command("list")
def list_jobs(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with client_of(context) as client:
        show(client.get_list("/v1/jobs", tenant=tenant), COLUMNS, as_json=as_json, empty="No job yet.")


@app.command("show")
def show_job(context: typer.Context, job_id: JobId, as_json: Json = False) -> None:
    """Show a job."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/jobs/{job_id}"), as_json=as_json)


def page(client: ApiClient, job_id: str, offset: int) -> tuple[int, bool]:
    """Print the log from an offset; return where the next page begins, and whether the log is complete."""
    chunk = client.get_object(f"/v1/jobs/{job_id}/logs", offset=offset)
    out.print(str(chunk["text"]), end="", markup=False)
    return int(str(chunk["next_offset"])), bool(chunk["complete"])


@app.command()
def logs(
    context: typer.Context, job_id: JobId, follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False
) -> None:
    """Print a job's log."""
    with client_of(context) as client:
        offset, complete = page(client, job_id, 0)
        while True:
            before = offset
            offset, complete = page(client, job_id, offset)
            if offset == before and (complete or not follow):
                return
            if offset == before:
                time.sleep(FOLLOW_SECONDS)


@app.command()
def cancel(context: typer.Context, job_id: JobId) -> None:
    """End a job; its plan ends as cancelled and is undone."""
    with client_of(context) as client:
        told = client.post(f"/v1/jobs/{job_id}/cancel")
    out.print(f"job {job_id} is {told['state']}")
