"""What a training program ran on: interpreter, packages, machine, devices, image and source, as tags of its run. Light on purpose."""

import hashlib
import os
import platform
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from factory_infra.iaas.jobs.programs import SOURCE_ROOT
from factory_infra.paas.training.settings import CaptureSettings

KNOWN = ("numpy", "scikit-learn", "torch", "transformers", "peft", "ray", "onnxruntime", "skl2onnx")
MIB = 1024**2
CHARACTERS_MAX = 5000
"""A tag of the tracking server holds no more."""
COMMIT = re.compile(r"[0-9a-f]{40}")


def environment_tags() -> dict[str, str]:
    """What this process runs on, by `lineshaft.env.…`; the digest is the same for the same packages."""
    told = {"python": platform.python_version(), "platform": platform.platform(), "packages_digest": packages_digest()}
    told |= {f"package.{name}": found for name in KNOWN if (found := version_of(name))}
    told |= hardware() | source() | image()
    return {f"lineshaft.env.{name}": value[:CHARACTERS_MAX] for name, value in told.items() if value}


def packages() -> list[str]:
    """Every installed package with its version, by name."""
    return sorted({f"{each.metadata['Name']}=={each.version}".lower() for each in distributions() if each.metadata["Name"]})


def packages_digest() -> str:
    """SHA-256 of the list of packages."""
    return hashlib.sha256("\n".join(packages()).encode()).hexdigest()


def version_of(name: str) -> str:
    """A package's version, or nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def hardware() -> dict[str, str]:
    """The machine as this process sees it: the cores that it may use, memory, devices that it was given."""
    given = CaptureSettings()
    found = {"cores": str(len(os.sched_getaffinity(0))), "machine": platform.machine(), "devices": given.cuda_visible_devices}
    with suppress(OSError, ValueError):
        found["memory_mib"] = str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB)
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        found["processor"] = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return found


def source(root: Path = SOURCE_ROOT) -> dict[str, str]:
    """The commit that the program's source tree stands at, where it is a checkout; read from its files, no git is started."""
    with suppress(OSError):
        head = (root / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return {"commit": head} if COMMIT.fullmatch(head) else {}
        name = head.removeprefix("ref: ")
        branch = {"branch": name.removeprefix("refs/heads/")}
        return branch | {"commit": commit_of(root / ".git", name)}
    return {}


def commit_of(folder: Path, name: str) -> str:
    """The commit of a branch: its own file, or the packed list."""
    with suppress(OSError):
        return (folder / name).read_text(encoding="utf-8").strip()
    with suppress(OSError):
        for line in (folder / "packed-refs").read_text(encoding="utf-8").splitlines():
            commit, _, called = line.partition(" ")
            if called == name and COMMIT.fullmatch(commit):
                return commit
    return ""


def image() -> dict[str, str]:
    """The container image, where the job was told it."""
    return {"image": CaptureSettings().lineshaft_image}
