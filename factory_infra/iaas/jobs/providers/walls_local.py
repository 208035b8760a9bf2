"""The walls around one local job: what it may open, whom it may signal, as whom it runs. Standard library only: the runner loads it."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from factory_infra.iaas.jobs.providers import landlock

USERS_FILE = "tenants.uid.json"
USERS_MAX = 10_000
SOURCE_ROOT = Path(__file__).resolve().parents[4]
NEEDED = (Path(sys.executable), SOURCE_ROOT / "x")
"""What a job's user must be able to reach: the interpreter and the programs."""
NAMES = ("files", "processes", "listing", "ports", "capabilities", "user")
"""What can be taken down, each by its name: only a control test and an operator who knows why does that."""

READ_ONLY = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/proc", "/sys", "/var/spool")
DEVICES_CLOSED = ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg")
CREDENTIALS = (".ssh", ".aws", ".kube", ".azure", ".docker", ".gnupg", ".netrc", ".config/gcloud")
"""Below the home folder of the account that runs the factory: never a job's."""
CAPABILITIES_DROPPED = (2, 12, 13, 15, 16, 17, 18, 19, 20, 21, 22, 25, 26, 27, 32, 33, 34, 38, 39, 40)
"""DAC_READ_SEARCH, NET_ADMIN, NET_RAW, IPC_OWNER, SYS_* but for nice and resource, MKNOD, MAC_*, SYSLOG, PERFMON, BPF, CHECKPOINT_RESTORE.
IPC_LOCK stays: fast networks pin memory."""
NVIDIA, NVIDIA_MEMORY, NVIDIA_MAKER = "/proc/driver/nvidia", "/dev/nvidia-uvm", "nvidia-modprobe"
MAKER_SECONDS = 20
PR_CAPBSET_DROP = 24
CLONE_NEWNS = 0x00020000
MS_REC, MS_SLAVE = 0x4000, 0x80000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
CAP_SYS_ADMIN = 21
WRITABLE = 0o222
HARMLESS = frozenset({"pressure", "mtrr"})
"""Of /proc, what may be written as it is: wishes to be told of waiting, and a table that asks for CAP_SYS_ADMIN itself."""


@dataclass(frozen=True)
class WallOrder:
    """What one tenant's jobs may reach on this host."""

    closed: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    reading: list[str] = field(default_factory=list)
    uid: int | None = None
    off: list[str] = field(default_factory=list)
    ports_closed: list[int] = field(default_factory=list)
    driver: bool = False
    """Whether its programs use a GPU: its driver gives threads their names, which is to write files of /proc."""
    ports_made: int | None = None
    """The descriptor of rules over connections that are there already, for who was given it."""

    def to_json(self) -> str:
        """As it lies in the job's folder, for who looks."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Reach:
    """The folders that an order is made of. `closed` may hold what does not exist."""

    home: Path
    jobs_dir: Path
    also: tuple[Path, ...] = ()
    also_closed: tuple[Path, ...] = ()
    ports_closed: tuple[int, ...] = ()


def order_of(tenant: str, reach: Reach, *, uid_first: int | None = None, off: tuple[str, ...] = ()) -> WallOrder:
    """Say what a tenant's jobs may reach: all of this host but the installation's home, of which only what is the tenant's own.

    Args:
        uid_first: where given, and where this process is root, each tenant gets a Unix user from this number on.
        off: names of walls that are left down on purpose.
    """
    jobs, home = reach.jobs_dir, reach.home
    closed = [home, jobs, *reach.also_closed, *(account_home() / name for name in CREDENTIALS), *map(Path, DEVICES_CLOSED)]
    own = [jobs / tenant, home / "endpoints" / tenant, home / "checkpoints" / tenant, *reach.also]
    all_teams = [home / "weights", home / "environments"]  # read, never written
    program = [Path(sys.prefix), Path(sys.base_prefix), SOURCE_ROOT, *all_teams]
    wanted = uid_first is not None and os.geteuid() == 0 and "user" not in off
    number = uid_of(home, tenant, uid_first) if wanted and uid_first is not None and not user_obstacle([*NEEDED, jobs / "x"]) else None
    return WallOrder(
        closed=[os.path.realpath(path) for path in closed],
        opened=[os.path.realpath(path) for path in own],
        reading=[*READ_ONLY, *(os.path.realpath(path) for path in program)],
        uid=number,
        off=sorted(off),
        ports_closed=sorted(reach.ports_closed),
    )


def account_home() -> Path:
    """The home folder of the account that this process runs as; one that does not exist where it has none."""
    with suppress(RuntimeError, KeyError):
        return Path("~").expanduser()
    return Path("/nonexistent")


def uid_of(home: Path, tenant: str, first: int) -> int:
    """Return the number of a tenant's user: the next free one when it has none yet, and the same ever after. Raises OSError."""
    file = home / "secrets" / USERS_FILE
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        known: dict[str, int] = json.loads(stream.read() or "{}")
        if tenant not in known:
            if len(known) >= USERS_MAX:
                raise OSError(f"all {USERS_MAX} Unix users of tenants are taken")
            known[tenant] = max([*known.values(), first - 1]) + 1
            stream.seek(0)
            stream.truncate()
            stream.write(json.dumps(known))
            stream.flush()
            os.fsync(stream.fileno())
        return known[tenant]


