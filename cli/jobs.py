"""`lineshaft jobs`: submit, list, show, watch, why, foresee, logs, tasks, cancel, retry."""

import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from api.client import ApiClient
from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one
from cli.proposing import carried_out, propose, result_of, step
from cli.waiting import foreseen, seconds_of, show_foreseen, show_why
from factory_infra.errors import InvalidInput

app = typer.Typer(help="Jobs: what runs and what ran.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
FOLLOW_SECONDS = 0.5
COLUMNS = ("id", "tenant", "pool", "name", "state", "percent", "stage", "waits_for", "project", "started_at", "finished_at")
TASK_COLUMNS = ("id", "state", "exit_code", "attempt", "nodes", "started_at", "finished_at")
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
FINAL = {"succeeded", "failed", "cancelled", "lost"}
INPUT_BYTES_MAX = 65_536


@app.command(context_settings={"allow_interspersed_args": False})
def submit(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    argv: Annotated[list[str], typer.Argument(help="The program and its arguments, after --. No shell reads them.")],
    pool: Annotated[str, typer.Option(help="Where; the first pool if left out.")] = "",
    lease: Annotated[str, typer.Option(help="A lease that is held; without it one is asked for, and released afterwards.")] = "",
    slots: Annotated[int, typer.Option(min=1, help="How many slots to lease.")] = 1,
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as H100.")] = "",
    name: Annotated[str, typer.Option(help="What people call it; the program's name if left out.")] = "",
    files: Annotated[list[Path] | None, typer.Option("--file", help="A text file for its folder; several times.")] = None,
    variables: Annotated[list[str] | None, typer.Option("--env", help="NAME=VALUE; several times. Not for secrets.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Start it once on so many nodes.")] = 1,
    array: Annotated[int, typer.Option(min=0, help="So many tasks of it.")] = 0,
    after: Annotated[list[str] | None, typer.Option(help="A job that must succeed before; several times.")] = None,
    attempts_max: Annotated[int, typer.Option("--attempts", min=1, max=20, help="Start it at most so often when it fails.")] = 1,
    seconds: Annotated[int, typer.Option(min=1, help="Its wall time.")] = 3600,
    memory_gib: Annotated[float, typer.Option("--memory-gib", min=0.01)] = 4.0,
    image: Annotated[str, typer.Option(help="The container image, where the pool runs containers.")] = "",
    queue: Annotated[str, typer.Option(help="A queue of the pool's engine.")] = "",
    wait: Annotated[str, typer.Option("--wait", help="Wait so long for slots that are not free: 10m, 2h, 1d.")] = "",
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher comes first, among those that wait.")] = 0,
    tenant: Team = None,
    project: Annotated[str, typer.Option(help="The team's project that it is charged to.")] = "",
    yes: Yes = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a program as a job: a plan that leases slots, runs it there and gives them back."""
    title = name or Path(argv[0]).name
    arguments: JsonObject = {
        "name": title,
        "argv": [*argv],
        "lease_id": lease or result_of("lease", "lease_id"),
        "inputs": inputs_of(files or []),
        "environment": pairs_of(variables or []),
        "nodes": nodes,
        "array": array,
        "after": [*(after or [])],
        "attempts_max": attempts_max,
        "seconds": seconds,
        "memory_gib": memory_gib,
        "image": image,
        "queue": queue,
    }
    job = step("job", "jobs.submit", f"run {title}", arguments)
    term = max(seconds * attempts_max + 600, 60)
    asked: JsonObject = {
        "slots": slots,
        "pool": pool,
        "accelerator": accelerator,
        "seconds": min(term, 604_800),
        "purpose": f"job {title}"[:200],
        "wait_seconds": seconds_of(wait) or None,
        "priority": priority or None,
        "expected_seconds": min(seconds, 604_800) if wait else None,
    }
    steps = [job] if lease else leased(job, slots, asked)
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Run {title}", steps, project), yes=yes, wait=not detach, as_json=as_json)


def leased(job: JsonObject, slots: int, asked: JsonObject) -> list[JsonObject]:
    """A job with a lease of its own around it: acquired before, released whatever comes."""
    release = step(
        "release", "leases.release", "give the slots back", {"lease_id": result_of("lease", "lease_id")}, after=("job",), always=True
    )
    return [step("lease", "leases.acquire", f"lease {slots} slots", asked), job, release]


def inputs_of(files: list[Path]) -> dict[str, JsonValue]:
    """Files by their names. Raises InvalidInput for one that cannot be read as text, or is too large."""
    found: dict[str, JsonValue] = {}
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} cannot be read as text.", remedy="Give a UTF-8 text file.") from error
        if len(text) > INPUT_BYTES_MAX:
            raise InvalidInput(f"{path} has more than {INPUT_BYTES_MAX} characters.", remedy="Put it where the pool's nodes find it.")
        found[path.name] = text
    return found


def pairs_of(given: list[str]) -> dict[str, JsonValue]:
    """Variables from NAME=VALUE. Raises InvalidInput."""
    pairs = [each.partition("=") for each in given]
    if any(not name or not equals for name, equals, _ in pairs):
        raise InvalidInput("A variable is NAME=VALUE.", remedy="Write --env EPOCHS=3.")
    return {name: value for name, _, value in pairs}


@app.command("list")
def list_jobs(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    pool: Annotated[str, typer.Option(help="Only those in this pool.")] = "",
    project: Annotated[str, typer.Option(help="Only those of this project.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List jobs, newest first, with why one waits."""
    with client_of(context) as client:
        rows = client.get_list("/v1/jobs", tenant=tenant, state=state, pool=pool, project=project, limit=limit, offset=offset)
    show([with_wait(row) for row in rows], COLUMNS, as_json=as_json, empty="No job yet.")


def with_wait(row: JsonObject) -> JsonObject:
    """A job with the reason of its waiting as one text."""
    waiting = row.get("waiting")
    return {**row, "waits_for": f"{waiting['reason']} {waiting['remedy']}".strip() if isinstance(waiting, dict) else ""}


@app.command()
def tasks(
    context: typer.Context, job_id: JobId, limit: Annotated[int, typer.Option(min=1, max=500)] = 100, offset: int = 0, as_json: Json = False
) -> None:
    """List the tasks of an array."""
    with client_of(context) as client:
        rows = client.get_list(f"/v1/jobs/{job_id}/tasks", limit=limit, offset=offset)
    show(rows, TASK_COLUMNS, as_json=as_json, empty="It is no array.")


@app.command()
def watch(context: typer.Context, job_id: JobId) -> None:
    """Follow a job's state and progress to its end; exit code 1 where it does not succeed."""
    told = ""
    with client_of(context) as client:
        while True:
            row = with_wait(client.get_object(f"/v1/jobs/{job_id}"))
            now = " ".join(str(row[name]) for name in ("state", "percent", "stage", "waits_for") if row.get(name) not in (None, ""))
            if now != told:
                out.print(now, markup=False)
                told = now
            if row["state"] in FINAL:
                raise typer.Exit(0 if row["state"] == "succeeded" else 1)
            time.sleep(FOLLOW_SECONDS)


@app.command()
def why(context: typer.Context, job_id: JobId, as_json: Json = False) -> None:
    """Tell why a job does not run yet, when it should, and what would let it begin sooner."""
    with client_of(context) as client:
        show_why(client.get_object(f"/v1/jobs/{job_id}/why"), as_json=as_json)


@app.command()
def foresee(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    slots: Annotated[int, typer.Option(min=1, help="How many slots it would lease.")] = 1,
    pool: Annotated[str, typer.Option(help="Where; the first pool if left out.")] = "",
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as H100.")] = "",
    seconds: Annotated[int, typer.Option(min=60, help="Its wall time.")] = 3600,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    tenant: Team = None,
    as_json: Json = False,
) -> None:
    """Tell what would become of a job if it were submitted now: will it run, when, for how much. Nothing is done."""
    wanted: JsonObject = {"slots": slots, "pool": pool, "accelerator": accelerator, "seconds": seconds}
    with client_of(context) as client:
        show_foreseen(foreseen(client, {**wanted, "priority": priority, "tenant": tenant}), as_json=as_json)


@app.command()
def retry(context: typer.Context, job_id: JobId, tenant: Team = None, yes: Yes = False, as_json: Json = False) -> None:
    """Start a job that ended without success again, from its last checkpoint."""
    wanted = step("retry", "jobs.retry", f"start {job_id} again", {"job_id": job_id})
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Retry {job_id}", [wanted]), yes=yes, wait=True, as_json=as_json)


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
