"""`lineshaft endpoints`: deploy, roll out, watch, hold, abort, scale; health, and requests kept by consent."""

import json
import time
from typing import Annotated, Literal

import typer
from rich.markup import escape

from api.client import ApiClient
from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one
from cli.proposing import carried_out, propose, result_of, step

app = typer.Typer(help="Endpoints: roll versions out, scale, look after them.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
Name = Annotated[str, typer.Argument(help="The endpoint.")]
RolloutId = Annotated[str, typer.Argument(help="The roll-out's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
StrategyName = Literal["canary", "blue_green", "shadow"]
COLUMNS = ("tenant", "name", "model_name", "version", "previous_version", "url")
ROLLOUT_COLUMNS = ("id", "tenant", "endpoint", "model_name", "version", "old_version", "state", "step", "share", "reason")
SIDE_COLUMNS = ("side", "requests", "errors", "latency_p50_ms", "latency_p95_ms", "compared", "agreed", "labelled", "right")
LOOK_SECONDS = 1.0


def place(client: ApiClient, tenant: str | None, name: str) -> str:
    """The route of an endpoint: of the key's own team where none is named."""
    team = tenant or client.get_object("/v1/me").get("tenant") or "platform"
    return f"/v1/endpoints/{team}/{name}"


@app.command("list")
def list_endpoints(context: typer.Context, tenant: Team = None, as_json: Json = False) -> None:
    """List live endpoints."""
    with client_of(context) as client:
        show(client.get_list("/v1/endpoints", tenant=tenant), COLUMNS, as_json=as_json, empty="No endpoint is live.")


@app.command("show")
def show_endpoint(context: typer.Context, name: Name, tenant: Team = None, as_json: Json = False) -> None:
    """Show an endpoint with its scaling and its open roll-out."""
    with client_of(context) as client:
        where = place(client, tenant, name)
        told = {**client.get_object(where), "scaling": client.get_object(f"{where}/scaling")}
        told["rollouts"] = [*client.get_list("/v1/rollouts", tenant=tenant, endpoint=name, open_only=True)]
    show_one(told, as_json=as_json)


@app.command()
def deploy(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    model_name: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[int, typer.Argument(help="Its version.")],
    pool: Annotated[str, typer.Option(help="Where its servers run; this host if left out.")] = "",
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a version live at once: a plan of one step. To bring one in step by step, see `rollout`."""
    arguments: JsonObject = {"endpoint": name, "model_name": model_name, "version": version, "pool": pool}
    wanted = step("deploy", "deployments.deploy", f"put {model_name} version {version} live as {name}", arguments)
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Deploy {name}", [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def rollout(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    model_name: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[int, typer.Argument(help="Its version.")],
    strategy: Annotated[StrategyName, typer.Option(help="How it comes by its requests.")] = "canary",
    share: Annotated[list[float] | None, typer.Option(help="Of the requests; once for each step.")] = None,
    step_seconds: Annotated[float, typer.Option(min=0, help="So long each step lasts at least.")] = 60.0,
    requests_min: Annotated[int, typer.Option(min=0, help="So many requests each step needs.")] = 20,
    error_rate_max: Annotated[float, typer.Option(min=0, max=0.999, help="Share of its requests that it may fail.")] = 0.02,
    latency_p95_ms_max: Annotated[float | None, typer.Option(help="95 of 100 answers come within this.")] = None,
    latency_ratio_max: Annotated[float | None, typer.Option(help="The same, as a multiple of the live version's.")] = None,
    agreement_min: Annotated[float | None, typer.Option(help="Share of answers that are the live version's too.")] = None,
    accuracy_min: Annotated[float | None, typer.Option(help="Share of answers that feedback calls right.")] = None,
    promote: Annotated[bool, typer.Option(help="Whether it becomes the live version at the end.")] = True,
    tenant: Team = None,
    yes: Yes = False,
    wait: Annotated[bool, typer.Option(help="Wait for its end.")] = True,
    as_json: Json = False,
) -> None:
    """Bring a version in step by step; it goes back by itself where it fails its gates."""
    arguments: JsonObject = {"endpoint": name, "model_name": model_name, "version": version, "strategy": strategy}
    arguments |= {"shares": [*(share or [])], "step_seconds": step_seconds, "requests_min": requests_min, "promote": promote}
    arguments |= {"error_rate_max": error_rate_max, "latency_p95_ms_max": latency_p95_ms_max, "latency_ratio_max": latency_ratio_max}
    arguments |= {"agreement_min": agreement_min, "accuracy_min": accuracy_min}
    begins = step("rollout", "deployments.rollout", f"roll {model_name} version {version} out as {name}", arguments)
    watched: JsonObject = {"rollout_id": result_of("rollout", "rollout_id")}
    ends = step("watch", "deployments.watch_rollout", "the version holds to the end", watched, after=("rollout",)) | {"gate": True}
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Roll out {name}", [begins, ends]), yes=yes, wait=wait, as_json=as_json)


@app.command()
def rollouts(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint's.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    tenant: Team = None,
    as_json: Json = False,
) -> None:
    """List roll-outs, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/rollouts", tenant=tenant, endpoint=endpoint, open_only=open_only, limit=limit, offset=offset)
    show(rows, ROLLOUT_COLUMNS, as_json=as_json, empty="No roll-out.")


@app.command()
def watch(
    context: typer.Context,
    rollout_id: RolloutId,
    once: Annotated[bool, typer.Option(help="Show it and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Show a roll-out with its counts until it has ended; exit code 1 where it went back."""
    seen = ""
    with client_of(context) as client:
        while True:
            told = client.get_object(f"/v1/rollouts/{rollout_id}")
            found = told["rollout"] if isinstance(told["rollout"], dict) else {}
            words = f"{found['state']}: {found['reason']}"
            if not as_json and words != seen:
                out.print(escape(words))
            seen = words
            if once or found.get("ended_at") is not None:
                break
            time.sleep(LOOK_SECONDS)
    if as_json:
        out.print_json(json.dumps(told))
    else:
        sides = [{"side": side, **counts} for side in ("candidate", "live") if isinstance(counts := told[side], dict)]
        show(sides, SIDE_COLUMNS, as_json=False, empty="")
    raise typer.Exit(1 if found["state"] in {"rolled_back", "failed", "aborted"} else 0)


def by_hand(context: typer.Context, rollout_id: str, verb: str, body: JsonObject, *, as_json: bool) -> None:
    """Move a roll-out by hand."""
    with client_of(context) as client:
        show_one(client.post(f"/v1/rollouts/{rollout_id}/{verb}", body), as_json=as_json)


@app.command()
def pause(context: typer.Context, rollout_id: RolloutId, as_json: Json = False) -> None:
    """Hold a roll-out at its share; where a gate fails it still goes back."""
    by_hand(context, rollout_id, "pause", {}, as_json=as_json)


@app.command()
def resume(context: typer.Context, rollout_id: RolloutId, as_json: Json = False) -> None:
    """Let a held roll-out go on."""
    by_hand(context, rollout_id, "resume", {}, as_json=as_json)


@app.command()
def abort(
    context: typer.Context, rollout_id: RolloutId, reason: Annotated[str, typer.Option(help="Why.")] = "", as_json: Json = False
) -> None:
    """Give all requests back to the version that was live before."""
    by_hand(context, rollout_id, "abort", {"reason": reason}, as_json=as_json)


@app.command()
def scale(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    servers_max: Annotated[int, typer.Option(min=1, max=16, help="At most so many servers.")] = 1,
    parallel_target: Annotated[float, typer.Option(help="So many requests at one time are one server's.")] = 4.0,
    idle_seconds: Annotated[float | None, typer.Option(min=10, help="Unasked for so long it sleeps; never if left out.")] = None,
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Have an endpoint's servers grow with its load, and sleep when nobody asks: a plan of one step."""
    arguments: JsonObject = {"endpoint": name, "servers_max": servers_max, "parallel_target": parallel_target, "idle_seconds": idle_seconds}
    wanted = step("scale", "deployments.scale", f"scale {name}", arguments)
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Scale {name}", [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def health(context: typer.Context, name: Name, tenant: Team = None, as_json: Json = False) -> None:
    """Ask each server of an endpoint whether it is up; exit code 1 where none is."""
    with client_of(context) as client:
        told = client.get_object(f"{place(client, tenant, name)}/health")
    show_one(told, as_json=as_json)
    raise typer.Exit(1 if told["state"] == "down" else 0)


@app.command()
def vllm(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    model: Annotated[str, typer.Option(help="A model of the Hugging Face hub, or a folder.")],
    pool: Annotated[str, typer.Option(help="A pool that is a Kubernetes cluster.")] = "",
    accelerators: Annotated[int, typer.Option("--gpus", min=1, max=16, help="GPUs of one replica.")] = 1,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="So many servers.")] = 1,
    context_tokens: Annotated[int | None, typer.Option(help="The longest context.")] = None,
    image: Annotated[str | None, typer.Option(help="vLLM's image.")] = None,
    gated: Annotated[bool, typer.Option(help="The hub asks for a token.")] = False,
    tenant: Team = None,
) -> None:
    """Print the blueprint of a language model behind vLLM in a cluster: manifests, commands, the gateway's entry. Nothing is made."""
    body: JsonObject = {"model": model, "pool": pool, "accelerators": accelerators, "replicas": replicas, "gated": gated}
    body |= {"context_tokens": context_tokens} | ({"image": image} if image else {})
    with client_of(context) as client:
        told = client.post(f"{place(client, tenant, name)}/vllm", body)
    out.print_json(json.dumps(told))


@app.command()
def consent(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    days: Annotated[int | None, typer.Option(min=1, max=365, help="Keep requests for so many days from now on.")] = None,
    share: Annotated[float, typer.Option(help="Of the requests, drawn by chance.")] = 1.0,
    stop: Annotated[bool, typer.Option("--stop", help="Keep nothing, and forget what was kept.")] = False,
    tenant: Team = None,
    as_json: Json = False,
) -> None:
    """Say whether an endpoint's requests are kept; with --days or --stop change it."""
    with client_of(context) as client:
        where = f"{place(client, tenant, name)}/consent"
        changed = stop or days is not None
        told = client.put(where, {"days": None if stop else days, "share": share}) if changed else client.get_object(where)
    show_one(told, as_json=as_json)


@app.command()
def requests(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context, name: Name, limit: Limit = 20, offset: Offset = 0, tenant: Team = None, as_json: Json = False
) -> None:
    """Open requests that were kept by consent, newest first."""
    with client_of(context) as client:
        rows = client.get_list(f"{place(client, tenant, name)}/requests", limit=limit, offset=offset)
    show(rows, ("id", "at", "model_name", "version", "labels"), as_json=as_json, empty="No request is kept: see 'endpoints consent'.")
