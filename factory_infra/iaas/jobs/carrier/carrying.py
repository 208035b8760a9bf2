"""One container's part of a job: bring its files, run its program, take everything out, say how it ended."""

import json
import shutil
import signal
import sys
import tempfile
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from factory_infra.iaas.jobs.carrier.files import Files, Status
from factory_infra.iaas.jobs.carrier.keys import Folder
from factory_infra.iaas.jobs.carrier.program import END_SECONDS, Program
from factory_infra.iaas.jobs.carrier.settings import CarrierSettings, Place, handed_on
from factory_infra.iaas.jobs.carrier.store import Store
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.verdict import Stop, Walls, failure, failure_of

EXIT_FAILED, EXIT_AGAIN, EXIT_PREEMPTED, EXIT_DOUBLE = 1, 75, 143, 76
"""What the engine sees: the end, once more, taken away, and a second copy that did nothing."""
WATCH_SECONDS = 0.1
MEMORY_LOOK_SECONDS = 0.5
PORT_FIRST, PORTS = 29500, 1000


class Intent(BaseModel):
    """What `spec.json` holds: what was asked for, and when. It is written once."""

    spec: JobSpec
    at: datetime


@dataclass(frozen=True)
class Run:
    """What belongs to one start of the program."""

    spec: JobSpec
    program: Program
    files: Files
    own: Folder
    home: Path
    walls: Walls


