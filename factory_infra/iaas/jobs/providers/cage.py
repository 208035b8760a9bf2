"""Control groups around a job's programs, where this host lets us make them. Standard library only: the runner loads it."""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.process_tree import kill_strays
from factory_infra.iaas.jobs.providers.verdict import Walls

CONTROLLERS = ("memory", "pids", "cpu")
COUNTERS = {
    ("memory", 1): ("memory.oom_control", "oom_kill"),
    ("memory", 2): ("memory.events", "oom_kill"),
    ("pids", 1): ("pids.events", "max"),
    ("pids", 2): ("pids.events", "max"),
}
"""Where the kernel counts what a bound did, and under which name."""
BASE = "lineshaft"
TRIES = 5
PERIOD_MICROSECONDS = 100_000
REMOVE_SECONDS = 2.0
POLL_SECONDS = 0.02
PROC_SELF = Path("/proc/self")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted tree of control groups: where we are in it and above, nearest first."""

    version: int
    controllers: tuple[str, ...]
    places: tuple[Path, ...]


@dataclass(frozen=True)
class Bounds:
    """What one program and all that it starts may use."""

    memory_bytes: int
    processes: int
    cores: int | None

    @classmethod
    def of(cls, walls: Walls, cores: int | None) -> "Bounds":
        """The bounds that a job's walls ask for."""
        return cls(int(walls.memory_gib * 1024**3), walls.processes, cores)


