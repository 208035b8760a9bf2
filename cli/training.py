"""`lineshaft training`: runs, their comparison, blueprints, environments."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out, settings_of
from cli.features import document
from cli.listing import JsonObject, show, show_one
from cli.proposing import carried_out, propose, result_of, step
from cli.waiting import seconds_of
from factory_infra.errors import InvalidInput
from factory_infra.paas.training.environments.service import Environments

app = typer.Typer(help="Training: runs and their comparison, blueprints, environments.", no_args_is_help=True)
environments = typer.Typer(help="Training environments of this host: packages beside the installation's own.", no_args_is_help=True)
app.add_typer(environments, name="environments")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
RUNS = ("run_id", "experiment", "name", "status", "metrics", "seconds")
BLUEPRINTS = ("name", "environment", "nodes_max", "description")
ENVIRONMENTS = ("name", "digest", "installed", "bytes", "requirements", "path")
SHOWN_METRICS = 4
LEASE_SECONDS_MAX = 604_800


@app.command()
def runs(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    experiment: Annotated[str | None, typer.Option(help="Of one model or study, by its name.")] = None,
    study: Annotated[str | None, typer.Option(help="Of one study, by its id.")] = None,
    tenant: Team = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List training runs, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/training/runs", experiment=experiment, study_id=study, tenant=tenant, limit=limit, offset=offset)
    if not as_json:
        rows = [{**row, "metrics": few(row["metrics"])} for row in rows]
    show(rows, RUNS, as_json=as_json, empty="No run yet.")


def few(metrics: JsonValue) -> JsonValue:
    """The first few metrics, shortened."""
    found = list(metrics.items())[:SHOWN_METRICS] if isinstance(metrics, dict) else []
    return ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in found)


@app.command("show")
def show_run(
    context: typer.Context, run_id: Annotated[str, typer.Argument(help="The run.")], tenant: Team = None, as_json: Json = False
) -> None:
    """Show a training run: metrics, parameters, what it ran on."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/training/runs/{run_id}", tenant=tenant), as_json=as_json)


@app.command()
def compare(
    context: typer.Context,
    run_id: Annotated[list[str], typer.Argument(help="Two runs or more.")],
    tenant: Team = None,
    as_json: Json = False,
) -> None:
    """Put runs side by side: metrics, parameters and what they ran on; what differs comes first."""
    with client_of(context) as client:
        told = client.get_object("/v1/training/compare", run_id=list(run_id), tenant=tenant)
    if as_json:
        out.print_json(json.dumps(told))
        return
    for part in ("metrics", "parameters", "environment"):
        rows = [row_of(each) for each in listed(told[part])]
        names = ("name", *(f"run {number}" for number in range(1, len(run_id) + 1)), "differs")
        out.print(f"\n{part}", markup=False)
        show(rows, names, as_json=False, empty="nothing")


def listed(value: JsonValue) -> list[JsonObject]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def row_of(compared: JsonObject) -> JsonObject:
    """One name as a row of a table."""
    values = compared["values"] if isinstance(compared["values"], list) else []
    cells: JsonObject = {f"run {number}": value for number, value in enumerate(values, 1)}
    return {"name": compared["name"], **cells, "differs": "yes" if compared["differs"] else ""}


@app.command()
def blueprints(context: typer.Context, as_json: Json = False) -> None:
    """List the ways of training that are ready to run."""
    with client_of(context) as client:
        show(client.get_list("/v1/training/blueprints"), BLUEPRINTS, as_json=as_json, empty="There is none.")


@app.command()
def run(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    blueprint: Annotated[str, typer.Argument(help="Which: see 'lineshaft training blueprints'.")],
    model_name: Annotated[str, typer.Argument(help="What is trained; its runs are in the experiment of this name.")],
    options: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of its order, such as epochs=20; several times.")] = None,
    file: Annotated[Path | None, typer.Option(help="Its order, YAML or JSON.")] = None,
    slots: Annotated[int, typer.Option(min=1, help="How many slots to lease.")] = 2,
    nodes: Annotated[int, typer.Option(min=1, help="Start it once on so many nodes.")] = 1,
    pool: Annotated[str, typer.Option(help="Where; the first pool if left out.")] = "",
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as H100.")] = "",
    image: Annotated[str, typer.Option(help="The container image, where the pool runs containers.")] = "",
    install: Annotated[bool, typer.Option("--install", help="Let the job install what it needs.")] = False,
    register: Annotated[bool, typer.Option("--register", help="Register what came out (lora).")] = False,
    seconds: Annotated[int, typer.Option(min=1, help="Its wall time.")] = 3600,
    memory_gib: Annotated[float, typer.Option("--memory-gib", min=0.01)] = 4.0,
    wait: Annotated[str, typer.Option("--wait", help="Wait so long for slots that are not free: 10m, 2h, 1d.")] = "",
    tenant: Team = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    as_json: Json = False,
) -> None:
    """Run a blueprint: a plan that leases slots, trains on them and gives them back."""
    order: JsonObject = {**(document(file) if file is not None else {}), **values_of(options or [])}
    arguments: JsonObject = {
        "blueprint": blueprint,
        "model_name": model_name,
        "lease_id": result_of("lease", "lease_id"),
        "order": order,
        "nodes": nodes,
        "image": image,
        "install": install,
        "seconds": seconds,
        "memory_gib": memory_gib,
    }
    asked: JsonObject = {"slots": slots, "pool": pool, "accelerator": accelerator, "purpose": f"{blueprint} {model_name}"[:200]}
    asked |= {"seconds": min(seconds + 600, LEASE_SECONDS_MAX), "wait_seconds": seconds_of(wait)}
    steps = [
        step("lease", "leases.acquire", f"lease {slots} slots", asked),
        step("train", "training.blueprint", f"{blueprint}: train {model_name}", arguments),
        step(
            "release", "leases.release", "give the slots back", {"lease_id": result_of("lease", "lease_id")}, after=("train",), always=True
        ),
    ]
    if register:
        made: JsonObject = {"model_name": model_name, "run_id": result_of("train", "run_id")}
        steps.append(step("register", "registry.register", f"register {model_name}", made, after=("train",)))
    with client_of(context) as client:
        proposed = propose(client, tenant, f"Train {model_name} by {blueprint}", steps)
        carried_out(client, proposed, yes=yes, wait=not detach, as_json=as_json)


def values_of(given: list[str]) -> JsonObject:
    """Values from NAME=VALUE: numbers, truths and lists as in JSON, else words. Raises InvalidInput."""
    found: JsonObject = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not name or not equals:
            raise InvalidInput(f"{each[:80]!r} is not NAME=VALUE.", remedy="Write --set epochs=20.")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


@environments.command("list")
def list_environments(context: typer.Context, as_json: Json = False) -> None:
    """List the training environments of this host, and whether each is installed."""
    show([each.model_dump(mode="json") for each in here(context).list()], ENVIRONMENTS, as_json=as_json, empty="There is none.")


@environments.command()
def install(context: typer.Context, name: Annotated[str, typer.Argument(help="Which: torch, lora or ray.")], as_json: Json = False) -> None:
    """Install an environment on this host, once; jobs of every team may then use it."""
    say = (lambda line: None) if as_json else (lambda line: out.print(line, markup=False))
    show_one(here(context).install(name, say).model_dump(mode="json"), as_json=as_json)


@environments.command()
def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="Which.")]) -> None:
    """Remove an environment from this host."""
    out.print("removed" if here(context).remove(name) else "it was not installed", markup=False)


def here(context: typer.Context) -> Environments:
    """The environments of this host."""
    return Environments(settings_of(context).home / "environments")
