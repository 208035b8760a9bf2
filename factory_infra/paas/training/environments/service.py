"""Training environments on this machine: installed on demand into a folder that their digest names, removed when nobody needs them."""

import builtins
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from factory_infra.errors import Conflict, EffectFailed, StorageFull
from factory_infra.paas.training.environments.catalogue import ENVIRONMENTS, Environment, environment_named

READY = "ready.json"
OVERLAY = "zz_installation.pth"
"""Read last: what the environment has goes before what the installation has, which its programs use besides."""
FREE_BYTES_MIN = 6 * 1024**3
INSTALL_SECONDS_MAX = 3600
PROBE_SECONDS_MAX = 300
TAIL_CHARACTERS = 2000
Say = Callable[[str], None]


class InstalledEnvironment(BaseModel):
    """An environment as this machine has it."""

    name: str
    description: str
    requirements: list[str]
    digest: str
    installed: bool
    path: str = ""
    packages: list[str] = []
    bytes: int = 0
    seconds: float = 0.0


class Environments:
    """Installs, finds and removes environments. Any number of processes may do so at once: one installs, the others wait for it.

    Args:
        folder: where they lie, `NAME-DIGEST` each.
        python: the interpreter that they are made with; this process's own if left out.
    """

    def __init__(self, folder: Path, python: Path | None = None) -> None:
        self._folder = folder
        self._python = python or Path(sys.executable)

    def list(self) -> builtins.list[InstalledEnvironment]:
        """Every environment that ships, with whether it is installed."""
        return [self._shown(each) for each in ENVIRONMENTS]

    def get(self, name: str) -> InstalledEnvironment:
        """Return one. Raises InvalidInput `environment_unknown`."""
        return self._shown(environment_named(name))

    def python(self, name: str) -> Path | None:
        """The interpreter of an environment, or of one that has all of it; None where neither is installed.

        Raises InvalidInput `environment_unknown`.
        """
        wanted = environment_named(name)
        covering = [each for each in ENVIRONMENTS if set(wanted.requirements) <= set(each.requirements) and each != wanted]
        paths = [self._path(each) for each in (wanted, *covering)]
        return next((path / "bin" / "python" for path in paths if usable(path)), None)

    def install(self, name: str, say: Say = print) -> InstalledEnvironment:
        """Install an environment, once; what was begun and not finished is begun anew.

        Raises InvalidInput `environment_unknown`, StorageFull, EffectFailed `environment_failed` with the end of what pip said.
        """
        environment = environment_named(name)
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        path = self._path(environment)
        with held(self._folder / f".{environment.folder_name}.lock"):
            if usable(path):
                say(f"{name} is installed already: {path}")
                return self._shown(environment)
            self._refuse_without_room()
            shutil.rmtree(path, ignore_errors=True)
            began = time.monotonic()
            try:
                self._make(environment, path, say)
                self._ready(path, round(time.monotonic() - began, 1))
            finally:
                if not (path / READY).exists():
                    shutil.rmtree(path, ignore_errors=True)
        return self._shown(environment)

    def remove(self, name: str) -> bool:
        """Remove an environment, in whatever state; return whether there was one. Jobs that run in it fail: end them before."""
        environment = environment_named(name)
        path = self._path(environment)
        if not path.exists():
            return False
        with held(self._folder / f".{environment.folder_name}.lock"):
            (path / READY).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
        return True

    def _path(self, environment: Environment) -> Path:
        return self._folder / environment.folder_name

    def _make(self, environment: Environment, path: Path, say: Say) -> None:
        say(f"making {path}")
        run([str(self._python), "-m", "venv", str(path)], INSTALL_SECONDS_MAX)
        python = path / "bin" / "python"
        packages = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], PROBE_SECONDS_MAX).strip()
        ours = run([str(self._python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], PROBE_SECONDS_MAX).strip()
        Path(packages, OVERLAY).write_text(f"{ours}\n", encoding="utf-8")
        say(f"installing {', '.join(environment.requirements)}")
        pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
        run([*pip, *environment.requirements], INSTALL_SECONDS_MAX)
        say(f"loading {', '.join(environment.imports)}")
        run([str(python), "-c", "\n".join(f"import {each}" for each in environment.imports)], PROBE_SECONDS_MAX)

    def _ready(self, path: Path, seconds: float) -> None:
        packages = run([str(path / "bin" / "python"), "-m", "pip", "list", "--format=freeze", "--local"], PROBE_SECONDS_MAX).split()
        size = sum(each.lstat().st_size for each in path.rglob("*"))
        draft = path / f".{READY}.new"
        draft.write_text(json.dumps({"packages": packages, "bytes": size, "seconds": seconds}), encoding="utf-8")
        draft.replace(path / READY)

    def _shown(self, environment: Environment) -> InstalledEnvironment:
        path = self._path(environment)
        told = {"name": environment.name, "description": environment.description, "requirements": environment.requirements}
        ready = path / READY
        kept = json.loads(ready.read_text(encoding="utf-8")) if usable(path) else {}
        place = str(path) if kept else ""
        return InstalledEnvironment.model_validate({**told, "digest": environment.digest, "installed": bool(kept), "path": place, **kept})

    def _refuse_without_room(self) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < FREE_BYTES_MIN:
            raise StorageFull(
                f"{self._folder} has {free / 1024**3:.1f} GiB free; an environment may need {FREE_BYTES_MIN / 1024**3:.0f}.",
                remedy="Free some space, or remove an environment: lineshaft training environments remove NAME",
            )


def usable(path: Path) -> bool:
    """Whether an environment was made to its end, and the packages of the installation that it was laid over are still there."""
    below = [Path(each.read_text(encoding="utf-8").strip()) for each in path.glob(f"lib/*/site-packages/{OVERLAY}")]
    return (path / READY).exists() and all(each.exists() for each in below)


def run(argv: list[str], seconds: float) -> str:
    """Run a program and return what it said. Raises EffectFailed `environment_failed`."""
    # Isolated: a tree of modules that the surroundings name must not leak into what is made.
    argv = [argv[0], "-I", *argv[1:]]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise failed(f"{argv[0]} did not run to its end: {error}") from error
    if done.returncode:
        raise failed((done.stderr or done.stdout)[-TAIL_CHARACTERS:].strip())
    return done.stdout


def failed(said: str) -> EffectFailed:
    """Say that an installation failed."""
    return EffectFailed(f"The environment could not be installed: {said}", remedy="See to it and try again.", code="environment_failed")


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold a file's lock for as long as an installation takes. Raises Conflict where somebody else does for an hour."""
    with file.open("w", encoding="utf-8") as stream:
        deadline = time.monotonic() + INSTALL_SECONDS_MAX
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Conflict(f"{file.name} is held by another installation.", remedy="Wait for it, or end it.") from error
                time.sleep(0.2)
        yield
