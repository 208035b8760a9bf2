"""One Slurm job's files: our records of it, and its own folder, which it may write to and in which nothing is trusted."""

import json
import os
import pwd
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from factory_infra.iaas.jobs.models import Job, JobSpec
from factory_infra.iaas.jobs.providers.folder import OWN_FILES

KEPT_FILES = OWN_FILES | {"step.sh", "generation", "starts", "tasks", "ends", "checkpoints", "ending"}
"""Names in a job's folder that no input may take and no result has."""
KEPT_BEGINNINGS = ("owner.", "failures.", "ending.", ".late", ".running", ".exit.")

SMALL_BYTES = 64 * 1024
TAIL_BYTES = 4096
STARTS_MAX = 1000


class Submission(BaseModel):
    """Which start of the job counts, and what Slurm calls it; no number yet while it is being handed over."""

    generation: int
    engine_id: str = ""
    at: datetime


@dataclass(frozen=True)
class Start:
    """One start of the program, as the script noted it."""

    at: datetime
    nodes: str


@dataclass(frozen=True)
class Exit:
    """How the program ended, as the script noted it."""

    code: int
    at: datetime
    timed_out: bool


@dataclass(frozen=True)
class Traces:
    """What a start of a job left in its folder."""

    starts: tuple[Start, ...] = ()
    exit: Exit | None = None
    percent: float | None = None
    stage: str = ""
    tail: str = ""
    log_bytes: int = 0


