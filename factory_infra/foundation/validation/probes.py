"""Collects the versions of a node's software. Each probe is one command with a time limit, or a file; nothing is changed."""

import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from factory_infra.foundation.validation.models import Component, ComponentName, Stack

PROBE_SECONDS = 10.0
OUTPUT_CHARACTERS_MAX = 65_536
VERSION = r"(\d+(?:\.\d+)+)"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/cuda/bin:/opt/amazon/efa/bin:/opt/aws/neuron/bin"


@dataclass(frozen=True)
class Command:
    """A program that tells a version, and the pattern whose first group is that version."""

    argv: tuple[str, ...]
    pattern: str


@dataclass(frozen=True)
class TextFile:
    """A file that tells a version; where the pattern has several groups, they are its numbers."""

    path: str
    pattern: str = rf"{VERSION}"


@dataclass(frozen=True)
class FileName:
    """A library whose file's name ends with its version."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """A Python distribution of the interpreter that runs this."""

    names: tuple[str, ...]


Probe = Command | TextFile | FileName | Package
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/cuda/lib64",
    "/opt/amazon/efa/lib",
    "/opt/amazon/efa/lib64",
)

PROBES: dict[ComponentName, tuple[Probe, ...]] = {
    "driver": (
        TextFile("/proc/driver/nvidia/version", rf"Kernel Module(?: for \S+)?\s+{VERSION}"),
        TextFile("/sys/module/nvidia/version"),
        Command(("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"), VERSION),
    ),
    "cuda": (
        TextFile("/usr/local/cuda/version.json", rf'"cuda"\s*:\s*\{{[^}}]*"version"\s*:\s*"{VERSION}"'),
        Command(("nvcc", "--version"), rf"release {VERSION}"),
        Package(("nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime")),
    ),
    "nccl": (
        TextFile("/usr/include/nccl.h", r"NCCL_MAJOR\s+(\d+)[\s\S]*?NCCL_MINOR\s+(\d+)[\s\S]*?NCCL_PATCH\s+(\d+)"),
        FileName(("libnccl.so.*",)),
        Package(("nvidia-nccl-cu13", "nvidia-nccl-cu12")),
    ),
    "cudnn": (
        TextFile("/usr/include/cudnn_version.h", r"CUDNN_MAJOR\s+(\d+)[\s\S]*?CUDNN_MINOR\s+(\d+)[\s\S]*?CUDNN_PATCHLEVEL\s+(\d+)"),
        FileName(("libcudnn.so.*",)),
        Package(("nvidia-cudnn-cu13", "nvidia-cudnn-cu12")),
    ),
    "efa": (
        TextFile("/opt/amazon/efa_installed_packages", rf"EFA installer version:\s*{VERSION}"),
        TextFile("/sys/module/efa/version"),
    ),
    "libfabric": (Command(("fi_info", "--version"), rf"libfabric:\s*{VERSION}"),),
    "neuron_driver": (TextFile("/sys/module/neuron/version"),),
    "neuron_runtime": (FileName(("libnrt.so.*",)), Command(("neuron-ls", "--version"), VERSION)),
    "containerd": (Command(("containerd", "--version"), rf"v?{VERSION}"),),
    "docker": (Command(("docker", "--version"), rf"version {VERSION}"),),
    "nvidia_container_toolkit": (
        Command(("nvidia-ctk", "--version"), rf"version {VERSION}"),
        Command(("nvidia-container-cli", "--version"), rf"cli-version:\s*{VERSION}"),
    ),
    "pytorch": (Package(("torch",)),),
}
"""For each component, what is asked in turn until one tells."""


def collect(probes: dict[ComponentName, tuple[Probe, ...]] | None = None, *, root: Path = Path("/")) -> Stack:
    """Ask every probe of this node. Never raises for what is absent, broken or slow: that is a value with a note.

    Args:
        probes: other ones than those of this module.
        root: where files are looked for.
    """
    asked = PROBES if probes is None else probes
    found = [
        Component(name="kernel", version=platform.release(), source="uname"),
        Component(name="python", version=platform.python_version(), source=sys.executable),
        *(ask(name, each, root) for name, each in asked.items()),
    ]
    return Stack(host=socket.gethostname(), at=datetime.now(UTC), components=found)


def ask(name: ComponentName, probes: Iterable[Probe], root: Path) -> Component:
    """Ask one component's probes in turn; the notes of those that failed are kept while none tells."""
    notes: list[str] = []
    for probe in probes:
        version, source, note = ASKERS[type(probe)](probe, root)
        if version is not None:
            return Component(name=name, version=version[:64], source=source)
        notes += [note] if note else []
    return Component(name=name, version=None, note="; ".join(notes)[:400])


Answer = tuple[str | None, str, str]
"""A version, where it was read, and what went wrong."""


def ask_command(probe: Probe, root: Path) -> Answer:
    """Run a command that is there."""
    assert isinstance(probe, Command)  # noqa: S101  (it is chosen by its type)
    program = shutil.which(probe.argv[0], path=PATH)
    if program is None:
        return None, "", ""
    words = " ".join(probe.argv)
    try:
        done = subprocess.run(
            [program, *probe.argv[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": PATH, "LANG": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        return None, "", f"'{words}' did not answer within {PROBE_SECONDS:g} s"
    except OSError as error:
        return None, "", f"'{words}' could not be run: {error.strerror}"
    told = (done.stdout + done.stderr)[:OUTPUT_CHARACTERS_MAX]
    match = re.search(probe.pattern, told)
    if done.returncode != 0 or match is None:
        first = next((line.strip() for line in told.splitlines() if line.strip()), "nothing")
        return None, "", f"'{words}' ended with {done.returncode} and said: {first[:160]}"
    return match.group(1), words, ""


def ask_file(probe: Probe, root: Path) -> Answer:
    """Read a file that is there."""
    assert isinstance(probe, TextFile)  # noqa: S101
    file = root / probe.path.lstrip("/")
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(OUTPUT_CHARACTERS_MAX)
    except FileNotFoundError:
        return None, "", ""
    except OSError as error:
        return None, "", f"{probe.path} cannot be read: {error.strerror}"
    match = re.search(probe.pattern, text)
    return (".".join(match.groups()), probe.path, "") if match else (None, "", f"{probe.path} tells no version")


def ask_name(probe: Probe, root: Path) -> Answer:
    """Find a library's file whose name has the longest version."""
    assert isinstance(probe, FileName)  # noqa: S101
    found = [
        (version, file)
        for folder in LIBRARIES
        for name in probe.names
        for file in sorted((root / folder.lstrip("/")).glob(name))
        if re.fullmatch(r"[\d.]+", version := file.name.partition(".so.")[2])
    ]
    if not found:
        return None, "", ""
    version, file = max(found, key=lambda each: (each[0].count("."), each[0]))
    return version, f"/{file.relative_to(root)}", ""


def ask_package(probe: Probe, root: Path) -> Answer:
    """Ask this interpreter for a distribution; nothing is imported."""
    assert isinstance(probe, Package)  # noqa: S101
    for name in probe.names:
        try:
            return metadata.version(name), f"Python package {name}", ""
        except metadata.PackageNotFoundError:
            continue
    return None, "", ""


ASKERS: dict[type[Probe], Callable[[Probe, Path], Answer]] = {
    Command: ask_command,
    TextFile: ask_file,
    FileName: ask_name,
    Package: ask_package,
}
