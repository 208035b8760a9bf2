"""Roll-outs under 200 requests a second through the API: none fails, whatever is rolled out, goes back, sleeps or is killed."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx
import psutil
from rich.console import Console

from benchmarks.control_plane.door import built, settings_of
from benchmarks.gateway.ground import end, free_port
from benchmarks.line.shell import ROOT
from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.factory import Factory
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.paas.deployments.rollout_models import NewRollout, Rollout, RolloutPlan
from factory_infra.paas.deployments.scaling import NewScaling
from factory_infra.paas.tenants.models import Role
from tests.tiny_onnx import FRAGILE, OTHERWISE

TEAM, ENDPOINT = "mill", "reader"
RATE = 200
ASKERS = 64
DOORS = 2
START_SECONDS_MAX = 240.0
END_SECONDS_MAX = 400.0
WAIT_SECONDS_MAX = 60.0
ROWS = [[99.0, 1.0], [10.0, 1.0]]
RIGHT = ["high", "high"]
"""The fragile version fails on the first; the one that answers otherwise calls the second low."""


@dataclass
class Tally:
    """What came of the requests."""

    answers: Counter[int] = field(default_factory=Counter)
    """By the version that answered."""
    lost: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    sent_seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))] * 1000 if self.seconds else 0.0

    @property
    def figure(self) -> str:
        """In words."""
        by_version = ", ".join(f"{count} by version {version}" for version, count in sorted(self.answers.items()))
        lost = f"{sum(self.lost.values())} failed" + (f" {dict(self.lost)}" if self.lost else "")
        count = self.answers.total() + self.lost.total()
        speed = f"{count / self.sent_seconds:.0f}/s, p50 {self.percentile(0.5):.0f}, p99 {self.percentile(0.99):.0f} ms"
        return f"{lost} of {count}; {by_version}; {speed}"


class Ground:
    """Two doors, what turns, and a key."""

    def __init__(self, home: Path, url: str, factory: Factory) -> None:
        self.home, self.url, self.factory = home, url, factory
        self.ports = [free_port() for _ in range(DOORS)]
        self.key = ""
        self.kills = 0
        self._processes: list[subprocess.Popen[str]] = []
        self._turner: subprocess.Popen[str] | None = None

    def launch(self, what: str, port: int = 0) -> subprocess.Popen[str]:
        """Start a process."""
        command = [sys.executable, "-m", "benchmarks.control_plane.door", what, str(self.home), self.url, "--port", str(port)]
        with (self.home / f"{what}-{port}.log").open("a") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True)

    async def start(self) -> None:
        """Start the doors and what turns, and wait for them."""
        await self.factory.tenants.create(TEAM, quota_slots=4, budget=Decimal(1))
        _, self.key = await self.factory.tenants.issue_key(TEAM, "load", Role.USER)
        await self.factory.deployments.deploy(TEAM, ENDPOINT, "digits", 1, "deploy/1")
        self._processes = [self.launch("serve", port) for port in self.ports]
        self._turner = self.launch("turn")
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            for port in self.ports:
                await until(partial(well, client, port), "a door is open", START_SECONDS_MAX)

    def kill_turner(self) -> None:
        """Kill what turns, and start another one."""
        if self._turner is not None:
            end(self._turner, signal.SIGKILL)
            self.kills += 1
        self._turner = self.launch("turn")

    def kill_servers(self) -> int:
        """Kill every server of the endpoint, as a crash would."""
        killed = 0
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("LINESHAFT_JOB_DIR", "").startswith(str(self.home))
                if mine and "deployments.providers.serve" in " ".join(process.cmdline()) and "runner" not in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed += 1
            except psutil.Error:
                continue
        return killed

    def close(self) -> None:
        """End all of it."""
        for each in [*self._processes, *([self._turner] if self._turner else [])]:
            end(each)


async def well(client: httpx.AsyncClient, port: int) -> bool:
    """Whether a door answers."""
    try:
        return (await client.get(f"http://127.0.0.1:{port}/v1/endpoints")).status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds_max: float) -> None:
    """Wait for a condition, with a limit."""
    deadline = time.monotonic() + seconds_max
    while not await holds():
        assert time.monotonic() < deadline, f"not within {seconds_max:.0f} s: {what}"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def load(ground: Ground, rate: float = RATE) -> AsyncIterator[Tally]:
    """So many requests a second while the block runs, each due at its time whatever became of those before."""
    tally, due, stop = Tally(), asyncio.Queue[tuple[int, float] | None](), asyncio.Event()

    began = time.monotonic()

    async def pace() -> None:
        sent = 0
        while not stop.is_set():
            while sent < (time.monotonic() - began) * rate:
                due.put_nowait((sent, time.monotonic()))
                sent += 1
            await asyncio.sleep(0.005)

    pacing = asyncio.create_task(pace())
    askers = [asyncio.create_task(ask(ground, number, due, tally)) for number in range(ASKERS)]
    try:
        yield tally
    finally:
        stop.set()
        await pacing
        tally.sent_seconds = time.monotonic() - began
        while not due.empty():  # what this machine was too slow to send was never asked
            due.get_nowait()
        for _ in askers:
            due.put_nowait(None)
        await asyncio.wait(askers)


async def ask(ground: Ground, number: int, due: "asyncio.Queue[tuple[int, float] | None]", tally: Tally) -> None:
    """Send what is due over one connection, until there is no more."""
    port = ground.ports[number % DOORS]
    body = json.dumps({"rows": ROWS})
    head = f"POST /v1/endpoints/{TEAM}/{ENDPOINT}/predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {ground.key}\r\n"
    request = f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (next_one := await due.get()) is not None:
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                writer.write(request)
                status, answer = await answered(reader)
        except (OSError, EOFError, TimeoutError) as error:
            tally.lost[type(error).__name__] += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        tally.seconds.append(time.monotonic() - next_one[1])
        told = json.loads(answer)
        if status == httpx.codes.OK and told["labels"] == RIGHT:
            tally.answers[told["version"]] += 1
        else:
            tally.lost[f"{status} {answer[:60]!r}"] += 1
    writer.close()


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One answer: its status and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


async def rolled(ground: Ground, version: int, *, kill: bool = False, **plan: object) -> Rollout:
    """Roll a version out and wait for its end, perhaps killing what turns at its begin and after each move."""
    fields = {"step_seconds": 3.0, "requests_min": 20, **plan}
    key = f"rollout/{version}/{time.monotonic_ns()}"
    wanted = NewRollout(
        tenant=TEAM, endpoint=ENDPOINT, model_name="digits", version=version, key=key, plan=RolloutPlan.model_validate(fields)
    )
    found = await ground.factory.rollouts.start(wanted)
    deadline, seen = time.monotonic() + END_SECONDS_MAX, ("", -1)
    while not found.state.ended:
        assert time.monotonic() < deadline, found
        if kill and seen != (found.state, found.step):
            seen = (found.state, found.step)
            await asyncio.to_thread(ground.kill_turner)
        await asyncio.sleep(0.2)
        found = await ground.factory.rollouts.get(found.id, None)
    return found


def row(name: str, tally: Tally, found: str, wanted: str) -> Check:
    """A row: no request failed, and the end was as it should be."""
    return Check(name, f"{tally.figure}; {found}", f"0 failed, {wanted}", not tally.lost and found == wanted)


async def found_by(ground: Ground) -> list[Check]:
    """All of them, one after another."""
    await ground.start()
    found: list[Check] = []
    async with load(ground) as tally:
        ended = await rolled(ground, 2, shares=(0.01, 0.1, 0.5))
    found.append(row("canary: 1 %, 10 %, 50 %, all", tally, ended.state.value, "promoted"))
    async with load(ground) as tally:
        ended = await rolled(ground, FRAGILE, shares=(0.01, 0.5))
    found.append(
        row(
            "canary that fails at 1 %",
            tally,
            f"{ended.state.value} by {ended.code} in step {ended.step + 1}",
            "rolled_back by error_rate in step 1",
        )
    )
    async with load(ground) as tally:
        ended = await rolled(ground, OTHERWISE, strategy="shadow", gates={"agreement_min": 0.9}, promote=False)
    found.append(
        row("shadow that answers otherwise", tally, f"{ended.state.value} by {ended.code or 'nothing'}", "rolled_back by agreement")
    )
    async with load(ground) as tally:
        ended = await rolled(ground, 3, strategy="blue_green", requests_min=200)
    found.append(row("blue/green", tally, ended.state.value, "promoted"))
    async with load(ground) as tally:
        before = ground.kills
        ended = await rolled(ground, 4, kill=True, shares=(0.05, 0.5))
    told = f"{ended.state.value}, {'several' if ground.kills - before > 2 else 'few'} kills"
    found.append(row("canary, what turns it killed after each move", tally, told, "promoted, several kills"))
    async with load(ground) as tally:
        await asyncio.sleep(2)
        killed = await asyncio.to_thread(ground.kill_servers)
        await asyncio.sleep(4)
    told = "killed" if killed else "none was there"  # the version before may still be draining: then two are
    found.append(row("every live server killed", tally, told, "killed"))
    found.append(await slept(ground))
    return found


async def slept(ground: Ground) -> Check:
    """An endpoint that sleeps, and 200 who ask at once."""
    await ground.factory.scaler.set(TEAM, ENDPOINT, NewScaling(idle_seconds=10), "scale/1")

    async def sleeps() -> bool:
        return (await ground.factory.scaler.get(TEAM, ENDPOINT)).asleep

    await until(sleeps, "it sleeps", 90)
    async with load(ground) as tally:
        await asyncio.sleep(3)
    return Check("asleep, then asked", f"{tally.figure}; the slowest waited {max(tally.seconds):.1f} s", "0 failed", not tally.lost)


async def measured(home: Path, url: str) -> list[Check]:
    """Measure, and leave nothing running."""
    factory = built(settings_of(home, url))
    ground = Ground(home, url, factory)
    try:
        return await found_by(ground)
    finally:
        await asyncio.to_thread(ground.close)
        await factory.close()
        await asyncio.to_thread(stop_all, home / "jobs")


def checks() -> list[Check]:
    """All of them, on a database and a home of their own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, postgres(Path(folder) / "postgres") as url:
        home = Path(folder) / "home"
        home.mkdir()
        return asyncio.run(measured(home, url))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them by themselves."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    found = checks()
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