class SlurmFiles:
    """Paths, whole writes and careful reads of one job.

    Args:
        records: our folder of the job; nobody else writes there.
        work: the job's own folder, seen by all nodes.
        owner: the Unix account that the job runs as, where that is not ours.
    """

    def __init__(self, records: Path, work: Path, owner: str = "") -> None:
        self.records = records
        self.work = work
        self.owner = owner
        self.spec_file = records / "spec.json"
        self.lock = records / "submit.lock"
        self.submission = records / "submission.json"
        self.end = records / "end.json"

    def spec(self) -> JobSpec:
        """What was asked for."""
        return JobSpec.model_validate_json(self.spec_file.read_text(encoding="utf-8"))

    def submitted(self) -> Submission | None:
        """The newest submission."""
        try:
            return Submission.model_validate_json(self.submission.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write(self, file: Path, text: str) -> None:
        """Replace one of our records as a whole; it is on the disk when this returns."""
        draft = file.with_name(f".{file.name}.new")
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)

    def note(self, submission: Submission) -> None:
        """Replace the record of the newest submission."""
        self.write(self.submission, submission.model_dump_json())

    def cancel(self, index: int | None) -> None:
        """Note that the end of the job, or of one of its tasks, was asked for."""
        (self.records / mark_of(index)).touch(mode=0o600)

    def hurry(self, index: int | None) -> None:
        """Tell the job's script that its program has only a few seconds once it is asked to end."""
        self.put("ending" if index is None else f"ending.{index}", "")

    def was_cancelled(self, index: int | None = None) -> bool:
        """Whether the end of the job, or of this task, was asked for."""
        return (self.records / mark_of(None)).exists() or (index is not None and (self.records / mark_of(index)).exists())

    def forget_end(self) -> None:
        """Take away how it ended, for it begins once more."""
        for file in [self.end, *self.records.glob(f"{mark_of(None)}*"), *self.work.glob("ending*")]:
            file.unlink(missing_ok=True)

    def final(self) -> Job | None:
        """The job as it ended, once that is known."""
        try:
            return Job.model_validate_json(self.end.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def place(self, index: int | None) -> tuple[str, ...]:
        """The way from the job's folder to that of one of its tasks."""
        return () if index is None else ("tasks", str(index))

    def enter(self) -> None:
        """Make the folders above: what is ours is shut to others, and nobody lists whose jobs there are."""
        for folder, mode in ((self.records.parents[2], 0o711), (self.records.parents[1], 0o700), (self.work.parents[1], 0o711)):
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
        self.records.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work.parent.mkdir(mode=0o711, exist_ok=True)

    def prepare(self, spec: JobSpec) -> None:
        """Make the job's folder, whole before its owner gets it."""
        if not self.work.exists():
            draft = self.work.with_name(f".{self.work.name}.new")
            shutil.rmtree(draft, ignore_errors=True)
            self._make(draft, spec.array)
            draft.replace(self.work)
        for name, text in spec.inputs.items():
            self.put(name, text)

    def _make(self, draft: Path, array: int) -> None:
        places = [draft / "tasks" / str(index) for index in range(array)] or [draft]
        inner = [place / name for place in places for name in ("tmp", "checkpoints")]
        for folder in [draft, *([draft / "tasks", draft / "ends", *places] if array else []), *inner]:
            folder.mkdir(mode=0o700)
            self._give(folder)
        for place in places:
            (place / "log.txt").touch(mode=0o600)
            self._give(place / "log.txt")

    def put(self, name: str, text: str) -> None:
        """Replace a file of the job as a whole; a link that lies there is replaced, not followed."""
        draft = self.work / f".{name}.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            if self.owner:
                os.fchown(stream.fileno(), pwd.getpwnam(self.owner).pw_uid, -1)
        draft.replace(self.work / name)

    def _give(self, path: Path) -> None:
        if self.owner:
            shutil.chown(path, self.owner)

    def open(self, *parts: str) -> int | None:
        """Open a plain file below the job's folder for reading; None where there is none or a link stands in the way."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        held = [self._opened(str(self.work), flags | os.O_DIRECTORY, None)]
        try:
            for number, part in enumerate(parts):
                if held[-1] is None:
                    return None
                last = number == len(parts) - 1
                held.append(self._opened(part, flags if last else flags | os.O_DIRECTORY, held[-1]))
            found = held.pop()
            if found is not None and not stat.S_ISREG(os.fstat(found).st_mode):
                os.close(found)
                return None
            return found
        finally:
            for descriptor in held:
                if descriptor is not None:
                    os.close(descriptor)

    def _opened(self, name: str, flags: int, inside: int | None) -> int | None:
        with suppress(OSError):
            return os.open(name, flags, dir_fd=inside)
        return None

    def read(self, *parts: str, limit: int = SMALL_BYTES, tail: bool = False) -> bytes | None:
        """Return the beginning of a file, or its end; None while there is none."""
        descriptor = self.open(*parts)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb") as stream:
            if tail:
                stream.seek(max(os.fstat(stream.fileno()).st_size - limit, 0))
            return stream.read(limit)

    def traces(self, generation: int, index: int | None = None) -> Traces:
        """What the job, or one of its tasks, left; a failure of an earlier generation is passed over."""
        place = self.place(index)
        percent, stage = progress_of(self.read(*place, "progress.jsonl", limit=TAIL_BYTES, tail=True) or b"")
        log, log_bytes = self.end_of_log(index)
        return Traces(
            starts=starts_of(self.read(*place, "starts") or b""),
            exit=exit_of(self.read(*place, "exit.json") or b"", generation),
            percent=percent,
            stage=stage,
            tail=log.decode(errors="replace"),
            log_bytes=log_bytes,
        )

    def end_of_log(self, index: int | None) -> tuple[bytes, int]:
        """The last bytes of a log, and how long it is."""
        descriptor = self.open(*self.place(index), "log.txt")
        if descriptor is None:
            return b"", 0
        with os.fdopen(descriptor, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(size - TAIL_BYTES, 0))
            return stream.read(TAIL_BYTES), size

    def claimed_by(self, generation: int) -> str:
        """Which of Slurm's jobs has claimed this generation; empty while none has."""
        with suppress(OSError):
            return str((self.work / f"owner.{generation}").readlink())
        return ""

    def ended_tasks(self, generation: int) -> dict[int, int]:
        """Index → exit code of the tasks whose program has ended: in this generation, or with success in an earlier one."""
        names: list[str] = []
        with suppress(OSError):
            names = [file.name for file in (self.work / "ends").iterdir()]
        found: dict[int, int] = {}
        for name in names:
            marks = name.split(".")
            if len(marks) == 3 and all(mark.isdecimal() for mark in marks):
                index, code, of = (int(mark) for mark in marks)
                if code == 0 or of == generation:
                    found[index] = min(code, found.get(index, code))
        return found


def mark_of(index: int | None) -> str:
    """The name of the file that says that an end was asked for."""
    return "cancelled" if index is None else f"cancelled.{index}"


def starts_of(data: bytes) -> tuple[Start, ...]:
    """Read the lines that the script added at each start."""
    found = []
    for line in data.decode(errors="replace").splitlines()[:STARTS_MAX]:
        at, _, nodes = line.partition(" ")
        with suppress(ValueError):
            found.append(Start(datetime.fromtimestamp(float(at), UTC), nodes.strip()))
    return tuple(found)


def exit_of(data: bytes, generation: int) -> Exit | None:
    """Read the script's last word; a failure of another generation does not count, a success does."""
    with suppress(ValueError, KeyError, TypeError):
        said = json.loads(data)
        if said["generation"] != generation and said["code"] != 0:
            return None
        return Exit(int(said["code"]), datetime.fromtimestamp(float(said["at"]), UTC), bool(said["timed_out"]))
    return None


def progress_of(data: bytes) -> tuple[float | None, str]:
    """Return percent and stage from the last whole line; what a program wrote wrongly is passed over."""
    for line in reversed(data.decode(errors="replace").splitlines()):
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            record = json.loads(line)
            return min(max(float(record["percent"]), 0.0), 100.0), str(record.get("stage", ""))[:200]
    return None, ""
