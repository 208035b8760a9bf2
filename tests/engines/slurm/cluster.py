"""A real Slurm from Debian's packages, started in a temporary folder and always stopped: seconds, loopback only.

munge's socket is at its usual place, for Slurm's programs look nowhere else: one that runs there is used; else ours is started, and stopped
by the last session that uses it.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from factory_infra.foundation.pools.spec import SlurmPool
from tests.engines.slurm.texts import GPUS, NODES, Plan

PACKAGES = "slurmctld slurmd slurmdbd slurm-client munge mariadb-server slurm-wlm-mysql-plugin"
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "sbatch", "sacct", "munged", "mariadbd", "mariadb-install-db", "runuser")
START_SECONDS = 60.0
STOP_SECONDS = 20.0
MUNGE = Path("/run/munge")
MUNGE_SOCKET = MUNGE / "munge.socket.2"
CGROUPS = Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/cpuset")
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
LETTERS = {"LANG": "C.UTF-8", "PATH": SEARCH_PATH}


def missing() -> str:
    """Why no Slurm can be started here; empty where it can."""
    if os.geteuid() != 0:
        return "a real Slurm is started by root only"
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]
    return f"{', '.join(absent)} not installed: apt-get install --no-install-recommends {PACKAGES}" if absent else ""


class SlurmCluster:
    """Controller, accounts and nodes. `stop` leaves nothing behind."""

    def __init__(self, private: str = "jobs,accounts,users,usage") -> None:
        self._private = private
        self._stack = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.folder = Path()
        self.node = f"n{secrets.token_hex(2)}x"
        self.seconds = 0.0

    @property
    def config(self) -> Path:
        """The slurm.conf."""
        return self.folder / "slurm.conf"

    def pool(self, name: str, work_dir: Path, **fields: object) -> SlurmPool:
        """An entry of the file of pools for the partition with GPUs."""
        base = {"name": name, "partition": "gpu", "work_dir": work_dir, "config": self.config}
        return SlurmPool.model_validate(base | fields)

    def start(self) -> None:
        """Start everything in the order that Slurm needs: accounts before the controller, quotas once nodes have told of their GPUs."""
        began = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - began

    def _start(self) -> None:
        # Other accounts than root's must reach the configuration, which a test's own folder does not allow.
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        self.folder.chmod(0o755)
        for name in ("db", "state", "log", "spool"):
            (self.folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        plan = Plan(self.folder, host, secrets.token_hex(8), free_ports(3 + NODES), contained(), self._private, self.node)
        for name, text in plan.texts().items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600 if name == "slurmdbd.conf" else 0o644)
        (self.folder / "jwt.key").write_bytes(secrets.token_bytes(32))
        (self.folder / "jwt.key").chmod(0o600)
        for number in range(GPUS):
            os.mknod(self.folder / f"gpu{number}", 0o600 | 0o020000, os.makedev(1, 3))
        self._start_munge()
        self._start_database(plan)
        self._run_until("slurmdbd", ["slurmdbd", "-D"], lambda: self.said("sacctmgr", "--noheader", "list", "cluster").returncode == 0)
        for words in (["cluster", "lineshaft"], ["qos", "low"], ["qos", "high", "preempt=low", "set", "priority=100"]):
            self.run("sacctmgr", "--immediate", "add", *words)
        self.run("sacctmgr", "--immediate", "modify", "cluster", "lineshaft", "set", "qos=normal,low,high")
        self._run_until("slurmctld", ["slurmctld", "-D"], self.answers)
        for number in range(1, NODES + 1):
            self._spawn(f"{self.node}{number}", ["slurmd", "-D", "-N", f"{self.node}{number}"])
        wait("the nodes", lambda: self.said("sinfo", "--noheader", "-o", "%D %T", "-p", "gpu").stdout.strip() == f"{NODES} idle")

    def stop(self) -> None:
        """End every process and take the folder away."""
        if self.folder != Path():
            with suppress(OSError, subprocess.SubprocessError):
                self.said("scancel", "--state=PENDING", "--user=root")
                self.said("scancel", "--user=root", "--full", "--signal=KILL")
        for name in list(self._running)[::-1]:
            self._end(name)
        for process in left_by(self.config):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(STOP_SECONDS)
        for group in sorted(Path("/sys/fs/cgroup").glob(f"*/slurm_{self.node}*/**/"), reverse=True):
            with suppress(OSError):
                group.rmdir()
        self._stack.close()

    def answers(self) -> bool:
        """Whether the controller answers."""
        return " is UP" in self.said("scontrol", "ping").stdout

    def kill_controller(self) -> None:
        """SIGKILL, as when its host goes down."""
        self._running["slurmctld"].kill()
        self._running.pop("slurmctld").wait()

    def start_controller(self) -> None:
        """Start it again from what it saved."""
        self._run_until("slurmctld", ["slurmctld", "-D"], self.answers)

    def mend(self) -> None:
        """Take back into service what the controller drained when it lost its memory."""
        for number in range(1, NODES + 1):
            self.said("scontrol", "update", f"NodeName={self.node}{number}", "State=RESUME")
        good = {"idle", "mixed", "allocated", "completing", "planned"}
        wait("the nodes", lambda: set(self.said("sinfo", "--noheader", "--Node", "-o", "%T").stdout.split()) <= good)

    def pause_controller(self, *, on: bool) -> None:
        """Let it hang, or go on."""
        self._running["slurmctld"].send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def show_queue(self, *, private: bool) -> None:
        """Let every account see every job, or only its own. The accounts' own privacy stays."""
        text = self.config.read_text()
        kept = [line for line in text.splitlines() if not line.startswith("PrivateData=")]
        self.config.write_text("\n".join([*kept, f"PrivateData={self._private if private else 'none'}"]) + "\n")
        self.run("scontrol", "reconfigure")

    def run(self, *argv: str, user: str = "") -> str:
        """Run one of Slurm's programs; fails where it refuses."""
        done = self.said(*argv, user=user)
        if done.returncode and "Nothing new added" not in done.stdout:
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout

    def said(self, *argv: str, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's programs, as another account if one is named."""
        before = ["runuser", "-u", user, "--"] if user else []
        return subprocess.run([*before, *argv], env=self._environment(), capture_output=True, text=True, timeout=60, check=False, cwd="/")

    def _environment(self) -> dict[str, str]:
        return LETTERS | {"SLURM_CONF": str(self.config)}

    def _start_munge(self) -> None:
        MUNGE.mkdir(exist_ok=True)
        lock = self._stack.enter_context((MUNGE / "lineshaft-tests.lock").open("a"))
        if not munge_answers():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not munge_answers():
                start_munge()
        fcntl.flock(lock, fcntl.LOCK_SH)
        self._stack.callback(stop_munge, lock.fileno())

    def _start_database(self, plan: Plan) -> None:
        data, sock = self.folder / "db", self.folder / "db.sock"
        made = ["mariadb-install-db", f"--datadir={data}", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*made, "--innodb-log-file-size=4M"], env=LETTERS, capture_output=True, check=True, timeout=START_SECONDS)
        argv = ["mariadbd", "--no-defaults", f"--datadir={data}", "--user=root", f"--socket={sock}", f"--port={plan.database_port}"]
        argv += [
            "--bind-address=127.0.0.1",
            "--innodb-log-file-size=4M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
        ]
        client = ["mariadb", "--no-defaults", f"--socket={sock}", "--user=root", "-e"]

        def answers() -> bool:
            return subprocess.run([*client, "select 1"], env=LETTERS, capture_output=True, check=False).returncode == 0

        self._run_until("mariadbd", argv, answers)
        rights = f"create database slurm; create user slurm@'%' identified by '{plan.password}'; grant all on slurm.* to slurm@'%'"
        subprocess.run([*client, rights], env=LETTERS, capture_output=True, check=True)

    def _run_until(self, name: str, argv: Sequence[str], ready: Callable[[], bool]) -> None:
        process = self._spawn(name, argv)

        def up() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended: {(self.folder / 'log' / f'{name}.out').read_text()[-2000:]}")
            return ready()

        wait(name, up)

    def _spawn(self, name: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            process = subprocess.Popen(
                argv, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._running[name] = process
        return process

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def left_by(config: Path) -> list[psutil.Process]:
    """What a cluster started and lost sight of: its steps and their jobs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if config != Path("slurm.conf") and process.environ().get("SLURM_CONF") == str(config):
                found.append(process)
    return found


def contained() -> bool:
    """Whether this host has the control groups that Slurm 22.05 can use without systemd."""
    return all(os.access(folder, os.W_OK) for folder in CGROUPS)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback that nobody has now."""
    with ExitStack() as stack:
        doors = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return tuple(door.getsockname()[1] for door in doors)


def wait(what: str, ready: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come up in {START_SECONDS:g} s")
        time.sleep(0.02)


def munge_answers() -> bool:
    """Whether a munge is there."""
    return MUNGE_SOCKET.exists() and subprocess.run(["munge", "-n"], env=LETTERS, capture_output=True, check=False).returncode == 0


def start_munge() -> None:
    """Start one with the key that its package made. It goes into the background by itself."""
    shutil.chown(MUNGE, "munge", "munge")
    MUNGE.chmod(0o755)
    argv = [
        "runuser",
        "-u",
        "munge",
        "--",
        "munged",
        "--num-threads=10",
        f"--log-file={MUNGE}/munged.log",
        f"--seed-file={MUNGE}/munged.seed",
    ]
    subprocess.run(argv, env=LETTERS, check=True, capture_output=True, timeout=START_SECONDS)
    (MUNGE / "lineshaft-tests.pid").write_text((MUNGE / "munged.pid").read_text())
    wait("munged", munge_answers)


def stop_munge(lock: int) -> None:
    """Stop the one that a test started, if no other session uses it."""
    ours = MUNGE / "lineshaft-tests.pid"
    with suppress(BlockingIOError, FileNotFoundError, ProcessLookupError, ValueError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        pid = int(ours.read_text())
        ours.unlink()
        os.kill(pid, signal.SIGTERM)
