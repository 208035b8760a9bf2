"""The stack: start, second start, the main job, memory, faults, stop."""

import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.line.shell import ROOT
from cli.checks import Check
from cli.first_job import FirstJob
from cli.stack.state import lock_path
from cli.weights import ensure_weights
from factory_infra.file_locks import is_held
from factory_infra.settings import Settings
from tests.live import LiveStack, until

READY_SECONDS_MAX = 30.0
JOB_SECONDS_MAX = 120.0
IDLE_BYTES_MAX = 2.5e9
STOP_SECONDS_MAX = 10.0
MODEL = "embedded:qwen2.5-coder-0.5b"


def processes(stack: LiveStack) -> list[psutil.Process]:
    """The supervisor and everything under it."""
    supervisor = psutil.Process(stack.state().pid)
    return [supervisor, *supervisor.children(recursive=True)]


def memory(stack: LiveStack) -> Check:
    """The idle stack's memory, shared pages counted once where the kernel says so (PSS)."""
    used = 0
    for process in processes(stack):
        full = process.memory_full_info()
        used += getattr(full, "pss", full.rss)
    return Check("idle stack with the 0.5B model", f"{used / 1e9:.2f} GB", f"<= {IDLE_BYTES_MAX / 1e9} GB", used <= IDLE_BYTES_MAX)


