"""Telemetry and reliability on eight simulated H100: the node agent's screen, its metrics, its cost, and XID 79 all the way."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pynvml

from benchmarks.line.shell import ROOT, run
from cli.checks import Check
from factory_infra.foundation.telemetry.models import GpuReading
from tests.live import LiveStack, until
from tests.nvml.library import Machine, build
from tests.nvml.simulator import MIB

SECONDS = 60.0
SCRAPE_SECONDS = 15.0
SHARE_MAX = 0.01
FLOW = "tests/workflows/test_repair.py::test_xid_79_is_drained_and_replaced_by_one_plan"
POLICY = """
version: "benchmark"
defaults: {write: {then: approve}, costly: {then: approve}, destructive: {then: approve}}
rules:
  - {name: nodes-mend-themselves, when: {tool: ["nodes.*"], agent: maintainer}, then: run}
"""


def checks() -> list[Check]:
    """Every row."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-telemetry-") as folder:
        library = build(Path(folder))
        rows = [screen(library), promtool(library), gpustat(library), lost(library)]
        rows += [driver(library, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "no_driver")]
        rows += [driver(library, pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "driver_mismatch")]
        rows += [overhead(library), replaced(), *by_hand(library)]
    return rows


def busy_machine(library: Path) -> Machine:
    """Eight H100 at work, one of them in parts."""
    machine = Machine(library, "........")
    for index in range(7):
        machine.simulator.busy(index, 70 + 4 * index)
    machine.simulator.mig(7, 1, 2)
    return machine


