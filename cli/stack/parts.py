"""The parts of the local stack, in order of need."""

import sys
from pathlib import Path
from urllib.parse import quote

from cli.stack.addresses import Ports, choose_ports, without_credentials
from cli.stack.events import OnEvent
from cli.stack.health import ended, http_ok, ready_file
from cli.stack.part import Part, closure
from cli.stack.postgres import EmbeddedPostgres, make_schema
from cli.stack.secrets import own_secret
from cli.stack.settings import StackSettings, environment_full, environment_plain
from cli.stack.supervisor import Assembly
from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("postgres", "temporal", "chroma", "models", "mlflow", "schema", "worker", "api", "gateway")
TEMPORAL_OPTIONS = [
    "--sqlite-pragma",
    "journal_mode=WAL",
    "--sqlite-pragma",
    "synchronous=NORMAL",
    "--dynamic-config-value",
    "history.transferProcessorMaxPollRPS=2000",
    "--ui-disable-news-fetch",
    "--log-level",
    "warn",
]
TEMPORAL_ENVIRONMENT = {"GOGC": "400"}
"""It collects garbage less often: some tens of MB more, and a tenth less work for each step."""


class LocalParts:
    """Makes the specification of each part for one home and one choice of ports."""

    def __init__(self, settings: Settings, ports: Ports, emit: OnEvent) -> None:
        self._settings = settings
        self._ports = ports
        self._postgres = EmbeddedPostgres(settings, ports.postgres, emit) if settings.database_url is None else None
        self._model_key = own_secret(settings.secrets_dir, "model-server.key")
        self._database_url = self._postgres.url if self._postgres else _plain_url(settings)
        self.temporal_address = settings.temporal_address or f"127.0.0.1:{ports.temporal}"
        self.temporal_ui_url = f"http://127.0.0.1:{ports.temporal_ui}" if ports.temporal_ui else settings.temporal_ui_url
        self.chroma_url = settings.chroma_url or f"http://127.0.0.1:{ports.chroma}"
        self.mlflow_url = settings.mlflow_url or f"http://127.0.0.1:{ports.mlflow}"
        self.models_url = f"http://127.0.0.1:{ports.models}"
        self.api_url = settings.api_url or f"http://{_reachable(settings.api_host)}:{ports.api}"
        self.gateway_url = f"http://{_reachable(settings.gateway_host)}:{ports.gateway}"

    def all(self) -> list[Part]:
        """Every part that runs here, each after those that it needs."""
        external = self.external()
        servers = [self._postgres.part()] if self._postgres else []
        servers += [make() for name, make in (("temporal", self._temporal), ("chroma", self._chroma)) if name not in external]
        servers.append(self._models())
        if "mlflow" not in external:
            servers.append(self._mlflow())
        return [*servers, self._schema(), self._worker(), self._api(), self._gateway()]

    def external(self) -> dict[str, str]:
        """The parts that the user runs elsewhere, with addresses that may be shown."""
        own = {
            "postgres": self._settings.database_url.get_secret_value() if self._settings.database_url else None,
            "temporal": self._settings.temporal_address,
            "chroma": self._settings.chroma_url,
            "mlflow": self._settings.mlflow_url,
        }
        return {name: without_credentials(url) for name, url in own.items() if url}

    def links(self, names: set[str]) -> dict[str, str]:
        """What a person may want to open in a browser, apart from the console, of the parts named."""
        known = {"temporal": ("Temporal UI", self.temporal_ui_url), "mlflow": ("MLflow", self.mlflow_url)}
        return {title: url for name, (title, url) in known.items() if name in names and url}

    def _temporal(self) -> Part:
        file = self._settings.home / "temporal" / "temporal.db"
        file.parent.mkdir(mode=0o700, exist_ok=True)
        where = [
            "--ip",
            "127.0.0.1",
            "--port",
            str(self._ports.temporal),
            "--ui-port",
            str(self._ports.temporal_ui),
            "--db-filename",
            str(file),
        ]
        namespace = self._settings.temporal_namespace
        return Part(
            name="temporal",
            command=[_beside_python("temporal"), "server", "start-dev", *where, "--namespace", namespace, *TEMPORAL_OPTIONS],
            environment={**environment_plain(), **TEMPORAL_ENVIRONMENT},
            health=http_ok(f"{self.temporal_ui_url}/api/v1/namespaces/{quote(namespace)}"),
            url=self.temporal_ui_url or "",
        )

    def _chroma(self) -> Part:
        folder = self._settings.home / "chroma"
        where = ["run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(self._ports.chroma)]
        return Part(
            name="chroma",
            command=[sys.executable, "-m", "cli.stack.chroma_server", *where],
            environment={**environment_plain(), "PYTHONPATH": str(ROOT), "ANONYMIZED_TELEMETRY": "False"},
            health=http_ok(f"{self.chroma_url}/api/v2/heartbeat"),
            url=self.chroma_url,
        )

    def _mlflow(self) -> Part:
        """MLflow's web application in one process; its command would start a second one with the same libraries loaded."""
        store = f"{_with_driver(self._database_url)}{'&' if '?' in self._database_url else '?'}options=-csearch_path%3Dmlflow"
        where = ["--host", "127.0.0.1", "--port", str(self._ports.mlflow), "--workers", "1", "--log-level", "warning"]
        artifacts = self._settings.home / "mlflow"
        artifacts.mkdir(mode=0o700, exist_ok=True)

        async def before() -> None:
            await make_schema(self._database_url, "mlflow")

        return Part(
            name="mlflow",
            command=[sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", *where],
            environment={
                **environment_plain(),
                "_MLFLOW_SERVER_FILE_STORE": store,
                "_MLFLOW_SERVER_REGISTRY_STORE": store,
                "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
                "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts),
                "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
                "_MLFLOW_SGI_NAME": "uvicorn",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "true",
            },
            # Through the database, and patient: the first such request makes the tables.
            health=http_ok(f"{self.mlflow_url}/api/2.0/mlflow/experiments/get?experiment_id=0", seconds_max=90.0),
            needs=("postgres",),
            before=before,
            url=self.mlflow_url,
            healthy_seconds_max=180.0,
        )

    def _models(self) -> Part:
        return Part(
            name="models",
            command=[sys.executable, "-m", "factory_infra.saas.models.server"],
            environment=self._own_environment(),
            health=http_ok(f"{self.models_url}/health"),
            url=self.models_url,
            healthy_seconds_max=180.0,
            remedy="Fetch the weights with `lineshaft models pull`, or choose another model with LINESHAFT_MODEL.",
        )

    def _schema(self) -> Part:
        return Part(
            name="schema",
            command=[sys.executable, "-m", "cli.stack.prepare"],
            environment=self._own_environment(),
            health=ended,
            needs=("postgres",),
            once=True,
            healthy_seconds_max=180.0,
            remedy="The database's schema could not be brought up to date: keep the log and report it.",
        )

    def _worker(self) -> Part:
        return Part(
            name="worker",
            command=[sys.executable, "-m", "workflows.worker"],
            # Read when langgraph is imported: stored state may name no class that is not on its list.
            environment={**self._own_environment(), "LANGGRAPH_STRICT_MSGPACK": "true"},
            health=ready_file(self._settings.run_dir / "worker.ready"),
            needs=("schema", "temporal", "chroma"),
            after_stop=lambda: stop_jobs(self._settings.jobs_dir),
            stop_seconds_max=2.5,  # Its own grace for activities is 2 s.
            healthy_seconds_max=120.0,
        )

    def _api(self) -> Part:
        return Part(
            name="api",
            command=[sys.executable, "-m", "api.app"],
            environment=self._own_environment(),
            health=http_ok(f"http://{_reachable(self._settings.api_host)}:{self._ports.api}/v1/health"),
            needs=("schema", "temporal"),
            url=self.api_url,
            healthy_seconds_max=120.0,
        )

    def _gateway(self) -> Part:
        return Part(
            name="gateway",
            command=[sys.executable, "-m", "api.gateway.app"],
            environment=self._own_environment(),
            health=http_ok(f"{self.gateway_url}/health"),
            needs=("schema",),
            url=self.gateway_url,
            healthy_seconds_max=120.0,
            stop_seconds_max=10.0,  # What is open is cut and settled, and what was promised is posted.
            remedy="Read the log; `lineshaft gateway check` says whether its file is right.",
        )

    def _own_environment(self) -> dict[str, str]:
        addresses = {
            "HOME": str(self._settings.home),
            "MODEL": self._settings.model,
            "DATABASE_URL": self._database_url,
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_UI_URL": self.temporal_ui_url,
            "CHROMA_URL": self.chroma_url,
            "MLFLOW_URL": self.mlflow_url,
            "MODEL_SERVER_URL": self.models_url,
            "MODEL_SERVER_KEY": self._model_key,
            "API_HOST": self._settings.api_host,
            "API_PORT": str(self._ports.api),
            "API_URL": self.api_url,
            # Named from where the stack was started; a part runs elsewhere.
            "GATEWAY": str(self._settings.gateway.absolute()) if self._settings.gateway else "",
            "POOLS": str(self._settings.pools.absolute()) if self._settings.pools else "",
            "GATEWAY_HOST": self._settings.gateway_host,
            "GATEWAY_URL": self.gateway_url,
            "GATEWAY_PORT": str(self._ports.gateway),
        }
        ours = {f"LINESHAFT_{name}": value for name, value in addresses.items() if value}
        quiet = {"ANONYMIZED_TELEMETRY": "False", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        return {**environment_full(), **quiet, **ours}


def stop_jobs(folder: Path) -> None:
    """End the jobs that this host's provider started."""
    stop_all(folder)


def local_assembly(settings: Settings, emit: OnEvent, only: list[str]) -> Assembly:
    """Choose the ports and specify the parts; with `only`, just those named and what they need. Raises InvalidInput."""
    unknown = sorted(set(only) - set(NAMES))
    if unknown:
        raise InvalidInput(f"There is no part named {', '.join(unknown)}.", remedy=f"Parts: {', '.join(NAMES)}.", code="part_unknown")
    made = LocalParts(settings, choose_ports(settings, StackSettings(), emit), emit)
    parts = closure(made.all(), only) if only else made.all()
    external = made.external()
    links = made.links({part.name for part in parts} | set(external))
    return Assembly(parts, console_url=made.api_url, links=links, external=external)


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared with, not bound to


def _plain_url(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""


def _with_driver(url: str) -> str:
    return f"postgresql+psycopg://{url.partition('://')[2]}"