class Carrier:
    """One container's part of a job.

    Args:
        settings: what the submitter says.
        place: what the engine says.
        store: the bucket.
    """

    def __init__(self, settings: CarrierSettings, place: Place, store: Store) -> None:
        self._settings, self._place, self._store = settings, place, store
        self._job = Folder(settings.prefix)
        self._told = threading.Event()
        self._attempt = 0
        self._started_at = ""
        self._failures_before = 0

    def run(self) -> int:
        """Run the job's program once; return our exit code."""
        body = self._store.get(self._job.spec)
        if body is None:
            say("There is no such job in the bucket.")
            return EXIT_FAILED
        spec = Intent.model_validate_json(body).spec
        signal.signal(signal.SIGTERM, lambda *_: self._told.set())
        index = self._place.task if self._place.task is not None else 0 if spec.array else None
        base = self._job if index is None else self._job.task(index)
        if self._settings.keys and not self._own(base):
            say("Another copy of this job runs already: this one ends.")
            return EXIT_DOUBLE
        code = self._once(spec, base, index)
        while code == EXIT_AGAIN and self._place.again_in_place:
            code = self._once(spec, base, index)
        return code

    def _once(self, spec: JobSpec, base: Folder, index: int | None) -> int:
        """One start of the program in a folder of its own."""
        home = Path(tempfile.mkdtemp(prefix="lineshaft-"))
        try:
            return self._carry(spec, base, index, home)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _own(self, base: Folder) -> bool:
        return self._store.put_new(base.node(self._place.rank).owner(self._settings.generation), self._place.engine_id.encode())

    def _carry(self, spec: JobSpec, base: Folder, index: int | None, home: Path) -> int:
        job_dir, kept_dir, own = home / "job", home / "checkpoint", base.node(self._place.rank)
        for each in (job_dir, kept_dir, home / "tmp"):
            each.mkdir()
        self._claim(own)
        self._store.put(base.hosts(self._settings.generation, self._place.rank), self._place.host.encode())
        about: Status = {"attempt": self._attempt, "host": self._place.host, "generation": self._settings.generation}
        files = Files(self._store, base, job_dir, kept_dir, None if self._place.rank else about)
        files.bring(self._job.inputs)
        seconds = None if spec.service else spec.limits.seconds
        walls = Walls(memory_gib=spec.limits.memory_gib, file_gib=spec.limits.file_gib, seconds=seconds)
        program = Program(spec.argv, job_dir, self._environment(spec, index, home), walls)
        run = Run(spec, program, files, own, home, walls)
        if self._cancelled():
            return self._finish(run, failure_of(Stop.CANCELLED, None, None, home, walls))
        problem = program.start()
        if problem:
            code = "program_unknown" if program.absent else "job_failed"
            told = failure(code, f"The job's program could not be started: {problem}.", "Check the argument vector and the image.")
            return self._finish(run, told)
        return self._end(run, *self._watch(program, files, base))

    def _cancelled(self) -> bool:
        return self._store.get(self._job.cancel(self._settings.generation)) is not None

    def _claim(self, own: Folder) -> None:
        """Take the next attempt's number. Failures of this generation are counted for the limit of attempts."""
        self._started_at = now()
        record = {
            "engine_id": self._place.engine_id,
            "host": self._place.host,
            "at": self._started_at,
            "generation": self._settings.generation,
        }
        self._attempt = sum(1 for _ in self._store.keys(own.runs)) + 1
        while not self._store.put_new(own.run(self._attempt), json.dumps(record).encode()):
            self._attempt += 1
        self._failures_before = 0
        for key in self._store.keys(own.exits):
            told = json.loads(self._store.get(key) or b"{}")
            self._failures_before += told.get("generation") == self._settings.generation

    def _environment(self, spec: JobSpec, index: int | None, home: Path) -> dict[str, str]:
        place = self._place
        port = PORT_FIRST + zlib.crc32(f"{self._job.prefix}{index}".encode()) % PORTS
        ours = {
            "HOME": str(home / "job"),
            "TMPDIR": str(home / "tmp"),
            "PYTHONUNBUFFERED": "1",
            "LINESHAFT_JOB_ID": spec.id,
            "LINESHAFT_ATTEMPT": str(self._attempt),
            "LINESHAFT_JOB_DIR": str(home / "job"),
            "LINESHAFT_CHECKPOINT_DIR": str(home / "checkpoint"),
            "MASTER_ADDR": place.main_address,
            "MASTER_PORT": str(port),
            "NNODES": str(place.nodes),
            "NODE_RANK": str(place.rank),
            "WORLD_SIZE": str(place.nodes),
        }
        if index is not None:
            ours |= {"LINESHAFT_ARRAY_INDEX": str(index), "LINESHAFT_ARRAY_COUNT": str(spec.array)}
        return handed_on() | spec.environment | ours

    def _watch(self, program: Program, files: Files, base: Folder) -> tuple[Stop, str]:
        """Wait for the program's end, a signal, a limit, or a node that failed, whichever comes first; keep taking files out."""
        looks, waited, synced = 0.0, 0.0, 0.0
        while not program.ended():
            if self._told.wait(WATCH_SECONDS):
                return (Stop.CANCELLED if self._cancelled() else Stop.SILENT), ""
            if program.over_time():
                return Stop.TIMEOUT, ""
            waited += WATCH_SECONDS
            if waited - looks >= MEMORY_LOOK_SECONDS:
                looks = waited
                if program.over_memory():
                    return Stop.MEMORY, ""
            if waited - synced >= self._settings.sync_seconds:
                synced = waited
                files.sync()
                node = self._node_down(base)
                if node:
                    return Stop.NONE, node
        return Stop.NONE, ""

    def _node_down(self, base: Folder) -> str:
        """The first node has an eye on the others: the engine would let it wait for them for ever."""
        if self._place.nodes == 1 or self._place.rank != 0:
            return ""
        return next((key.rsplit("/", 1)[-1].removesuffix(".json").lstrip("0") for key in self._store.keys(base.down(self._attempt))), "")

    def _end(self, run: Run, stop: Stop, node: str) -> int:
        """End what is left of the program and take its files out. Taken away is not failed: then there is no record of an end."""
        program = run.program
        if stop is Stop.SILENT:
            run.files.sync(everything=True)
            program.end(self._settings.grace_seconds)
            run.files.sync(everything=True)
            program.log.say("-- the machine is taken away: the job goes on elsewhere from its checkpoint --")
            return EXIT_PREEMPTED
        program.end(END_SECONDS if stop in {Stop.CANCELLED, Stop.TIMEOUT} else 0.0)
        run.files.sync(everything=True)
        if self._place.rank == 0:
            run.files.results()
        tail = run.home / "tail.txt"
        tail.write_bytes(program.log.tail)
        told = failure_of(stop, *program.status, tail, run.walls)
        if node:
            told = failure("job_failed", f"The program on node {node} failed, and with it the job.", "Read the job's log.")
        return self._finish(run, told)

    def _finish(self, run: Run, told: dict[str, str] | None) -> int:
        """Write the record of the end last: whoever finds it finds everything else."""
        program = run.program
        exit_code, number = program.status
        record = {
            "exit_code": exit_code,
            "signal": number,
            "started_at": self._started_at,
            "finished_at": now(),
            "failure": told,
            "generation": self._settings.generation,
            "log_bytes": program.log.bytes,
        }
        if told is not None and self._place.rank:
            self._store.put(self._job.down(self._attempt, self._place.rank), json.dumps(told).encode())
        self._store.put(run.own.exit(self._attempt), json.dumps(record).encode())
        if told is None:
            return 0
        with suppress(OSError):
            (self._settings.ml_dir / "output/failure").write_text(f"{told['code']}: {told['reason']}", encoding="utf-8")
        again = told["code"] not in {"cancelled", "job_timeout", "program_unknown"} and self._failures_before + 1 < run.spec.attempts_max
        return EXIT_AGAIN if again else EXIT_FAILED


def now() -> str:
    """The present moment, with its zone."""
    return datetime.now(UTC).isoformat()


def say(words: str) -> None:
    """Write a line into the log of a container that runs no program."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
