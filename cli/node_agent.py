"""`lineshaft node-agent`: runs on a node, exports metrics, and tells the API how the node is and what happens on it."""

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Annotated

import typer
from prometheus_client import start_http_server
from prometheus_client.registry import CollectorRegistry
from pydantic import TypeAdapter, ValidationError
from rich.live import Live

from api.client import ApiClient
from cli.access import access
from cli.context import out, settings_of
from cli.node_screen import screen
from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.foundation.reliability.node_models import NodeEvent, NodeName, NodeReport, PoolName
from factory_infra.foundation.telemetry.agent import Identity, NodeAgent, Sources, push_on, run
from factory_infra.foundation.telemetry.metrics import ReadingCollector
from factory_infra.foundation.telemetry.providers.neuron import NeuronReader
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader
from factory_infra.foundation.telemetry.spool import Spool
from factory_infra.settings import Settings

PORT = 8409
PUSH_SECONDS_MAX = 10.0
GPM_SECONDS = 0.2
POOL_NAME: TypeAdapter[str] = TypeAdapter(PoolName)
NODE_NAME: TypeAdapter[str] = TypeAdapter(NodeName)
app = typer.Typer(help="Watch this node: metrics for Prometheus, events for the API.")


def checked(text: str, kind: TypeAdapter[str]) -> str:
    """A name as the API takes it. Raises InvalidInput."""
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        reason = f"'{text[:60]}' cannot be the name of a node or of its pool."
        raise InvalidInput(
            reason, remedy="Use letters, digits, dots and hyphens; name it with --name and --pool.", code="name_invalid"
        ) from error


class ApiDoor:
    """The API, for one node; its connection stays open, for making one costs more than a reading."""

    def __init__(self, url: str, key: str, identity: Identity) -> None:
        self.url = url
        self._client = ApiClient(url, key, timeout_seconds=PUSH_SECONDS_MAX)
        self._path = f"/v1/nodes/{identity.pool}/{identity.name}"

    def heartbeat(self, report: NodeReport) -> None:
        """Tell what the node is."""
        self._client.post(f"{self._path}/heartbeat", report.model_dump(mode="json"))

    def events(self, events: list[NodeEvent]) -> None:
        """Tell what happened."""
        self._client.post(f"{self._path}/events", {"events": [event.model_dump(mode="json") for event in events]})


@app.callback(invoke_without_command=True)
def node_agent(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pool: Annotated[str, typer.Option(help="The pool that the node belongs to.")] = "local",
    name: Annotated[str, typer.Option(help="What slots and jobs call the node; the host's name if left out.")] = "",
    machine: Annotated[str, typer.Option(help="What the maker of machines calls it, such as an instance's id.")] = "",
    listen: Annotated[str, typer.Option(help="HOST:PORT of the metrics; this machine only if left out.")] = f"127.0.0.1:{PORT}",
    interval: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds from one reading to the next.")] = 1.0,
    watch: Annotated[bool, typer.Option("--watch", help="Show the node on the terminal.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Read once, print it and end; nothing is served or pushed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print JSON.")] = False,
    push: Annotated[
        bool, typer.Option("--push/--no-push", help="Tell the API of this home, or of LINESHAFT_API_URL with LINESHAFT_API_KEY.")
    ] = True,
) -> None:
    """Run until a signal ends it."""
    settings = settings_of(context)
    identity = Identity(checked(pool, POOL_NAME), checked(name or socket.gethostname(), NODE_NAME), machine)
    sources = Sources(NvmlReader(processes=watch or once), NeuronReader(), settings.home)
    agent = NodeAgent(identity, sources, Spool(settings.home / "node-agent" / f"{pool}-{identity.name}.jsonl"))
    try:
        if once:
            print_once(agent, as_json=as_json)
        else:
            serve(agent, listen, interval, door_of(settings, identity) if push else None, watched=watch)
    finally:
        agent.close()


def print_once(agent: NodeAgent, *, as_json: bool) -> None:
    """Read twice, for some gauges are taken between two readings, and print the second."""
    agent.keeps = False
    agent.tick()
    threading.Event().wait(GPM_SECONDS)
    agent.tick()
    if agent.newest is None:
        return
    if as_json:
        told = {"pool": agent.identity.pool, "node": agent.identity.name, **agent.newest.model_dump(mode="json")}
        out.print_json(json.dumps(told))
    else:
        out.print(screen(agent.identity, agent.newest, list(agent.recent), "read once"))


def door_of(settings: Settings, identity: Identity) -> ApiDoor | None:
    """The API that is told; None, with a word, where none is known: metrics are served all the same."""
    try:
        url, key = access(settings)
    except LineshaftError as error:
        typer.echo(f"nothing is pushed: {error}", err=True)
        return None
    return ApiDoor(url, key, identity)


def serve(agent: NodeAgent, listen: str, interval_seconds: float, door: ApiDoor | None, *, watched: bool) -> None:
    """Serve metrics, push, and show the node, until a signal comes. Raises InvalidInput for an address that cannot be."""
    agent.keeps = door is not None
    address = serve_metrics(agent, listen)
    stop, woken = threading.Event(), threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    pusher = threading.Thread(target=push_on, args=(agent, door, stop, woken), daemon=True) if door is not None else None
    if pusher is not None:
        pusher.start()
    status = f"metrics at http://{address}/metrics · {f'pushed to {door.url}' if door else 'nothing is pushed'} · Ctrl-C ends it"

    def after(events: list[NodeEvent]) -> None:
        if events:
            woken.set()

    if watched:
        show_live(agent, status, stop, interval_seconds, after)
    else:
        typer.echo(status)
        run(agent, stop, interval_seconds, after)
    woken.set()
    if pusher is not None:
        pusher.join(timeout=PUSH_SECONDS_MAX)


def show_live(
    agent: NodeAgent, status: str, stop: threading.Event, interval_seconds: float, after: Callable[[list[NodeEvent]], None]
) -> None:
    """Draw the screen anew after each reading."""
    with Live(console=out, auto_refresh=False, screen=sys.stdout.isatty()) as live:

        def drawn(events: list[NodeEvent]) -> None:
            after(events)
            if agent.newest is not None:
                waiting = f" · events that wait: {len(agent.spool)}" if len(agent.spool) else ""
                live.update(screen(agent.identity, agent.newest, list(agent.recent), status + waiting), refresh=True)

        run(agent, stop, interval_seconds, drawn)


def serve_metrics(agent: NodeAgent, listen: str) -> str:
    """Serve the metrics and return where."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput(
            f"'{listen}' is no address to listen at.", remedy="Name HOST:PORT, such as 127.0.0.1:8409.", code="address_invalid"
        )
    registry = CollectorRegistry()
    registry.register(ReadingCollector(agent.identity.pool, agent.identity.name, lambda: agent.newest, agent.xids))
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        reason = f"Nothing can be served at {listen} ({error.strerror})."
        raise InvalidInput(reason, remedy="Name another address with --listen.", code="address_invalid") from error
    return f"{host}:{server.server_port}"
