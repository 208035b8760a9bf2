"""The supervisor, with small real processes as parts."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from cli.stack.events import Event
from cli.stack.health import ended, ready_file
from cli.stack.keeper import Pace
from cli.stack.part import Part, closure
from cli.stack.settings import environment_plain
from cli.stack.state import lock_path, process_of, read_state, running_state, state_path
from cli.stack.supervisor import Assembly, Stack
from factory_infra.errors import Conflict, StorageFull, Unavailable
from factory_infra.file_locks import is_held
from factory_infra.settings import Settings
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
PACE = Pace(back_off_seconds=0.05, back_off_seconds_max=0.2, poll_seconds=0.02, watch_seconds=0.2, first_attempts=3)
SERVE = """
import os, pathlib, sys, time
file = pathlib.Path(sys.argv[1])
while True:
    file.with_suffix('.new').write_text(str(os.getpid())); file.with_suffix('.new').replace(file); time.sleep(0.2)
"""
WITH_CHILD = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'])\n" + SERVE
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE


def make_part(folder: Path, name: str, program: str = SERVE, **more: object) -> Part:
    file = folder / f"{name}.ready"
    command = [sys.executable, "-I", "-S", "-c", program, str(file)]
    values = {"environment": environment_plain(), "health": ready_file(file), "healthy_seconds_max": 10.0, "stop_seconds_max": 1.0}
    return Part(name=name, command=command, **{**values, **more})  # type: ignore[arg-type]


class Scene:
    """A stack of some parts, with what it told."""

    def __init__(self, home: Path, *parts: Part) -> None:
        self.settings = Settings(home=home)
        self.events: list[Event] = []
        self.stack = Stack(
            self.settings, lambda emit: Assembly(list(parts), console_url="http://console"), on_event=self.events.append, pace=PACE
        )

    def pid(self, name: str) -> int:
        pid = next(part.pid for part in self.stack.state.parts if part.name == name)
        assert pid is not None
        return pid

    def told(self, kind: str) -> list[str]:
        return [event.part for event in self.events if event.kind == kind]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


class TestStart:
    async def test_starts_in_order_of_need_and_stops_in_reverse(self, home: Path, tmp_path: Path) -> None:
        step = make_part(tmp_path, "step", "pass", once=True, health=ended, needs=("base",))
        scene = Scene(home, make_part(tmp_path, "base"), make_part(tmp_path, "side"), step, make_part(tmp_path, "top", needs=("step",)))
        await scene.stack.start()
        kinds = [(event.part, event.kind) for event in scene.events]
        assert kinds.index(("base", "healthy")) < kinds.index(("step", "starting"))
        assert kinds.index(("step", "done")) < kinds.index(("top", "starting"))
        assert kinds.index(("side", "starting")) < kinds.index(("base", "healthy"))
        state = running_state(scene.settings)
        assert state is not None and state.phase == "ready"
        assert {part.name: part.state for part in state.parts} == {"base": "healthy", "side": "healthy", "step": "done", "top": "healthy"}
        pids = [scene.pid(name) for name in ("base", "side", "top")]
        await scene.stack.stop()
        assert scene.told("stopped").index("top") < scene.told("stopped").index("base")
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not lock_path(scene.settings).exists() and not state_path(scene.settings).exists()

    async def test_a_part_that_dies_at_first_is_tried_again_then_given_up_with_its_log(self, home: Path, tmp_path: Path) -> None:
        dying = make_part(tmp_path, "dying", "raise SystemExit('no flour in the mill')", remedy="Buy flour.")
        scene = Scene(home, make_part(tmp_path, "base"), dying)
        with pytest.raises(Unavailable) as caught:
            await scene.stack.start()
        assert caught.value.error_code == "part_dies"
        assert "no flour in the mill" in caught.value.reason and caught.value.remedy == "Buy flour."
        assert scene.told("restarting") == ["dying", "dying"]
        assert not is_held(lock_path(scene.settings))
        state = read_state(scene.settings)
        assert state is not None and state.phase == "failed" and state.failure is not None and state.failure.code == "part_dies"
        assert all(part.pid is None or not psutil.pid_exists(part.pid) for part in state.parts)

    async def test_health_that_never_comes_is_told_with_the_log(self, home: Path, tmp_path: Path) -> None:
        program = "import time; print('still kneading', flush=True); time.sleep(600)"
        scene = Scene(home, make_part(tmp_path, "slow", program, healthy_seconds_max=0.5))
        with pytest.raises(Unavailable) as caught:
            await scene.stack.start()
        assert caught.value.error_code == "part_not_healthy"
        assert "still kneading" in caught.value.reason and "doctor" in caught.value.remedy

    async def test_a_stop_during_the_start_leaves_nothing(self, home: Path, tmp_path: Path) -> None:
        scene = Scene(home, make_part(tmp_path, "slow", "import time; time.sleep(600)"))
        starting = asyncio.create_task(scene.stack.start())
        await eventually(lambda: scene.told("starting") and scene.stack.state.parts[0].pid)
        pid = scene.pid("slow")
        scene.stack.ask_to_stop()
        with pytest.raises(Conflict) as caught:
            await starting
        assert caught.value.error_code == "stack_stopped"
        assert not psutil.pid_exists(pid) and not scene.stack.running

    async def test_a_second_stack_says_which_one_runs(self, home: Path, tmp_path: Path) -> None:
        first, second = Scene(home, make_part(tmp_path, "base")), Scene(home)
        await first.stack.start()
        try:
            with pytest.raises(Conflict) as caught:
                await second.stack.start()
            assert caught.value.error_code == "stack_running"
            assert str(os.getpid()) in caught.value.reason and "http://console" in caught.value.reason
            await second.stack.stop()
            assert running_state(first.settings) is not None, "the refused one must not touch the other's files"
        finally:
            await first.stack.stop()

    async def test_an_unwritable_home_is_explained(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(Unavailable) as caught:
            await Scene(tmp_path / "file" / "home").stack.start()
        assert caught.value.error_code == "home_unwritable" and "--home" in caught.value.remedy

    async def test_a_full_disk_is_explained(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cli.stack.home.FREE_BYTES_MIN", 2**62)
        with pytest.raises(StorageFull) as caught:
            await Scene(home).stack.start()
        assert caught.value.error_code == "home_full" and caught.value.remedy


class TestKeeping:
    async def test_a_killed_part_comes_back_with_growing_pauses(self, home: Path, tmp_path: Path) -> None:
        scene = Scene(home, make_part(tmp_path, "base"))
        await scene.stack.start()
        try:
            for restarts in (1, 2):
                before = scene.pid("base")
                os.kill(before, signal.SIGKILL)
                await eventually(lambda n=restarts: scene.told("healthy") == ["base"] * (n + 1))  # type: ignore[misc]
                assert scene.pid("base") != before
            state = running_state(scene.settings)
            assert state is not None and state.parts[0].restarts == 2 and state.parts[0].state == "healthy"
            texts = [event.text for event in scene.events if event.kind == "restarting"]
            assert "SIGKILL" in texts[0] and "in 0.1 s" in texts[0]
        finally:
            await scene.stack.stop()

    def test_the_pause_doubles_up_to_its_limit(self) -> None:
        pace = Pace()
        assert [pace.pause(n) for n in (1, 2, 3, 20)] == [0.5, 1.0, 2.0, 30.0]

    async def test_a_part_that_does_not_answer_is_said_so(self, home: Path, tmp_path: Path) -> None:
        scene = Scene(home, make_part(tmp_path, "base"))
        await scene.stack.start()
        try:
            os.kill(scene.pid("base"), signal.SIGSTOP)
            (tmp_path / "base.ready").write_text("0")
            await eventually(lambda: scene.told("unhealthy") == ["base"])
            os.kill(scene.pid("base"), signal.SIGCONT)
            await eventually(lambda: scene.told("healthy") == ["base", "base"])
        finally:
            await scene.stack.stop()

    async def test_stop_ends_children_and_those_that_ignore_it(self, home: Path, tmp_path: Path) -> None:
        scene = Scene(home, make_part(tmp_path, "parent", WITH_CHILD), make_part(tmp_path, "stubborn", STUBBORN))
        await scene.stack.start()
        family = [
            psutil.Process(scene.pid("stubborn")),
            *psutil.Process(scene.pid("parent")).children(),
            psutil.Process(scene.pid("parent")),
        ]
        assert len(family) == 3
        started = time.monotonic()
        await scene.stack.stop()
        assert time.monotonic() - started < 20  # two graces of two seconds each, and a busy machine
        await eventually(lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family))

    async def test_after_a_stop_the_parts_own_ending_is_called(self, home: Path, tmp_path: Path) -> None:
        called: list[str] = []
        scene = Scene(home, make_part(tmp_path, "base", after_stop=lambda: called.append("ended")))
        await scene.stack.start()
        await scene.stack.stop()
        assert called == ["ended"]


SUPERVISE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_supervisor import Scene, make_part

async def main():
    folder = Path(sys.argv[1])
    scene = Scene(folder / "home", make_part(folder, "base"), make_part(folder, "top", needs=("base",)))
    scene.stack.handle_signals()
    await scene.stack.start()
    await scene.stack.wait()
    await scene.stack.stop()

asyncio.run(main())
"""