def agent(machine: Machine, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the node agent to its end."""
    command = [sys.executable, "-m", "cli", "--home", str(machine.simulator.path.parent / "home"), "node-agent", *words]
    return subprocess.run(command, env=machine.environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def agent_running(machine: Machine, *words: str, **environment: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run the node agent beside; yields where its metrics are, and the process."""
    home = machine.simulator.path.parent / "home"
    command = [sys.executable, "-m", "cli", "--home", str(home), "node-agent", "--listen", "127.0.0.1:0", *words]
    child = subprocess.Popen(command, env={**machine.environment, **environment}, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        told = re.search(r"http://\S+/metrics", child.stdout.readline())
        assert told is not None, "the agent did not say where its metrics are"
        yield told[0], psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait()


def screen(library: Path) -> Check:
    """The screen, printed."""
    done = agent(busy_machine(library), "--once", "--name", "gpu-1", "--pool", "h100")
    print(done.stdout)
    shown = sum("H100 80GB HBM3" in line for line in done.stdout.splitlines())
    figure = f"{shown} GPUs and {done.stdout.count(' part ')} MIG devices on the screen above, exit code {done.returncode}"
    return Check("node-agent on 8 simulated H100: its screen", figure, "8 GPUs, 2 MIG devices", shown == 8 and done.returncode == 0)


def promtool(library: Path) -> Check:
    """The metrics as promtool sees them."""
    name, tool = "promtool check metrics", shutil.which("promtool")
    if tool is None:
        return Check(name, "promtool is not here: Debian's package prometheus has it", "no complaint", held=False)
    with agent_running(busy_machine(library), "--no-push") as (address, _):
        until(lambda: "lineshaft_gpu_up{" in httpx.get(address, trust_env=False).text, "metrics")
        text = httpx.get(address, trust_env=False).text
    done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    count = len({line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")})
    complaint = (done.stdout + done.stderr).strip()
    return Check(name, f"{count} metrics, complaint: {complaint or 'none'}", "no complaint", done.returncode == 0 and not complaint)


def gpustat(library: Path) -> Check:
    """Another program on the same machine."""
    machine = busy_machine(library)
    machine.simulator.process(2, 1, 70_000 * MIB)
    told = run(sys.executable, "-m", "gpustat", "--json", environment=machine.environment)
    theirs = {each["index"]: each for each in json.loads(told.text)["gpus"]} if told.code == 0 else {}
    ours = [GpuReading.model_validate(each) for each in json.loads(agent(machine, "--once", "--json").stdout)["gpus"]]
    same = [each.index for each in ours if each.index in theirs and agrees(each, theirs[each.index])]
    return Check("gpustat agrees with us", f"{len(same)} of {len(ours)} GPUs in every value", "8 of 8", len(same) == len(ours) == 8)


def agrees(ours: GpuReading, theirs: dict[str, object]) -> bool:
    """Whether two programs say the same of a GPU: to the watt, the degree, the percent and the MiB."""
    used, total = theirs["memory.used"], theirs["memory.total"]
    processes = theirs["processes"]
    return (
        isinstance(used, int)
        and isinstance(total, int)
        and isinstance(processes, list)
        and (ours.name, ours.uuid) == (theirs["name"], theirs["uuid"])
        and ours.busy_percent == theirs["utilization.gpu"]
        and ours.temperature_celsius == theirs["temperature.gpu"]
        and round(ours.power_watts or 0) == theirs["power.draw"]
        and abs((ours.memory_used_gib or 0) * 1024 - used) <= 2
        and abs((ours.memory_total_gib or 0) * 1024 - total) <= 2
        and ours.processes_count == len(processes)
    )


def lost(library: Path) -> Check:
    """A GPU that falls off the bus while the agent runs, and comes back."""
    machine = busy_machine(library)
    with agent_running(machine, "--no-push", "--interval", "0.2") as (address, process):

        def up() -> int:
            lines = httpx.get(address, trust_env=False).text.splitlines()
            return sum(line.startswith("lineshaft_gpu_up{") and line.endswith(" 1.0") for line in lines)

        until(lambda: up() == 8, "all GPUs")
        machine.simulator.lose(3)
        until(lambda: up() == 7, "one GPU less")
        machine.simulator.gpu(3).code = 0
        until(lambda: up() == 8, "all GPUs again")
        alive = process.is_running()
    return Check("a GPU that is lost and comes back", "8, then 7, then 8 GPUs up; the agent ran on", "a state, no crash", alive)


def driver(library: Path, code: int, state: str) -> Check:
    """A host whose driver does not answer."""
    done = agent(Machine(library, "........", code), "--once", "--json")
    told = json.loads(done.stdout)
    figure = f"driver {told['driver']['state']}, {told['cores']} cores read, exit code {done.returncode}"
    return Check(f"{state} is a state", figure, "told, and the host is read", told["driver"]["state"] == state and done.returncode == 0)


class Listener(BaseHTTPRequestHandler):
    """An API that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Say yes."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name of who calls it)
        """Say nothing."""


def overhead(library: Path) -> Check:
    """The processor time of the agent's whole process: readings, heartbeats, and a scrape every fifteen seconds."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = {"LINESHAFT_API_URL": f"http://127.0.0.1:{server.server_port}", "LINESHAFT_API_KEY": "none"}
    with agent_running(busy_machine(library), **told) as (address, process):
        until(lambda: "lineshaft_gpu_up{" in httpx.get(address, trust_env=False).text, "metrics")
        began, at = process.cpu_times(), time.monotonic()
        while time.monotonic() - at < SECONDS:
            time.sleep(min(SCRAPE_SECONDS, SECONDS))
            httpx.get(address, trust_env=False)
        ended, seconds = process.cpu_times(), time.monotonic() - at
    server.shutdown()
    spent = ended.user + ended.system - began.user - began.system
    share = spent / seconds
    figure = f"{spent:.2f} s of processor time in {seconds:.0f} s, {100 * share:.2f} % of a core, heartbeats and scrapes included"
    return Check("overhead at 1 Hz with 8 GPUs", figure, f"below {100 * SHARE_MAX:.0f} % of a core", share < SHARE_MAX)


def replaced() -> Check:
    """XID 79 to the replaced machine, in the real workflows."""
    done = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", FLOW, seconds_max=600)
    figure = "told, suspect, one plan, draining, replaced once, checked, handed out" if done.code == 0 else done.last(3)
    return Check("XID 79 with a pool that makes machines", figure, "one plan, replaced", done.code == 0)


def by_hand(library: Path) -> list[Check]:
    """XID 79 on a running stack: an agent with a node's key, the worker's plan under policy, and a person who mends the machine."""
    machine = Machine(library, "........")
    home = library / "stack"
    home.mkdir()
    (home / "policy.yaml").write_text(POLICY)
    stack = LiveStack(home)
    stack.start()
    try:
        key = stack.command("keys", "make", "hosts", "--role", "admin", "--scope", "nodes").stdout.strip().splitlines()[-1]
        environment = {"LINESHAFT_API_URL": stack.client().url, "LINESHAFT_API_KEY": key}
        with agent_running(machine, "--name", "gpu-1", **environment):
            return flow(stack, machine)
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def flow(stack: LiveStack, machine: Machine) -> list[Check]:
    """What the stack shows from the XID to the mended node."""

    def node() -> dict[str, object]:
        rows = json.loads(stack.command("nodes", "list", "--json").stdout or "[]")
        found: dict[str, object] = next((row for row in rows if row["name"] == "gpu-1"), {})
        return found

    until(lambda: node().get("health") == "healthy", "the node registers")
    began = time.monotonic()
    machine.simulator.xid(3, 79)
    machine.simulator.lose(3)
    until(lambda: node().get("health") in {"suspect", "draining", "repairing"}, "the node is doubted")
    doubted = time.monotonic() - began
    until(lambda: node().get("health") == "repairing", "the plan hands it to a person", 180)
    mended = time.monotonic() - began
    told = json.loads(stack.command("nodes", "show", "local", "gpu-1", "--json").stdout)
    plans = {incident["plan_id"] for incident in told["incidents"]}
    print(stack.command("nodes", "show", "local", "gpu-1").stdout)
    machine.simulator.gpu(3).code = 0
    resumed = stack.command("nodes", "resume", "local", "gpu-1", "--yes")
    until(lambda: node().get("health") == "healthy", "the node is handed out again")
    figure = f"not handed out after {doubted:.1f} s, drained and handed to a person after {mended:.1f} s by {len(plans)} plan"
    one = len(plans) == 1 and "" not in plans
    return [
        Check("XID 79 on a running stack, no machines to be made", figure, "one plan, the node out", one),
        Check(
            "mended and resumed by a person",
            f"exit code {resumed.returncode}, node {node().get('health')}",
            "healthy",
            resumed.returncode == 0,
        ),
    ]


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "170")
    for check in checks():
        print(check)
