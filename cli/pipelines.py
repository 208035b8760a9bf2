"""`lineshaft pipelines`: apply, run, watch, decide, and what starts them by itself."""

import json
import time
import uuid
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from api.client import ApiClient
from cli import pipeline_triggers
from cli.access import client_of
from cli.context import out
from cli.datasets import Json, Limit, Offset, Team, for_team
from cli.listing import JsonObject, show, show_one
from cli.pipeline_files import sent_file

app = typer.Typer(help="Pipelines: steps as jobs, known by content, gated, started by themselves.", no_args_is_help=True)
app.command("triggers")(pipeline_triggers.list_triggers)
app.command("trigger")(pipeline_triggers.put)
app.command("untrigger")(pipeline_triggers.remove)
app.command("firings")(pipeline_triggers.firings)
app.command("rotate")(pipeline_triggers.rotate)
Name = Annotated[str, typer.Argument(help="The pipeline.")]
RunId = Annotated[str, typer.Argument(help="The run.")]
File = Annotated[Path, typer.Argument(help="YAML, or Python that builds one.")]
Version = Annotated[int | None, typer.Option(min=1, help="The newest one if left out.")]
LINES = ("tenant", "name", "version", "steps", "description", "created_by", "created_at")
RUNS = ("id", "tenant", "pipeline", "version", "state", "trigger", "actor", "asked_at", "reason")
STEPS = ("step", "kind", "state", "attempt", "job_id", "cached_from", "reason")
OVER = {"done", "gated", "failed", "cancelled", "refused", "expired"}
LOOK_SECONDS = 0.5
WAIT_SECONDS_MAX = 7 * 86_400.0


@app.command()
def check(context: typer.Context, file: File, as_json: Json = False) -> None:
    """Say whether a file is a pipeline; what is wrong is told with file, line and remedy."""
    with client_of(context) as client:
        found = client.post("/v1/pipelines/check", sent_file(file))
    if as_json:
        out.print_json(json.dumps(found))
    else:
        steps = found["steps"]
        out.print(f"{found['pipeline']}: {', '.join(map(str, steps)) if isinstance(steps, list) else ''}", markup=False)


