"""Checks of the installation: packages, programs, ports, weights."""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from cli.doctor.finding import Finding
from cli.stack.parts import ROOT
from cli.stack.ports import is_free
from cli.stack.postgres import programs
from cli.stack.settings import StackSettings
from cli.stack.state import running_state
from factory_infra.errors import LineshaftError
from factory_infra.settings import Settings

_SETUP = "Run `make setup`."
_SHOWN_MAX = 5


def check_packages(settings: Settings) -> Finding:
    """Every package of the lock must be installed in the version that it names."""
    lock = ROOT / "requirements.lock"
    if not lock.exists():
        return Finding(name="packages", level="fail", found=f"{lock} is missing", remedy="Restore the file from the repository.")
    wanted = _locked(lock)
    wrong = [name for name, version in wanted.items() if _installed(name) != version]
    if not wrong:
        return Finding(name="packages", level="ok", found=f"{len(wanted)} as locked")
    more = f" and {len(wrong) - _SHOWN_MAX} more" if len(wrong) > _SHOWN_MAX else ""
    return Finding(name="packages", level="fail", found=f"missing or other versions: {', '.join(wrong[:_SHOWN_MAX])}{more}", remedy=_SETUP)


def check_postgres(settings: Settings) -> Finding:
    """The embedded server's programs, unless another server is set."""
    if settings.database_url is not None:
        return Finding(name="postgres", level="ok", found="a server of yours (LINESHAFT_DATABASE_URL)")
    try:
        folder = programs()
    except LineshaftError as error:
        return Finding(name="postgres", level="fail", found=error.reason, remedy=error.remedy)
    if not os.access(folder / "initdb", os.X_OK):
        return Finding(name="postgres", level="fail", found=f"{folder} cannot be executed", remedy="Remove .venv and run `make setup`.")
    as_root = "; we are root, so it runs as the system user pgserver" if os.geteuid() == 0 else ""
    return Finding(name="postgres", level="ok", found=f"embedded{as_root}")


def check_temporal(settings: Settings) -> Finding:
    """The development server's program, unless a cluster is set."""
    if settings.temporal_address is not None:
        return Finding(name="temporal", level="ok", found=f"a cluster of yours at {settings.temporal_address}")
    program = Path(sys.executable).with_name("temporal")
    if os.access(program, os.X_OK):
        return Finding(name="temporal", level="ok", found="development server")
    return Finding(name="temporal", level="fail", found=f"{program} is missing", remedy=f"{_SETUP} Or set LINESHAFT_TEMPORAL_ADDRESS.")


def check_chroma(settings: Settings) -> Finding:
    """The vector store's server, unless another one is set."""
    if settings.chroma_url is not None:
        return Finding(name="chroma", level="ok", found="a server of yours (LINESHAFT_CHROMA_URL)")
    if importlib.util.find_spec("chromadb_rust_bindings") is not None:
        return Finding(name="chroma", level="ok", found="local server")
    return Finding(name="chroma", level="fail", found="its server is not installed", remedy=f"{_SETUP} Or set LINESHAFT_CHROMA_URL.")


def check_ports(settings: Settings) -> Finding:
    """Busy ports are no obstacle: a free one is taken instead. Only said while no stack of ours holds them."""
    running = running_state(settings)
    if running is not None:
        return Finding(name="ports", level="ok", found=f"in use by the running stack (process {running.pid})")
    own = [("api_port", settings.api_port), ("gateway_port", settings.gateway_port)]
    busy = [f"{name} {port}" for name, port in [*StackSettings().model_dump().items(), *own] if not is_free(port)]
    if not busy:
        return Finding(name="ports", level="ok", found="all free")
    remedy = "Nothing to do: free ones are taken instead; LINESHAFT_…_PORT chooses others."
    return Finding(name="ports", level="note", found=f"busy: {', '.join(busy)}", remedy=remedy)


def check_model(settings: Settings) -> Finding:
    """The weights of the embedded model, where it is the one in use."""
    provider = settings.model.partition(":")[0]
    if provider != "embedded":
        return Finding(name="model", level="ok", found=settings.model)
    weights = sorted(settings.weights_dir.glob("*.gguf")) if settings.weights_dir.is_dir() else []
    if weights:
        return Finding(name="model", level="ok", found=f"{settings.model}; weights: {', '.join(path.name for path in weights)}")
    remedy = "Run `lineshaft models pull`, or set LINESHAFT_MODEL to openai:…, bedrock:… or none."
    return Finding(name="model", level="warn", found=f"{settings.model}: no weights in {settings.weights_dir}", remedy=remedy)


def _locked(lock: Path) -> dict[str, str]:
    """Name → version of each package in the lock that this platform needs."""
    wanted: dict[str, str] = {}
    for line in lock.read_text().splitlines():
        if line[:1] in {"", " ", "#", "-"}:
            continue
        try:
            requirement = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            wanted[requirement.name] = str(requirement.specifier).removeprefix("==")
    return wanted


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
