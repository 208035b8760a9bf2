"""Microsoft's Philly traces (`msr-fiddle/philly-traces`, ATC 2019): its machine list as a fleet, its job log as arrivals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.mixes import CPU_MILLI_A_GPU, MEMORY_MIB_A_GPU, share_of
from factory_infra.iaas.scheduling.models import NodeSpec, Workload
from factory_infra.iaas.scheduling.traces.reading import document, moment, opened, refused, rows
from factory_infra.iaas.twin.arrivals import Arrival

MACHINES_FILE = "cluster_machine_list"
JOBS_FILE = "cluster_job_log"
MACHINE_COLUMNS = ("machineId", "number of GPUs", "single GPU mem")
KEYS = ("status", "vc", "jobid", "attempts", "submitted_time")
REMEDY = "Each entry has status, vc, jobid, attempts, submitted_time, as the publisher's README says."
SECONDS_MIN = 1.0


@dataclass(frozen=True, slots=True)
class PhillyTrace:
    """The fleet and the work that came to it."""

    nodes: tuple[NodeSpec, ...]
    arrivals: tuple[Arrival, ...]
    left_out: Mapping[str, int]
    """Jobs that the publisher's README says cannot be used, by why: never scheduled, or a time was not recorded."""


def read_folder(folder: Path) -> PhillyTrace:
    """Read both files of a folder. Raises InvalidInput `trace_invalid` that names the file, where in it, and the remedy."""
    nodes = read_machines(folder / MACHINES_FILE)
    arrivals, left_out = read_jobs(folder / JOBS_FILE, nodes)
    return PhillyTrace(nodes, tuple(arrivals), left_out)


def read_machines(path: Path) -> tuple[NodeSpec, ...]:
    """The machines; a GPU's model is its memory, such as `24GB`, for the trace names no other. Raises InvalidInput.

    Cores and memory are not in the trace: each GPU brings its share, and each job asks for the share of its GPUs.
    """
    nodes: dict[str, NodeSpec] = {}
    for row in rows(path, MACHINE_COLUMNS):
        name, gpus = row.text("machineId"), row.whole("number of GPUs", 0)
        if name in nodes:
            raise row.refused(f"machine '{name}' is there twice", "Name each machine once.")
        nodes[name] = NodeSpec(name, gpus * CPU_MILLI_A_GPU, gpus * MEMORY_MIB_A_GPU, gpus, row.text("single GPU mem"))
    return tuple(nodes.values())


def read_jobs(path: Path, nodes: Sequence[NodeSpec]) -> tuple[list[Arrival], Mapping[str, int]]:
    """The jobs in order of submission, and how many are left out by why. Raises InvalidInput.

    A job's run time is that of all its attempts together; its GPUs are those of its last attempt. It is known exactly when it is submitted:
    give it estimates with `mixes.estimated` to leave that out.
    """
    content = document(path)
    if not isinstance(content, list):
        raise refused(path, 1, "it is no list of jobs", REMEDY)
    reader = JobReader(path, max((node.gpus for node in nodes), default=0), sum(node.gpus for node in nodes))
    arrivals = [arrival for number, entry in enumerate(content, 1) if (arrival := reader.read(number, entry)) is not None]
    if not arrivals:
        raise refused(path, 0, "it has no job that was ever scheduled", REMEDY)
    return sorted(arrivals, key=lambda each: (each.workload.submitted_at, each.workload.id)), dict(reader.left_out)


