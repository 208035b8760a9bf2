"""Where everything listens: chosen once, before anything starts, and handed to our own parts."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from cli.stack.events import Event, OnEvent
from cli.stack.ports import choose
from cli.stack.settings import StackSettings
from factory_infra.settings import Settings


@dataclass(frozen=True)
class Ports:
    """The ports that this run of the stack uses."""

    temporal: int
    temporal_ui: int
    chroma: int
    mlflow: int
    models: int
    postgres: int
    api: int
    gateway: int


def choose_ports(settings: Settings, wanted: StackSettings, emit: OnEvent) -> Ports:
    """Take each wanted port, or a free one instead where it is busy, and say so. Parts that run elsewhere get 0."""
    avoid = {settings.api_port, settings.gateway_port, *wanted.model_dump().values()}
    taken: set[int] = set()

    def pick(name: str, port: int, external: object = None, host: str = "127.0.0.1") -> int:
        if external is not None:
            return 0
        chosen = choose(port, taken, avoid, host)
        taken.add(chosen)
        if chosen != port:
            emit(Event(name, "note", f"port {port} is busy, taking {chosen}"))
        return chosen

    return Ports(
        api=pick("api", settings.api_port, host=settings.api_host),
        gateway=pick("gateway", settings.gateway_port, host=settings.gateway_host),
        postgres=pick("postgres", wanted.postgres_port, settings.database_url),
        temporal=pick("temporal", wanted.temporal_port, settings.temporal_address),
        temporal_ui=pick("temporal", wanted.temporal_ui_port, settings.temporal_address),
        chroma=pick("chroma", wanted.chroma_port, settings.chroma_url),
        mlflow=pick("mlflow", wanted.mlflow_port, settings.mlflow_url),
        models=pick("models", wanted.model_server_port),
    )


def without_credentials(url: str) -> str:
    """Return an address that may be shown: scheme, host, port and path only."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
