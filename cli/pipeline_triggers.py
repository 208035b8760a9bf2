"""What starts pipelines by itself: made, listed, removed; part of `lineshaft pipelines`."""

import json
from typing import Annotated

import typer
import yaml

from api.client import ApiClient
from cli.access import client_of
from cli.context import out
from cli.datasets import Json, Limit, Offset, Team, for_team
from cli.listing import JsonObject, show
from factory_infra.errors import NotFound

Pipeline = Annotated[str, typer.Argument(help="The pipeline.")]
Trigger = Annotated[str, typer.Argument(help="The trigger's name.")]
LINES = ("pipeline", "name", "kind", "id", "address", "actor", "created_at")
FIRED = ("at", "outcome", "run_id", "reason")


def list_triggers(context: typer.Context, pipeline: Pipeline, team: Team = None, as_json: Json = False) -> None:
    """List what starts a pipeline by itself."""
    with client_of(context) as client:
        rows = client.get_list(f"/v1/pipelines/{pipeline}/triggers", tenant=team)
    show(rows, LINES, as_json=as_json, empty="Nothing starts it by itself: lineshaft pipelines trigger")


def put(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pipeline: Pipeline,
    name: Trigger,
    cron: Annotated[str, typer.Option(help="By the clock: minute, hour, day of month, month, day of week.")] = "",
    every: Annotated[int, typer.Option(help="By the clock: every so many seconds.")] = 0,
    time_zone: Annotated[str, typer.Option(help="Of cron.")] = "UTC",
    data: Annotated[str, typer.Option(help="On each new version of this dataset.")] = "",
    drift: Annotated[str, typer.Option(help="On each alert of this monitor.")] = "",
    push: Annotated[bool, typer.Option("--push", help="On a signed push from GitHub, GitLab or anybody.")] = False,
    branch: Annotated[str, typer.Option(help="Of push: only to this branch.")] = "",
    given: Annotated[list[str] | None, typer.Option("--set", help="A parameter: NAME=VALUE; may be given again.")] = None,
    overlap: Annotated[bool, typer.Option("--overlap", help="Also while its last run is not over.")] = False,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Make a trigger, or change the one of this name. Of a push the address and the secret are shown, once."""
    chosen = [kind for kind, meant in (("schedule", cron or every), ("data", data), ("drift", drift), ("push", push)) if meant]
    if len(chosen) != 1:
        raise typer.BadParameter("give exactly one of --cron or --every, --data, --drift, --push")
    body: JsonObject = {"name": name, "kind": chosen[0], "dataset": data, "monitor": drift, "branch": branch}
    body |= {"overlap": "allow" if overlap else "skip", "parameters": parameters(given or [])}
    if chosen == ["schedule"]:
        body["schedule"] = {"cron": cron, "every_seconds": every, "time_zone": time_zone}
    with client_of(context) as client:
        made = client.post(for_team(f"/v1/pipelines/{pipeline}/triggers", team), body)
    if as_json:
        out.print_json(json.dumps(made))
        return
    out.print(f"{made['name']} ({made['kind']}) starts {pipeline}", markup=False)
    if made["secret"]:
        out.print(f"address {made['address']}\nsecret  {made['secret']}", markup=False)


def parameters(given: list[str]) -> JsonObject:
    """NAME=VALUE as values: numbers and flags are what YAML takes them for."""
    found: JsonObject = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each}: write NAME=VALUE")
        value = yaml.safe_load(text) if text else ""
        found[name] = value if isinstance(value, str | int | float | bool) else text
    return found


def found(client: ApiClient, pipeline: str, name: str, team: str | None) -> str:
    """The id of a trigger. Raises NotFound."""
    for each in client.get_list(f"/v1/pipelines/{pipeline}/triggers", tenant=team):
        if each["name"] == name:
            return str(each["id"])
    remedy = f"List them: lineshaft pipelines triggers {pipeline}"
    raise NotFound(f"Pipeline {pipeline} has no trigger {name}.", remedy=remedy, code="trigger_unknown")


def remove(context: typer.Context, pipeline: Pipeline, name: Trigger, team: Team = None) -> None:
    """Take a trigger out of use."""
    with client_of(context) as client:
        client.delete(f"/v1/pipeline-triggers/{found(client, pipeline, name, team)}")
    out.print(f"{name} starts nothing any more", markup=False)


def firings(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pipeline: Pipeline,
    name: Trigger,
    team: Team = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List when a trigger fired and what came of it."""
    with client_of(context) as client:
        path = f"/v1/pipeline-triggers/{found(client, pipeline, name, team)}/firings"
        rows = client.get_list(path, limit=limit, offset=offset)
    show(rows, FIRED, as_json=as_json, empty="It has not fired.")


def rotate(context: typer.Context, pipeline: Pipeline, name: Trigger, team: Team = None) -> None:
    """Make a push's secret anew; the old one is refused from now on."""
    with client_of(context) as client:
        made = client.post(f"/v1/pipeline-triggers/{found(client, pipeline, name, team)}/rotate")
    out.print(f"secret  {made['secret']}", markup=False)