@app.command()
def apply(
    context: typer.Context,
    file: File,
    made_from: Annotated[
        int | None, typer.Option(min=0, help="The version that you changed: refused where another came meanwhile.")
    ] = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Keep a pipeline; another text under the same name is its next version."""
    with client_of(context) as client:
        made = client.post(for_team("/v1/pipelines", team), {**sent_file(file), "made_from": made_from})
    if as_json:
        out.print_json(json.dumps(made))
    else:
        out.print(f"{made['name']} version {made['version']} of team {made['tenant']}", markup=False)


@app.command("list")
def list_pipelines(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List pipelines in use."""
    with client_of(context) as client:
        rows = client.get_list("/v1/pipelines", tenant=team, limit=limit, offset=offset)
    show(rows, LINES, as_json=as_json, empty="There is no pipeline: lineshaft pipelines apply FILE")


@app.command("show")
def show_pipeline(context: typer.Context, name: Name, version: Version = None, team: Team = None, as_json: Json = False) -> None:
    """Show a version with its text."""
    with client_of(context) as client:
        found = client.get_object(f"/v1/pipelines/{name}", version=version, tenant=team)
    if as_json:
        out.print_json(json.dumps(found))
        return
    text = found.pop("text")
    show_one({key: value for key, value in found.items() if key not in {"document", "lines"}}, as_json=False)
    out.print("")
    out.print(str(text), markup=False, highlight=False)


@app.command()
def retire(context: typer.Context, name: Name, team: Team = None) -> None:
    """Take a pipeline out of use; its runs stay."""
    with client_of(context) as client:
        client.delete(for_team(f"/v1/pipelines/{name}", team))
    out.print(f"{name} starts no more", markup=False)


@app.command()
def trust(
    context: typer.Context,
    name: Name,
    days: Annotated[int, typer.Option(min=0, max=365, help="0 takes the word back.")] = 30,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Approve the runs of exactly the newest version for so many days; what starts it by itself then waits for nobody."""
    with client_of(context) as client:
        found = client.get_object(f"/v1/pipelines/{name}", tenant=team)
        made = client.post(for_team(f"/v1/pipelines/{name}/approve", team), {"digest": found["digest"], "days": days})
    if as_json:
        out.print_json(json.dumps(made))
    else:
        out.print(f"{name} version {made['version']}: runs need no other word of yours for {days} days", markup=False)


@app.command()
def run(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    given: Annotated[list[str] | None, typer.Option("--set", help="A parameter: NAME=VALUE; may be given again.")] = None,
    version: Version = None,
    anew: Annotated[bool, typer.Option("--no-cache", help="Do everything anew.")] = False,
    key: Annotated[str, typer.Option(help="The same key is the same run.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Approve the run, where policy asks for it; its gates still ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch it to its end.")] = True,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline; exit code 1 where it does not end well, 2 where it waits for people."""
    body: JsonObject = {
        "parameters": pipeline_triggers.parameters(given or []),
        "version": version,
        "key": key or uuid.uuid4().hex,
        "cache": not anew,
    }
    with client_of(context) as client:
        asked = client.post(for_team(f"/v1/pipelines/{name}/runs", team), body)
        followed(client, str(asked["id"]), yes=yes, wait=wait, as_json=as_json)


def followed(client: ApiClient, run_id: str, *, yes: bool, wait: bool, as_json: bool) -> None:
    """Show what a run asks, have it decided, and watch it as far as it goes by itself."""
    told: dict[str, JsonValue] = {}
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    decided = False
    while True:
        found = client.get_object(f"/v1/pipeline-runs/{run_id}")
        state = str(found["state"])
        if not as_json:
            tell(found, told)
        if state == "proposed" and not decided:
            if not yes and (as_json or not typer.confirm(f"Approve exactly this run ({digest_of(found)[:12]})?")):
                ended(found, 2, as_json=as_json)
            client.post(f"/v1/pipeline-runs/{run_id}/approve", {"digest": digest_of(found)})
            decided = True
        if state in OVER:
            ended(found, 0 if state == "done" else 1, as_json=as_json)
        if state == "waiting" or not wait or time.monotonic() > deadline:
            ended(found, 2 if state == "waiting" else 0, as_json=as_json)
        time.sleep(LOOK_SECONDS)


def digest_of(found: JsonObject) -> str:
    """What an approval must name now: of the run, or of the first gate that asks."""
    steps = found.get("steps")
    rows = [each for each in steps if isinstance(each, dict) and each.get("state") == "asking"] if isinstance(steps, list) else []
    cards = [found.get("card"), *(each.get("card") for each in rows)]
    return next((str(card["digest"]) for card in cards if isinstance(card, dict) and "digest" in card), "")


def tell(found: JsonObject, told: dict[str, JsonValue]) -> None:
    """Print what is new."""
    if told.get("") != found["state"]:
        told[""] = found["state"]
        out.print(f"{found['id']} {found['state']} {found['reason']}".strip(), markup=False)
    steps = found.get("steps")
    for each in steps if isinstance(steps, list) else []:
        if isinstance(each, dict) and each["state"] != "waiting" and told.get(str(each["step"])) != each["state"]:
            told[str(each["step"])] = each["state"]
            out.print(f"  {each['step']}: {each['state']} {each['reason']}".rstrip(), markup=False)


def ended(found: JsonObject, code: int, *, as_json: bool) -> None:
    """Print the run where a program asked, and leave."""
    if as_json:
        out.print_json(json.dumps(found))
    elif found["remedy"]:
        out.print(f"remedy: {found['remedy']}", markup=False)
    raise typer.Exit(code)


@app.command()
def runs(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    pipeline: Annotated[str | None, typer.Option(help="Of this one.")] = None,
    state: Annotated[str | None, typer.Option(help="In this state; 'open' for all that are not over.")] = None,
    team: Team = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/pipeline-runs", tenant=team, pipeline=pipeline, state=state, limit=limit, offset=offset)
    show(rows, RUNS, as_json=as_json, empty="There is no run: lineshaft pipelines run NAME")


@app.command("show-run")
def show_run(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Show a run with its steps."""
    with client_of(context) as client:
        found = client.get_object(f"/v1/pipeline-runs/{run_id}")
    if as_json:
        out.print_json(json.dumps(found))
        return
    steps = found.pop("steps")
    asks = digest_of({**found, "steps": steps})
    found.pop("card")
    show_one({**found, "asks": asks} if asks else found, as_json=False)
    out.print("")
    show([each for each in steps if isinstance(each, dict)] if isinstance(steps, list) else [], STEPS, as_json=False, empty="")


@app.command()
def output(
    context: typer.Context,
    run_id: RunId,
    step: Annotated[str, typer.Argument(help="The step.")],
    file: Annotated[str, typer.Argument(help="The file that it left.")],
) -> None:
    """Print a file that a step left."""
    with client_of(context) as client:
        typer.echo(client.get_text(f"/v1/pipeline-runs/{run_id}/steps/{step}/files/{file}"), nl=False)


@app.command()
def approve(
    context: typer.Context,
    run_id: RunId,
    digest: Annotated[str, typer.Option(help="What exactly; what it asks now if left out, after a look.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without a question.")] = False,
) -> None:
    """Approve what a run asks now: itself, or a gate."""
    with client_of(context) as client:
        found = client.get_object(f"/v1/pipeline-runs/{run_id}")
        named = digest or digest_of(found)
        if not digest and not yes:
            tell(found, {})
            if not typer.confirm(f"Approve exactly {named[:12] or 'nothing'}?"):
                raise typer.Exit(1)
        told = client.post(f"/v1/pipeline-runs/{run_id}/approve", {"digest": named})
    out.print(f"{run_id} is {told['state']}", markup=False)


@app.command()
def refuse(context: typer.Context, run_id: RunId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Refuse what a run asks now."""
    with client_of(context) as client:
        told = client.post(f"/v1/pipeline-runs/{run_id}/refuse", {"reason": reason})
    out.print(f"{run_id} is {told['state']}", markup=False)


@app.command()
def cancel(context: typer.Context, run_id: RunId, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """End a run: its jobs are ended, and what its tools did is undone."""
    with client_of(context) as client:
        client.post(f"/v1/pipeline-runs/{run_id}/cancel", {"reason": reason})
    out.print(f"{run_id} is being ended", markup=False)


@app.command()
def rerun(
    context: typer.Context,
    run_id: RunId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Approve the run, where policy asks for it.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch it to its end.")] = True,
    as_json: Json = False,
) -> None:
    """Run the same once more: it goes on where that one stopped, for what is done is known."""
    with client_of(context) as client:
        asked = client.post(f"/v1/pipeline-runs/{run_id}/rerun")
        followed(client, str(asked["id"]), yes=yes, wait=wait, as_json=as_json)
