"""A job's files between its folder in the container and its folder in the bucket."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from factory_infra.iaas.jobs.carrier.keys import Folder
from factory_infra.iaas.jobs.carrier.store import Store

PROGRESS = "progress.jsonl"
PROGRESS_BYTES = 4096
RESULT_BYTES_MAX = 64 * 1024 * 1024
UNFINISHED = (".part", ".partial", ".tmp", ".new")
Stamp = tuple[int, int]
Status = dict[str, object]


class Files:
    """Takes out what changed.

    Args:
        store: the bucket.
        folder: the job's keys.
        job_dir: where the program runs.
        checkpoint_dir: what survives.
        about: what everybody may know of this attempt; None for nodes but the first, which report nothing.
    """

    def __init__(self, store: Store, folder: Folder, job_dir: Path, checkpoint_dir: Path, about: Status | None) -> None:
        self._about = about
        self._store = store
        self._folder = folder
        self._job_dir = job_dir
        self._checkpoint_dir = checkpoint_dir
        self._taken: dict[str, Stamp] = {}

    def bring(self, inputs: str) -> None:
        """Bring the inputs and the checkpoint of the attempts before."""
        for prefix, target in ((inputs, self._job_dir), (self._folder.checkpoint, self._checkpoint_dir)):
            for key in self._store.keys(prefix):
                file = target / key.removeprefix(prefix)
                file.parent.mkdir(parents=True, exist_ok=True)
                self._store.download(key, file)
                self._taken[str(file)] = stamp(file)
        self._report(b"")

    def sync(self, *, everything: bool = False) -> None:
        """Take progress and changed checkpoint files out. A file that still changes waits for the next time, unless all is wanted now."""
        self._progress()
        waiting = False
        for file in checkpoint_files(self._checkpoint_dir):
            now = self._changed(file)
            if now is None:
                continue
            if not everything and (now != self._seen(file, now) or file.name.endswith(UNFINISHED)):
                waiting = True
                continue
            self._store.upload(file, self._key(file))
            self._taken[str(file)] = now
        if not waiting:
            self._forget()

    def _forget(self) -> None:
        """Remove what the program removed; never while something newer is still to be taken out."""
        for name in [name for name in self._taken if name.startswith(f"{self._checkpoint_dir}/")]:
            if not Path(name).exists():
                self._store.remove(self._key(Path(name)))
                del self._taken[name]

    def _key(self, file: Path) -> str:
        return self._folder.checkpoint + file.relative_to(self._checkpoint_dir).as_posix()

    def results(self) -> None:
        """Take out the files that the program left at the top of its folder."""
        for file in sorted(self._job_dir.iterdir()):
            fits = file.is_file() and not file.is_symlink() and not file.name.startswith(".") and file.name != PROGRESS
            if fits and file.stat().st_size <= RESULT_BYTES_MAX and self._changed(file) is not None:
                self._store.upload(file, self._folder.results + file.name)

    def _progress(self) -> None:
        file = self._job_dir / PROGRESS
        now = self._changed(file)
        if now is not None:
            with file.open("rb") as stream:
                stream.seek(max(now[1] - PROGRESS_BYTES, 0))
                self._report(stream.read(PROGRESS_BYTES))
            self._taken[str(file)] = now

    def _report(self, progress: bytes) -> None:
        if self._about is not None:
            self._store.put(self._folder.status, json.dumps({**self._about, "progress": progress.decode(errors="replace")}).encode())

    def _changed(self, file: Path) -> Stamp | None:
        """A file's stamp if it is another than when it was last taken; None too where it has gone."""
        try:
            now = stamp(file)
        except OSError:
            return None
        return None if self._taken.get(str(file)) == now else now

    def _seen(self, file: Path, now: Stamp) -> Stamp | None:
        """The stamp at the look before this one: a file that has the same twice is at rest."""
        mark = f"seen:{file}"
        before, self._taken[mark] = self._taken.get(mark), now
        return before


def checkpoint_files(folder: Path) -> Iterator[Path]:
    """Every plain file below the folder."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in sorted(names) if not (Path(parent) / name).is_symlink())


def stamp(file: Path) -> Stamp:
    """What tells one writing of a file from another."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size
