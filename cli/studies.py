"""`lineshaft studies`: start, list, show, trials, wait, stop."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out
from cli.features import document
from cli.listing import JsonObject, show, show_one
from cli.proposing import carried_out, propose, result_of, step
from cli.waiting import seconds_of

app = typer.Typer(help="Studies: search the best parameters of a program by parallel trials.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyId = Annotated[str, typer.Argument(help="The study's id.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
COLUMNS = ("id", "name", "state", "best_value", "best_number", "code", "created_by", "created_at", "ended_at")
TRIAL_COLUMNS = ("number", "state", "value", "parameters", "steps", "job_id", "run_id", "code")
ENDED = {"finished", "stopped", "failed"}
LOOK_SECONDS = 0.5
LEASE_SECONDS_MAX = 604_800
SLACK_SECONDS = 300
"""So much longer than the study is the lease: jobs are ended, runs are written."""


@app.command()
def start(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The study, YAML or JSON: see docs/train.md.")],
    lease: Annotated[str, typer.Option(help="A lease that is held; without it one is asked for, and released afterwards.")] = "",
    slots: Annotated[int, typer.Option(min=0, help="How many slots to lease; as many as its trials take at one time if 0.")] = 0,
    pool: Annotated[str, typer.Option(help="Where; the first pool if left out.")] = "",
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as H100.")] = "",
    register: Annotated[str, typer.Option(help="Register the best trial's model under this name.")] = "",
    wait: Annotated[str, typer.Option("--wait", help="Wait so long for slots that are not free: 10m, 2h, 1d.")] = "",
    tenant: Team = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    as_json: Json = False,
) -> None:
    """Start a study: a plan that leases slots, searches on them, registers the best where that is asked for, and gives them back."""
    study = document(file)
    held: JsonValue = lease or result_of("lease", "lease_id")
    steps = [
        step("search", "studies.start", f"search {study.get('name')}", {"study": study, "lease_id": held}),
        step("end", "studies.wait", "wait for its end", {"study_id": result_of("search", "study_id")}, after=("search",)),
    ]
    if register:
        best: JsonObject = {"model_name": register, "run_id": result_of("end", "run_id")}
        steps.append(step("register", "registry.register", f"register the best as {register}", best, after=("end",)))
    if not lease:
        asked: JsonObject = {
            "slots": slots or wanted_slots(study),
            "pool": pool,
            "accelerator": accelerator,
            "wait_seconds": seconds_of(wait),
        }
        asked |= {"seconds": lease_seconds(study), "purpose": f"study {study.get('name')}"[:200]}
        release: JsonObject = {"lease_id": result_of("lease", "lease_id")}
        steps = [
            step("lease", "leases.acquire", "lease slots for its trials", asked),
            *steps,
            step("release", "leases.release", "give the slots back", release, after=(str(steps[-1]["id"]),), always=True),
        ]
    with client_of(context) as client:
        proposed = propose(client, tenant, f"Search {study.get('name')}", steps)
        carried_out(client, proposed, yes=yes, wait=not detach, as_json=as_json)


def wanted_slots(study: JsonObject) -> int:
    """As many slots as the trials take at one time."""
    return int(str(bounds_of(study).get("parallel", 2))) * int(str(study.get("slots_per_trial", 1)))


def lease_seconds(study: JsonObject) -> int:
    """As long as the study may last, and a little longer."""
    return min(int(str(bounds_of(study).get("seconds_max", 3600))) + SLACK_SECONDS, LEASE_SECONDS_MAX)


def bounds_of(study: JsonObject) -> JsonObject:
    """The study's bounds; what is no object is for the API to refuse."""
    found = study.get("bounds")
    return found if isinstance(found, dict) else {}


@app.command("list")
def list_studies(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    tenant: Team = None,
    name: Annotated[str | None, typer.Option(help="Only of this name.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List studies, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/studies", tenant=tenant, name=name, open_only=open_only, limit=limit, offset=offset)
    show(rows, COLUMNS, as_json=as_json, empty="No study yet: see docs/train.md.")


@app.command("show")
def show_study(context: typer.Context, study_id: StudyId, as_json: Json = False) -> None:
    """Show a study with its best trial and how many trials are in which state."""
    with client_of(context) as client:
        told = client.get_object(f"/v1/studies/{study_id}")
    if as_json:
        out.print_json(json.dumps(told))
        return
    study, best = told["study"], told["best"]
    facts: JsonObject = {key: value for key, value in study.items() if key != "spec"} if isinstance(study, dict) else {}
    found: JsonObject = {"best": best["parameters"], "best_run": best["run_id"]} if isinstance(best, dict) else {}
    show_one({**facts, "trials": told["trials"], "slot_hours": told["slot_hours"], **found}, as_json=False)


@app.command()
def trials(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    study_id: StudyId,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List a study's trials by number."""
    with client_of(context) as client:
        rows = client.get_list(f"/v1/studies/{study_id}/trials", state=state, limit=limit, offset=offset)
    if not as_json:
        rows = [{**row, "steps": len(row["reports"]) if isinstance(row["reports"], list) else 0} for row in rows]
    show(rows, TRIAL_COLUMNS, as_json=as_json, empty="No trial yet.")


@app.command("wait")
def wait_for(context: typer.Context, study_id: StudyId, as_json: Json = False) -> None:
    """Follow a study to its end; exit code 1 where it found nothing."""
    told = ""
    with client_of(context) as client:
        while True:
            report = client.get_object(f"/v1/studies/{study_id}")
            study = report["study"]
            facts: JsonObject = study if isinstance(study, dict) else {}
            now = f"{facts.get('state')} {report['trials']} best {facts.get('best_value')}"
            if now != told and not as_json:
                out.print(now, markup=False)
                told = now
            if facts.get("state") in ENDED:
                if as_json:
                    out.print_json(json.dumps(report))
                raise typer.Exit(0 if facts.get("best_value") is not None else 1)
            time.sleep(LOOK_SECONDS)


@app.command()
def stop(context: typer.Context, study_id: StudyId, reason: Annotated[str, typer.Option(help="Why.")] = "", as_json: Json = False) -> None:
    """End a study: its jobs are ended, what it found stays."""
    with client_of(context) as client:
        told = client.post(f"/v1/studies/{study_id}/stop", {"reason": reason})
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"study {told['id']} is {told['state']}", markup=False)