def start_supervisor(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**environment_plain(), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", SUPERVISE, str(folder), str(Path(__file__).parent)], env=environment)


class TestDeath:
    @pytest.fixture
    async def supervisor(self, tmp_path: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
        child = start_supervisor(tmp_path)
        try:
            await eventually(lambda: (state := running_state(Settings(home=tmp_path / "home"))) is not None and state.phase == "ready")
            yield child
        finally:
            child.kill()
            child.wait(5)

    async def test_no_part_survives_a_killed_supervisor(self, supervisor: subprocess.Popen[bytes], tmp_path: Path) -> None:
        state = read_state(Settings(home=tmp_path / "home"))
        assert state is not None and all(process_of(part.pid, part.process_created) for part in state.parts)
        supervisor.kill()
        supervisor.wait(5)
        await eventually(lambda: not any(process_of(part.pid, part.process_created) for part in state.parts))
        again = Scene(tmp_path / "home", make_part(tmp_path, "base"))
        await again.stack.start()
        await again.stack.stop()

    async def test_sigterm_stops_everything_with_exit_code_0(self, supervisor: subprocess.Popen[bytes], tmp_path: Path) -> None:
        settings = Settings(home=tmp_path / "home")
        state = read_state(settings)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0
        assert state is not None and not any(process_of(part.pid, part.process_created) for part in state.parts)
        assert not is_held(lock_path(settings)) and read_state(settings) is None


class TestClosure:
    def test_what_is_wanted_brings_what_it_needs(self, tmp_path: Path) -> None:
        parts = [
            make_part(tmp_path, "a"),
            make_part(tmp_path, "b", needs=("a",)),
            make_part(tmp_path, "c"),
            make_part(tmp_path, "d", needs=("b", "x")),
        ]
        assert [part.name for part in closure(parts, ["d"])] == ["a", "b", "d"]
