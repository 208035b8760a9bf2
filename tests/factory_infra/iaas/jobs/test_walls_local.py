"""The walls around one local job: what is opened, and what a process behind them can and cannot do."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.providers import landlock, walls_local
from factory_infra.iaas.jobs.providers.walls_local import (
    Enclosure,
    Reach,
    WallOrder,
    available,
    order_of,
    uid_of,
    user_obstacle,
)

LANDLOCK = pytest.mark.skipif("files" in available(), reason="this kernel offers no Landlock")
SIGNALS = pytest.mark.skipif("processes" in available(), reason="this kernel's Landlock does not bound signals")
LISTING = pytest.mark.skipif("listing" in available(), reason="only root may hide processes")


@pytest.fixture
def reach(tmp_path: Path) -> Reach:
    """A home with jobs of two tenants and a secret."""
    home = tmp_path / "home"
    for tenant in ("vision", "speech"):
        folder = home / "jobs" / tenant / "job"
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text(f"said by {tenant}")
    (home / "secrets").mkdir()
    (home / "secrets" / "admin.key").write_text("key")
    return Reach(home=home, jobs_dir=home / "jobs")


def enclosed(reach: Reach, code: str, *, off: tuple[str, ...] = (), driver: bool = False) -> str:
    """Run Python as a job of team vision behind its walls; returns what it printed."""
    folder = reach.jobs_dir / "vision" / "job"
    enclosure = Enclosure.of(replace(order_of("vision", reach, off=off), driver=driver))
    home = f"import os\nhome = {str(reach.home)!r}\n"
    program = f"{home}try:\n    {code}\n    print('done')\nexcept OSError as error:\n    print(error.strerror)"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", program],
        cwd=folder,
        preexec_fn=enclosure.enter,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    enclosure.close()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is not the job's."""
    process = subprocess.Popen(["sleep", "300"])
    yield process.pid
    process.kill()
    process.wait()


@LANDLOCK
class TestFiles:
    @pytest.mark.parametrize(
        "code",
        [
            "open(home + '/jobs/speech/job/log.txt').read()",
            "os.listdir(home + '/jobs')",
            "os.listdir(home + '/jobs/speech')",
            "open(home + '/jobs/speech/job/new', 'w')",
            "open(home + '/secrets/admin.key').read()",
            "os.link(home + '/jobs/speech/job/log.txt', 'mine')",
            "open('/usr/new', 'w')",
        ],
    )
    def test_of_others_are_closed(self, code: str, reach: Reach) -> None:
        assert enclosed(reach, code) in {"Permission denied", "Invalid cross-device link"}

    @pytest.mark.parametrize(
        "code",
        [
            "open('log.txt').read()",
            "open('new', 'w').write('x')",
            "os.rename('log.txt', 'old.txt')",
            "os.listdir(home + '/jobs/vision')",
            "open('/dev/null', 'w').write('x')",
            "open('/etc/hostname').read()",
            "import json, sqlite3",
        ],
    )
    def test_its_own_and_the_systems_are_open(self, code: str, reach: Reach) -> None:
        assert enclosed(reach, code) == "done"

    def test_control_without_the_wall_they_are_open(self, reach: Reach) -> None:
        assert enclosed(reach, "open(home + '/secrets/admin.key').read()", off=("files",)) == "done"


THREAD_NAME = "open('/proc/self/task/%d/comm' % os.getpid(), 'w').write('cuda')"