def hierarchies(proc: Path = PROC_SELF) -> list[Hierarchy]:
    """Return the trees that are mounted, the unified one first: a controller is in one tree only."""
    own = own_groups(proc)
    found = []
    for line in lines_of(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        version = 2 if kind[0] == "cgroup2" else 1
        named = () if version == 2 else tuple(name for name in CONTROLLERS if name in kind[2].split(","))
        if version == 2 or named:
            point = Path(fields[4])
            group = own.get("" if version == 2 else named[0], "/")
            inside = group.removeprefix(fields[3].rstrip("/")).strip("/")
            start = point / inside if (point / inside).is_dir() else point
            places = (start, *(above for above in start.parents if above == point or point in above.parents))
            found.append(Hierarchy(version, named, places))
    return sorted(found, key=lambda tree: -tree.version)


def own_groups(proc: Path) -> dict[str, str]:
    """Return our own group in each tree, by controller; the unified tree has none."""
    groups: dict[str, str] = {}
    for line in lines_of(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def lines_of(file: Path) -> list[str]:
    """The lines of a file of the kernel, or none."""
    with suppress(OSError):
        return file.read_text(encoding="utf-8").splitlines()
    return []


class Cages:
    """The groups of one job, in every tree that has a controller for us. Their paths are kept in the job's folder, to be found again."""

    def __init__(self, folder: JobFolder, trees: list[Hierarchy]) -> None:
        self._folder = folder
        self._key = key_of(folder)
        self._groups: list[tuple[Path, int, tuple[str, ...]]] = []
        left = set(CONTROLLERS)
        for tree in trees:
            claimed = self._claim(tree, left)
            if claimed is not None:
                self._groups.append((claimed[0], tree.version, claimed[1]))
                left -= set(claimed[1])
        folder.write(folder.groups, json.dumps({"paths": [str(path) for path, _, _ in self._groups]}), lasting=False)

    def _claim(self, tree: Hierarchy, left: set[str]) -> tuple[Path, tuple[str, ...]] | None:
        """Make the job's group at the nearest place that takes it: then the limits that are set above us hold for it too."""
        for place in tree.places:
            offered = tree.controllers if tree.version == 1 else tuple(" ".join(lines_of(place / "cgroup.controllers")).split())
            wanted = tuple(name for name in CONTROLLERS if name in left and name in offered)
            if not wanted:
                continue
            group = place / BASE / self._key
            wanted = made(place, group, wanted, tree.version)
            if wanted and enterable(group / "probe"):
                return group, wanted
            remove_job(group)
        return None

    def cage(self, name: str, bounds: Bounds) -> "Cage":
        """Make the cage of one program, with its bounds set; a bound that the kernel refuses is not told as held."""
        made = Cage()
        for group, version, controllers in self._groups:
            with suppress(OSError):
                (group / name).mkdir(mode=0o755, exist_ok=True)
                held = tuple(each for each in controllers if bounded(group / name, version, each, bounds))
                made.groups.append((group / name, version, held))
        return made

    def end(self, prefix: str) -> None:
        """End what a watcher that was killed left in its cages: those whose name begins so."""
        for group, _, _ in self._groups:
            for left in group.glob(f"{prefix}*/"):
                remove(left)

    @property
    def told(self) -> dict[str, str]:
        """Which controller is in which tree."""
        return {name: f"cgroup v{version}" for _, version, controllers in self._groups for name in controllers}

    def remove(self) -> None:
        """End what is still in them and remove the groups."""
        for group, _, _ in self._groups:
            remove_job(group)


@dataclass
class Cage:
    """The groups around one program and everything that it starts, however it hides."""

    groups: list[tuple[Path, int, tuple[str, ...]]] = field(default_factory=list)

    @property
    def told(self) -> dict[str, str]:
        """Which wall is held by what."""
        return {name: f"cgroup v{version}" for _, version, held in self.groups for name in held}

    def enter(self) -> None:
        """In the new child: be in the cage from the first moment. Raises OSError."""
        for group, _, _ in self.groups:
            write(group / "cgroup.procs", "0")

    def counted(self, controller: str) -> int:
        """How often the bound of `memory` killed, or that of `pids` refused a process."""
        total = 0
        for group, version, held in self.groups:
            if controller in held:
                file, key = COUNTERS[controller, version]
                total += sum(int(value) for name, value in map(str.split, lines_of(group / file)) if name == key)
        return total

    def kill(self) -> None:
        """Let nothing new start in it, and kill what is there."""
        for group, _, held in self.groups:
            with suppress(OSError):
                if "pids" in held:
                    write(group / "pids.max", "0")
            kill(group)

    def remove(self) -> None:
        """End what is still in it and remove the groups."""
        for group, _, _ in self.groups:
            remove(group)


def made(place: Path, group: Path, wanted: tuple[str, ...], version: int) -> tuple[str, ...]:
    """Make a group below a place; returns the controllers that it has. Another job that ends may remove our base in between."""
    for _ in range(TRIES):
        with suppress(OSError):
            having = wanted
            for level in (place, group.parent, group):
                level.mkdir(mode=0o755, exist_ok=True)
                if version == 2:
                    having = tuple(name for name in having if handed_down(level, name))
            return having
    return ()


def bounded(group: Path, version: int, controller: str, bounds: Bounds) -> bool:
    """Set one bound of a group; returns whether there is one now."""
    try:
        if controller == "memory":
            write(group / ("memory.max" if version == 2 else "memory.limit_in_bytes"), str(bounds.memory_bytes))
            with suppress(OSError):  # a host without swap has no such file
                write(group / ("memory.swap.max" if version == 2 else "memory.memsw.limit_in_bytes"), swap(version, bounds))
        elif controller == "pids":
            write(group / "pids.max", str(bounds.processes))
        elif bounds.cores is None:
            return False
        elif version == 2:
            write(group / "cpu.max", f"{bounds.cores * PERIOD_MICROSECONDS} {PERIOD_MICROSECONDS}")
        else:
            write(group / "cpu.cfs_period_us", str(PERIOD_MICROSECONDS))
            write(group / "cpu.cfs_quota_us", str(bounds.cores * PERIOD_MICROSECONDS))
    except OSError:
        return False
    return True


def swap(version: int, bounds: Bounds) -> str:
    """No swap: version 2 counts it apart, version 1 together with memory."""
    return "0" if version == 2 else str(bounds.memory_bytes)


def handed_down(group: Path, controller: str) -> bool:
    """Whether groups below this one have the controller, now that it was asked for."""
    file = group / "cgroup.subtree_control"
    if controller not in " ".join(lines_of(file)).split():
        with suppress(OSError):
            write(file, f"+{controller}")
    return controller in " ".join(lines_of(file)).split()


def enterable(group: Path) -> bool:
    """Whether a process of ours may be put there: tried with one that ends at once."""
    try:
        group.mkdir(mode=0o755, exist_ok=True)
    except OSError:
        return False
    child = os.fork()
    if child == 0:
        try:
            write(group / "cgroup.procs", "0")
        except OSError:
            os._exit(1)
        os._exit(0)
    entered = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with suppress(OSError):
        group.rmdir()
    return entered


def write(file: Path, text: str) -> None:
    """Write to a file of the kernel, which is never made by us. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def kill(group: Path) -> bool:
    """Kill every process of a group and of those below; returns whether any was there."""
    found = False
    for each in (group, *(path for path in group.glob("**/") if path != group)):
        for word in lines_of(each / "cgroup.procs"):
            found = True
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(word), signal.SIGKILL)
    return found


def remove(group: Path) -> None:
    """Kill what is in a group, and remove it with those below."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while group.is_dir():
        kill(group)
        for each in sorted(group.glob("**/"), key=lambda path: -len(path.parts)):
            with suppress(OSError):
                each.rmdir()
        if not group.is_dir() or time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)


def remove_job(group: Path) -> None:
    """Remove the group of a job, and our base with it once that is empty."""
    remove(group)
    with suppress(OSError):
        group.parent.rmdir()


def key_of(folder: JobFolder) -> str:
    """The name of a job's groups."""
    return "j" + sha256(str(folder.path).encode()).hexdigest()[:24]


def end_left(folder: JobFolder) -> None:
    """End what a runner that was killed has left: control groups with what is in them, and processes that carry the job's folder."""
    record = folder.read(folder.groups) or {}
    paths = record.get("paths")
    for path in (Path(str(each)) for each in paths) if isinstance(paths, list) else ():
        # A job can write this file: only groups of its own are believed.
        if (path.parent.name, path.name) == (BASE, key_of(folder)):
            remove_job(path)
    kill_strays(folder.path)