class JobReader:
    """Reads one entry after the other; a refusal names the entry, its job and its line."""

    def __init__(self, path: Path, node_gpus: int, gpus: int) -> None:
        self.path, self.node_gpus, self.gpus = path, node_gpus, gpus
        self.left_out: Counter[str] = Counter()
        self.ids: set[str] = set()
        self.number, self.id = 0, ""

    def read(self, number: int, entry: JsonValue) -> Arrival | None:
        """The job, or None where it is left out. Raises InvalidInput."""
        self.number, self.id = number, ""
        if not isinstance(entry, Mapping) or any(key not in entry for key in KEYS):
            raise self.refused("a field is missing", REMEDY)
        self.id, queue = str(entry["jobid"]), str(entry["vc"])
        if self.id in self.ids:
            raise self.refused("the job is there twice", "Name each job once.")
        self.ids.add(self.id)
        attempts = entry["attempts"]
        if not isinstance(attempts, list) or not all(isinstance(each, Mapping) for each in attempts):
            raise self.refused("'attempts' is no list of attempts", REMEDY)
        if not attempts:
            self.left_out["never scheduled"] += 1
            return None
        spans = [self.span(each) for each in attempts if isinstance(each, Mapping)]
        if any(span is None for span in spans):
            self.left_out["a time was not recorded"] += 1
            return None
        return self.arrival(queue, self.time(entry["submitted_time"], "submitted_time"), spans, self.counted(attempts[-1]))

    def arrival(self, queue: str, submitted: float, spans: Sequence[tuple[float, float] | None], gpus: int) -> Arrival:
        """The job as it is submitted."""
        begin = min((span[0] for span in spans if span), default=submitted)
        if begin < submitted:
            raise self.refused(f"it started {submitted - begin:g} s before it was submitted", "Look for what broke its times.")
        seconds = max(sum(end - start for start, end in (span for span in spans if span)), SECONDS_MIN)
        members = self.members(gpus)
        shape = share_of(gpus // members)
        return Arrival(Workload(self.id, queue, shape, submitted, seconds, members=members), actual_seconds=seconds)

    def members(self, gpus: int) -> int:
        """In how many equal parts a job's GPUs lie, the fewest that fit machines."""
        if gpus > self.gpus:
            raise self.refused(f"it has {gpus} GPUs, the whole fleet {self.gpus}", "Give the machine list of the same cluster.")
        return next(parts for parts in range(1, gpus + 1) if gpus % parts == 0 and gpus // parts <= self.node_gpus)

    def span(self, attempt: Mapping[str, JsonValue]) -> tuple[float, float] | None:
        """An attempt's start and end; None where one of them was not recorded."""
        if attempt.get("start_time") in (None, "None", "") or attempt.get("end_time") in (None, "None", ""):
            return None
        start, end = self.time(attempt["start_time"], "start_time"), self.time(attempt["end_time"], "end_time")
        if end < start:
            raise self.refused(f"an attempt ends {start - end:g} s before it starts", "Look for what broke its times.")
        return start, end

    def counted(self, attempt: JsonValue) -> int:
        """The GPUs of an attempt."""
        detail = attempt.get("detail") if isinstance(attempt, Mapping) else None
        parts = [each.get("gpus") if isinstance(each, Mapping) else None for each in detail] if isinstance(detail, list) else []
        if not parts or not all(isinstance(part, list) for part in parts):
            raise self.refused("its last attempt names no GPUs", REMEDY)
        gpus = sum(len(part) for part in parts if isinstance(part, list))
        if not gpus:
            raise self.refused("its last attempt names no GPUs", REMEDY)
        return gpus

    def time(self, value: JsonValue, what: str) -> float:
        """A time of the job. Raises InvalidInput."""
        try:
            return moment(str(value), self.path, 0, what)
        except InvalidInput as error:
            raise self.refused(f"'{what}' is '{str(value)[:40]}', no time", error.remedy) from error

    def refused(self, wrong: str, remedy: str) -> InvalidInput:
        """The refusal of this entry, with the line on which its id stands."""
        head, found, _ = opened(self.path).partition(f'"{self.id}"') if self.id else ("", "", "")
        name = f" ({self.id[:60]})" if self.id else ""
        return refused(self.path, head.count("\n") + 1 if found else 0, f"entry {self.number}{name}: {wrong}", remedy)