@LANDLOCK
@LISTING
class TestDrivers:
    """A GPU's driver names its threads: without that, CUDA does not begin (error 304, seen on an H100)."""

    def test_of_gpus_may_name_their_threads(self, reach: Reach) -> None:
        assert enclosed(reach, THREAD_NAME, driver=True) == "done"
        assert enclosed(reach, THREAD_NAME, driver=True, off=("listing",)) == "done"

    def test_other_jobs_write_nothing_in_proc(self, reach: Reach) -> None:
        assert enclosed(reach, THREAD_NAME) == "Permission denied"

    @pytest.mark.parametrize("path", ["sys/kernel/hostname", "sys/vm/swappiness", "irq/default_smp_affinity"])
    @pytest.mark.parametrize("off", [(), ("listing",)])
    def test_the_systems_own_stays_closed(self, path: str, off: tuple[str, ...], reach: Reach) -> None:
        told = Path("/proc", path)
        if not told.exists():
            pytest.skip(f"this kernel has no {path}")
        before = told.read_text()
        code = f"text = open('/proc/{path}').read(); open('/proc/{path}', 'w').write(text)"
        assert enclosed(reach, code, driver=True, off=off) == "Read-only file system"
        assert told.read_text() == before

    def test_of_others_stays_closed(self, reach: Reach, stranger: int) -> None:
        code = f"open('/proc/{stranger}/oom_score_adj', 'w').write('0')"
        assert enclosed(reach, code, driver=True) in {"No such file or directory", "Operation not permitted"}

    def test_where_the_system_cannot_be_closed_nothing_is_opened(self, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(walls_local, "read_only", lambda path: False)
        assert enclosed(reach, THREAD_NAME, driver=True) == "Permission denied"


@SIGNALS
class TestProcesses:
    def test_of_others_get_no_signal(self, reach: Reach, stranger: int) -> None:
        code = f"os.kill({stranger}, {int(signal.SIGCONT)})"
        assert enclosed(reach, code) == "Operation not permitted"
        assert enclosed(reach, code, off=("processes",)) == "done"

    def test_its_own_do(self, reach: Reach) -> None:
        assert enclosed(reach, "pid = os.fork(); pid or os._exit(0); os.kill(pid, 15); os.waitpid(pid, 0)") == "done"

    @LISTING
    def test_of_others_are_not_listed(self, reach: Reach, stranger: int) -> None:
        code = f"open('/proc/{stranger}/cmdline').read()"
        assert enclosed(reach, code) == "No such file or directory"
        assert enclosed(reach, code, off=("listing",)) == "done"


@pytest.mark.skipif("ports" in available(), reason="this kernel's Landlock does not bound connections")
@pytest.mark.stack
class TestPorts:
    def test_that_are_closed_cannot_be_reached(self, reach: Reach) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            shut, free = one.getsockname()[1], other.getsockname()[1]
            closing = Reach(reach.home, reach.jobs_dir, ports_closed=(shut,))
            reached = [enclosed(closing, f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)") for port in (shut, free)]
        assert reached == ["Permission denied", "done"]


class TestOrder:
    def test_names_the_tenants_own_and_closes_the_rest(self, reach: Reach) -> None:
        order = order_of("vision", reach)
        assert str(reach.home) in order.closed
        assert str(reach.jobs_dir / "vision") in order.opened
        assert str(reach.jobs_dir / "speech") not in order.opened
        assert order.uid is None

    def test_with_all_of_them_off_there_are_no_walls(self) -> None:
        Enclosure.of(walls_local.WallOrder(off=list(walls_local.NAMES))).close()

    def test_openings_never_hold_what_is_closed(self, tmp_path: Path) -> None:
        for name in ("a/b/closed", "a/b/open", "a/c", "only-read"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "b" / "closed")
        shut, reading = str(tmp_path / "a/b/closed"), str(tmp_path / "only-read")
        found = dict(landlock.openings([shut], [reading], str(tmp_path)))
        assert found == {str(tmp_path / "a/b/open"): True, str(tmp_path / "a/c"): True, reading: False}

    def test_a_tenants_user_stays_its_own(self, tmp_path: Path) -> None:
        assert [uid_of(tmp_path, name, 200_000) for name in ("vision", "speech", "vision")] == [200_000, 200_001, 200_000]

    def test_a_folder_that_others_may_not_enter_is_named(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        assert user_obstacle([closed / "program"]) in {str(closed), *(str(above) for above in closed.parents)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start jobs as another user")
class TestUsers:
    def test_where_folders_allow_a_job_runs_as_its_tenants_user(self, monkeypatch: pytest.MonkeyPatch, reach: Reach) -> None:
        monkeypatch.setattr(walls_local, "user_obstacle", lambda paths: "")
        order = order_of("vision", reach, uid_first=210_000)
        assert order.uid == 210_000
        folder = reach.jobs_dir / "vision" / "job"
        walls_local.give(folder, order)
        enclosure = Enclosure.of(order)
        done = subprocess.run(
            ["/bin/sh", "-c", "id -u; id -g"], preexec_fn=enclosure.enter, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.split() == ["210000", "210000"]
        assert (folder.stat().st_gid, oct(folder.stat().st_mode & 0o7777)) == (210_000, "0o1770")

    def test_where_they_do_not_it_runs_as_before(self, monkeypatch: pytest.MonkeyPatch, reach: Reach) -> None:
        monkeypatch.setattr(walls_local, "user_obstacle", lambda paths: "/closed")
        assert order_of("vision", reach, uid_first=210_000).uid is None

    def test_an_order_survives_its_file(self) -> None:
        order = WallOrder(closed=["/a"], opened=["/b"], reading=["/c"], uid=5, off=["files"], ports_closed=[1])
        assert '"uid": 5' in order.to_json()