def loopback(stack: LiveStack) -> Check:
    """Every listener of every process is on the loopback."""
    addresses = {
        connection.laddr.ip
        for process in processes(stack)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    return Check("listeners", ", ".join(sorted(addresses)), "loopback only", addresses <= {"127.0.0.1", "::1"})


def restarted(stack: LiveStack, part: str) -> Check:
    """A part that dies is started again, and `status` says so."""
    began, dead = time.perf_counter(), stack.kill(part)
    until(lambda: any(each.name == part and each.pid not in (None, dead) and each.state == "healthy" for each in stack.state().parts), part)
    count = next(each.restarts for each in stack.state().parts if each.name == part)
    return Check(
        f"{part} killed: healthy again", f"{time.perf_counter() - began:.1f} s, {count} restart told", "1 restart told", count == 1
    )


def second_up(stack: LiveStack) -> Check:
    """A second start is refused and names the first."""
    done = stack.command("up", "--detach")
    named = str(stack.state().pid) in done.stdout + done.stderr
    return Check("a second up", f"exit code {done.returncode}, names the first: {named}", "refused, named", done.returncode != 0 and named)


def stopped(stack: LiveStack) -> Check:
    """`down` ends everything in time and leaves no process and no lock."""
    before = processes(stack)
    began = time.perf_counter()
    stack.stop()
    seconds = time.perf_counter() - began
    left = [process.pid for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    held = is_held(lock_path(stack.settings))
    figure = f"{seconds:.1f} s, {len(left)} processes, lock held: {held}"
    return Check("down", figure, f"<= {STOP_SECONDS_MAX:.0f} s, 0, no", seconds <= STOP_SECONDS_MAX and not left and not held)


def interrupted(home: Path) -> Check:
    """Ctrl-C on a stack in the foreground."""
    stack = LiveStack(home, LINESHAFT_MODEL=MODEL)
    process = subprocess.Popen(  # a user's terminal: the command in the foreground
        [sys.executable, "-m", "cli", "up"], env=stack.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    until(
        lambda: (home / "run" / "stack.json").exists() and stack.state().phase == "ready" and stack.state().pid == process.pid, "ready", 90
    )
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    seconds = time.perf_counter() - began
    left = [child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    return Check(
        "Ctrl-C",
        f"{seconds:.1f} s, {len(left)} processes left",
        f"<= {STOP_SECONDS_MAX:.0f} s, 0",
        seconds <= STOP_SECONDS_MAX and not left,
    )


def busy_port(home: Path) -> Check:
    """With the API's port taken, a free one is chosen."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = LiveStack(home, LINESHAFT_MODEL=MODEL, LINESHAFT_API_PORT=str(port))
        stack.start()
        try:
            url = next(part.url for part in stack.state().parts if part.name == "api")
            with stack.client() as client:
                answers = client.get_object("/v1/health")["status"] == "ok"
        finally:
            stack.stop()
    return Check(
        "the API's port is in use", f"{port} is taken, {url} answers: {answers}", "another port", answers and f":{port}" not in url
    )


def one_slot(home: Path) -> Check:
    """Two slots where one exists: refused, with what there is."""
    stack = LiveStack(home, LINESHAFT_SLOTS_MAX="1")
    stack.start()
    try:
        done = stack.command("chat", "--tenant", "vision", "Train a digit classifier for team vision on two slots.")
    finally:
        stack.stop()
    code = re.search(r"(capacity_exceeded|quota_exceeded)", done.stdout)
    return Check("two slots where one exists", code[0] if code else done.stdout[-80:], "refused with what there is", code is not None)


def keys_of(stack: LiveStack) -> Check:
    """The administrator's key: the owner's file, in no log."""
    path = stack.settings.secrets_dir / "admin.key"
    key, mode = path.read_text().strip(), oct(path.stat().st_mode & 0o777)
    logs = sum(key in log.read_text(errors="replace") for log in (stack.settings.home / "logs").glob("*"))
    return Check("the admin key", f"mode {mode}, in {logs} logs", "0o600, in 0", mode == "0o600" and logs == 0)


def history(stack: LiveStack) -> Check:
    """Temporal's own command lists and shows the finished run."""
    address = next(part.url for part in stack.state().parts if part.name == "temporal")
    target = stack.temporal_address
    temporal = str(Path(sys.executable).with_name("temporal"))
    listed = subprocess.run([temporal, "workflow", "list", "--address", target], capture_output=True, text=True, check=False)
    plans = re.findall(r"(plan-\S+?-\d+)\s", listed.stdout)
    shown = subprocess.run(
        [temporal, "workflow", "show", "--address", target, "-w", plans[0] if plans else "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    done = "WorkflowExecutionCompleted" in shown.stdout
    return Check(
        "temporal workflow list, show", f"{len(plans)} plans listed, completed: {done} ({address})", ">= 1, completed", bool(plans) and done
    )


def job(stack: LiveStack, console: Console) -> list[Check]:
    """The main job through the doors, timed; its own checks count one by one."""
    began = time.perf_counter()
    with stack.client() as client:
        first = FirstJob(client, console)
        first.play()
    seconds = time.perf_counter() - began
    timed = Check("the main job with the 0.5B model", f"{seconds:.1f} s", f"<= {JOB_SECONDS_MAX:.0f} s", seconds <= JOB_SECONDS_MAX)
    return [timed, *first.checks]


def checks(console: Console) -> list[Check]:
    """All of them, on a scratch home."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        ensure_weights(Settings(home=home, model=MODEL))
        stack = LiveStack(home, LINESHAFT_MODEL=MODEL)
        stack.start()
        first = stack.state().ready_seconds or 0.0
        found = [*job(stack, console)]
        stack.stop()
        stack.start()
        again = stack.state().ready_seconds or 0.0
        found.append(
            Check(
                "ready, the second time",
                f"{again:.1f} s (first {first:.1f} s)",
                f"<= {READY_SECONDS_MAX:.0f} s",
                again <= READY_SECONDS_MAX,
            )
        )
        with stack.client() as client:
            kept = len(client.get_list("/v1/plans")), len(client.get_list("/v1/endpoints")), len(client.get_list("/v1/ledger"))
        found.append(Check("after down and up", f"{kept[0]} plan, {kept[1]} endpoint, {kept[2]} postings", "nothing lost", min(kept) > 0))
        found += [memory(stack), loopback(stack), second_up(stack), keys_of(stack), history(stack)]
        found += [restarted(stack, part) for part in ("chroma", "models", "postgres", "worker")]
        found.append(stopped(stack))
        found += [interrupted(home), busy_port(home), one_slot(home)]
    return found
