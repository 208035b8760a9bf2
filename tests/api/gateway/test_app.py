"""The gateway's own processes: they start, share a socket, replace one another, and end within ten seconds with everything posted."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import func, select

from factory_infra.database import Database
from factory_infra.saas.metering.tables import BlockRow, EntryRow, ProcessRow
from factory_infra.settings import Settings
from tests.api.gateway.real import furnished, team_key
from tests.waiting import eventually

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[3]
SLOW = {"model": "slow", "messages": [{"role": "user", "content": "slow"}], "stream": True}
RSS_MIB_MAX = 150


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(settings: Settings, url: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run `python -m api.gateway.app`; yields the process and its address."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LINESHAFT_")}
    port = free_port()
    ours = {"HOME": str(settings.home), "DATABASE_URL": url, "MODEL": "none", "GATEWAY_PORT": str(port), **more}
    environment = {**clean, "PYTHONPATH": str(ROOT), **{f"LINESHAFT_{name}": value for name, value in ours.items()}}
    started = subprocess.Popen([sys.executable, "-m", "api.gateway.app"], env=environment, cwd=ROOT, stderr=subprocess.PIPE)
    try:
        yield started, f"http://127.0.0.1:{port}"
    finally:
        started.kill()
        started.wait()
        assert started.stderr is not None
        started.stderr.close()


async def healthy(client: httpx.AsyncClient, url: str, seconds_max: float = 30.0) -> None:
    async with asyncio.timeout(seconds_max):
        while True:
            try:
                assert (await client.get(f"{url}/health")).status_code == 200
                return
            except httpx.TransportError:
                await asyncio.sleep(0.02)


async def counts(database: Database) -> tuple[int, int, int, int]:
    """Reservations, settlements, blocks, processes."""
    async with database.transaction() as session:
        found = [
            await session.scalar(select(func.count()).select_from(EntryRow).where(EntryRow.action == action))
            for action in ("reserve", "settle")
        ]
        found += [await session.scalar(select(func.count()).select_from(table)) for table in (BlockRow, ProcessRow)]
    reserved, settled, blocks, processes = (value or 0 for value in found)
    return reserved, settled, blocks, processes


async def test_one_process_is_light_and_ends_with_everything_posted(settings: Settings, database: Database, database_url: str) -> None:
    _, key = await team_key(furnished(settings), database)
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        with process(settings, database_url) as (running, url):
            await healthy(client, url)
            assert psutil.Process(running.pid).memory_info().rss < RSS_MIB_MAX * 2**20
            async with client.stream("POST", f"{url}/v1/chat/completions", json=SLOW, headers={"x-api-key": key}) as answer:
                lines = answer.aiter_lines()
                await anext(lines)
                asked = time.monotonic()
                running.send_signal(signal.SIGTERM)
                await asyncio.to_thread(running.wait, 10)
                assert time.monotonic() - asked < 10
                rest = [line async for line in lines]
    assert any("gateway_stopping" in line for line in rest) or "data: [DONE]" in rest
    reserved, settled, blocks, processes = await counts(database)
    assert (reserved, settled, blocks, processes) == (1, 1, 0, 0)


async def test_two_workers_share_the_door_and_a_dead_one_is_replaced(settings: Settings, database: Database, database_url: str) -> None:
    _, key = await team_key(furnished(settings), database)
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        with process(settings, database_url, GATEWAY_WORKERS="2") as (running, url):
            await healthy(client, url)
            parent = psutil.Process(running.pid)
            workers = parent.children()
            assert len(workers) == 2
            workers[0].kill()
            await eventually(lambda: len([each for each in parent.children() if each.pid != workers[0].pid and each.is_running()]) == 2)
            body = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}
            for _ in range(4):
                async with httpx.AsyncClient(trust_env=False, timeout=20) as fresh:
                    await healthy(fresh, url)
                    assert (await fresh.post(f"{url}/v1/chat/completions", json=body, headers={"x-api-key": key})).status_code == 200
            told = (await client.get(f"{url}/metrics", headers={"x-api-key": key})).text
            assert 'lineshaft_gateway_requests_total{door="chat",outcome="2xx"} 4\n' in told
            # And of both workers, whichever of them is asked, what the routing counts.
            assert 'lineshaft_gateway_calls_total{model="fast",outcome="done",cache="off"} 4\n' in told
            family = parent.children()
            running.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait, 10) == 0
            assert [each for each in family if each.is_running()] == []
    reserved, settled, _, _ = await counts(database)
    assert (reserved, settled) == (4, 4)


async def test_a_setup_that_cannot_be_is_said_before_anything_listens(settings: Settings, database_url: str) -> None:
    furnished(settings)
    (settings.home / "gateway.yaml").write_text("models: {fast: {route: [{backend: nowhere, model: m}]}}\nbackends: {}\n")
    with process(settings, database_url) as (running, _):
        assert await asyncio.to_thread(running.wait, 30) == 2
        assert running.stderr is not None and b"nowhere" in running.stderr.read()


async def test_a_database_that_is_away_is_said_without_its_password(settings: Settings) -> None:
    furnished(settings)
    with process(settings, "postgresql://me:hush@127.0.0.1:9/none") as (running, _):
        assert await asyncio.to_thread(running.wait, 30) != 0
        assert running.stderr is not None
        said = running.stderr.read()
    assert b"database does not answer" in said and b"hush" not in said and b"Traceback" not in said


def test_nothing_heavy_is_imported() -> None:
    heavy = (
        "workflows",
        "temporalio",
        "langgraph",
        "langchain_core",
        "mcp",
        "mlflow",
        "chromadb",
        "fastapi",
        "boto3",
        "agents",
        "tools",
        "numpy",
    )
    code = f"import sys, api.gateway.app; print([name for name in {heavy!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert told.stdout.strip() == "[]"