def give(folder: Path, order: WallOrder) -> None:
    """Where the tenant has a Unix user, let it work in a folder: it may make files, and not touch those that the runner keeps.

    The folder and its parent stay root's, with the tenant's group; what lies in the folder becomes the tenant's. Raises OSError.
    """
    if order.uid is None:
        return
    os.chown(folder.parent, 0, order.uid)
    folder.parent.chmod(0o750)
    os.chown(folder, 0, order.uid)
    folder.chmod(0o1770)


def hand_over(path: Path, order: WallOrder) -> None:
    """Make one file or folder the tenant's own: an input, the folder for temporary files, a checkpoint. Raises OSError."""
    if order.uid is not None:
        os.chown(path, order.uid, order.uid, follow_symlinks=False)


class Enclosure:
    """Walls made ready before the job's process is made, and closed around it between fork and exec."""

    def __init__(self, order: WallOrder, ruleset: int | None) -> None:
        have_gpu_nodes()
        self._order = order
        self._ruleset = ruleset
        self._ports = closed_ports(order)

    @classmethod
    def of(cls, order: WallOrder) -> "Enclosure":
        """Make the rules of an order. Raises OSError."""
        ruleset = landlock.make(files="files" not in order.off, processes="processes" not in order.off)
        if ruleset is not None and "files" not in order.off:
            fill(ruleset, order)
        return cls(order, ruleset)

    def enter(self) -> None:
        """In the new child: become the tenant's user and close the walls. Raises OSError: then the job does not start."""
        if set(self._order.off) != set(NAMES):
            landlock.gain_nothing()
        off, driver, root = set(self._order.off), self._order.driver, os.geteuid() == 0
        if self._ruleset is not None:
            if root and (driver or "listing" not in off) and own_mounts() and "listing" not in off:
                hide_processes(self._ruleset)
            if driver and "files" not in off:
                open_to_driver(self._ruleset, self._order.uid)
        if "capabilities" not in off and root:
            library = landlock.libc()
            for number in CAPABILITIES_DROPPED:
                library.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        if self._order.uid is not None:
            os.setgroups([])
            os.setresgid(self._order.uid, self._order.uid, self._order.uid)
            os.setresuid(self._order.uid, self._order.uid, self._order.uid)
        for ruleset in (self._ruleset, self._ports):
            if ruleset is not None:
                landlock.enter(ruleset)

    def close(self) -> None:
        """In the runner, once the job has started."""
        for ruleset in (self._ruleset, self._ports):
            if ruleset is not None and ruleset != self._order.ports_made:
                os.close(ruleset)
        self._ruleset = self._ports = None


def closed_ports(order: WallOrder) -> int | None:
    """Rules of their own for connections, or those that were made before: the work is spared where no port is closed."""
    if order.ports_made is not None:
        return order.ports_made
    if not order.ports_closed or "ports" in order.off:
        return None
    ruleset = landlock.make(ports=True)
    if ruleset is not None:
        landlock.allow_ports(ruleset, order.ports_closed)
    return ruleset


KEPT_PORTS: dict[tuple[int, ...], int] = {}


def with_ports(order: WallOrder) -> WallOrder:
    """The order with its rules over connections made: once for all jobs of this process, for they are the same and take long to make.

    The descriptor is open as long as this process, and is for runners alone: who holds it could open a port for the jobs to come.
    """
    closed = tuple(order.ports_closed)
    if not closed or "ports" in order.off:
        return order
    if closed not in KEPT_PORTS:
        made = closed_ports(order)
        if made is None:
            return order
        kept = KEPT_PORTS.setdefault(closed, made)  # another thread may have been quicker
        if kept != made:
            os.close(made)
    return replace(order, ports_made=KEPT_PORTS[closed])


def own_mounts() -> bool:
    """In the new child: have mounts of its own from here on. The kernel refuses that in most containers."""
    library = landlock.libc()
    return not library.unshare(CLONE_NEWNS) and not library.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)


def hide_processes(ruleset: int) -> None:
    """In the new child: see /proc through a mount of its own that lists only what the job may trace, which Landlock bounds to its own.

    Where the kernel refuses it, the list stays as it is: the audit finds that out.
    """
    if not landlock.libc().mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, b"hidepid=ptraceable"):
        landlock.allow(ruleset, "/proc", landlock.READING)


def open_to_driver(ruleset: int, uid: int | None) -> None:
    """In the new child: let what a process may write of itself in /proc be written, and nothing else there.

    Of a Unix user the kernel asks no more. What root could write besides is made read-only first; where that cannot be, nothing is opened,
    and the log says what then does not work: CUDA ends with error 304.
    """
    if uid is None and os.geteuid() == 0 and (left := [entry for entry in writable_of_system() if not read_only(entry)]):
        os.write(2, f"-- a GPU's driver cannot work here: {left[0]} could not be closed to the job, so /proc stays closed --\n".encode())
        return
    landlock.allow(ruleset, "/proc", landlock.READING | landlock.WRITE_FILE | landlock.TRUNCATE)


def writable_of_system() -> Iterator[str]:
    """What root could write in /proc that is no process's own, and would matter: files, and folders that hold such files."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() and not entry.is_symlink() and entry.name not in HARMLESS and holds_writable(entry):
            yield entry.path


def holds_writable(entry: "os.DirEntry[str]") -> bool:
    """Whether a file can be written, or a folder holds one that can."""
    if not entry.is_dir():
        return bool(entry.stat().st_mode & WRITABLE)
    for folder, _, names in os.walk(entry.path):
        for name in names:
            with suppress(OSError):
                if os.lstat(f"{folder}/{name}").st_mode & WRITABLE:
                    return True
    return False


def read_only(path: str) -> bool:
    """Make a path of /proc read-only by a mount over itself; whether it is."""
    mount, name = landlock.libc().mount, path.encode()
    if not mount(name, name, None, MS_BIND, None):
        mount(None, name, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def capable(number: int) -> bool:
    """Whether this process has a capability."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    held = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), "0")
    return bool(int(held, 16) >> number & 1)


def user_obstacle(paths: Iterable[Path]) -> str:
    """Return the first folder on the way to these paths that another Unix user may not enter, or an empty string."""
    for path in paths:
        real = Path(os.path.realpath(path))
        for above in reversed(real.parents):
            if not above.stat().st_mode & 0o001:
                return str(above)
    return ""


def have_gpu_nodes() -> None:
    """Have the driver's device for memory made where it is not there yet: within its walls the first program of CUDA could not make it."""
    if not os.path.exists(NVIDIA) or os.path.exists(NVIDIA_MEMORY):  # noqa: PTH110 - plain paths of the system
        return
    from shutil import which  # noqa: PLC0415 - seldom, and every runner loads this module

    maker = which(NVIDIA_MAKER)
    if maker is not None:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([maker, "-u", "-c=0"], timeout=MAKER_SECONDS, check=False, stdin=subprocess.DEVNULL)


def fill(ruleset: int, order: WallOrder) -> None:
    """Allow everything but what is closed, and the tenant's own."""
    everything = landlock.rights(landlock.abi()) & ~(landlock.MAKE_CHAR | landlock.MAKE_BLOCK)
    for path, writing in landlock.openings(order.closed, order.reading):
        landlock.allow(ruleset, path, everything if writing else landlock.READING)
    for path in order.reading:
        if any(landlock.beneath(each, path) for each in order.closed):
            # A home within the program's own folder: Python must list that folder to find its modules, so names can be read there.
            landlock.allow(ruleset, path, landlock.READ_DIR)
        if any(landlock.beneath(path, each) for each in order.closed):
            # The program's own folder within the home: it must be read to run at all.
            landlock.allow(ruleset, path, landlock.READING)
    for path in order.opened:
        landlock.allow(ruleset, path, everything)


def available() -> dict[str, str]:
    """Which walls this host cannot have, each with the reason. Reads only."""
    version, missing = landlock.abi(), {}
    if version == 0:
        missing["files"] = "This kernel offers no Landlock: a job reads what the account of the factory can read."
    if version < landlock.ABI_SCOPES:
        missing["processes"] = f"Landlock {version} of this kernel does not bound signals: a job can end another tenant's processes."
    if version < landlock.ABI_NET:
        missing["ports"] = f"Landlock {version} of this kernel does not bound connections: a job reaches parts of ours that take no keys."
    if version == 0 or not capable(CAP_SYS_ADMIN):
        missing["listing"] = "Only root with CAP_SYS_ADMIN, and Landlock, can hide processes: their command lines are seen by all."
    if os.geteuid() != 0:
        missing["capabilities"] = "The factory does not run as root: its jobs have no capabilities to drop."
        missing["user"] = "Only root can start jobs as another Unix user."
    return missing
