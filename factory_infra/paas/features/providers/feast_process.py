"""Feast in a process of its own: it takes seconds and hundreds of megabytes to load, which no door and no worker should pay."""

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

import structlog
from pydantic import ValidationError

from factory_infra.errors import Conflict, EffectFailed, InvalidInput, LineshaftError, StorageFull, TooLarge, Unavailable
from factory_infra.iaas.jobs.programs import SOURCE_ROOT
from factory_infra.paas.features.wire import Order, Reply, Setup, Trouble

PROGRAM = "factory_infra.paas.features.programs.feast_door"
START_SECONDS_MAX = 120.0
ORDER_SECONDS_MAX = 600.0
LINE_BYTES_MAX = 64 * 1024 * 1024
KINDS: dict[str, type[LineshaftError]] = {
    each.__name__: each for each in (Conflict, EffectFailed, InvalidInput, StorageFull, TooLarge, Unavailable)
}
log = structlog.get_logger("features")


class FeastProcess:
    """Starts at the first order, carries one out at a time, ends with its owner. One that died is started again by the next order.

    Args:
        setup: where everything lies.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def ask(self, order: Order) -> Reply:
        """Have an order carried out. Raises what went wrong with it, Unavailable where the process ends or is too slow."""
        with tempfile.TemporaryDirectory(prefix="lineshaft-features-") as folder:
            path = Path(folder) / "order.json"
            path.write_text(order.model_dump_json(), encoding="utf-8")
            async with self._lock:
                reply = await self._asked(json.dumps({"order": str(path)}))
        if reply.trouble is not None:
            raise error_of(reply.trouble)
        return reply

    async def _asked(self, line: str) -> Reply:
        process = await self._alive()
        try:
            async with asyncio.timeout(ORDER_SECONDS_MAX):
                await _send(process, line)
                return await _answer(process)
        except (TimeoutError, OSError, ValidationError, asyncio.CancelledError) as error:
            # Whatever it still says would be taken for the next order's answer.
            await self._end()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _silent() from error

    async def _alive(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=SOURCE_ROOT,
            limit=LINE_BYTES_MAX,
        )
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await _send(self._process, self._setup.model_dump_json())
                await _answer(self._process)
        except (TimeoutError, OSError, ValidationError) as error:
            await self._end()
            raise _silent() from error
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process; an order under way ends with it."""
        await self._end()


async def _send(process: asyncio.subprocess.Process, line: str) -> None:
    if process.stdin is None:
        raise BrokenPipeError
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def _answer(process: asyncio.subprocess.Process) -> Reply:
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line:
        raise BrokenPipeError
    return Reply.model_validate_json(line)


def _silent() -> Unavailable:
    return Unavailable(
        "The process that runs Feast ended or does not answer.",
        remedy="Try again; its words are in this part's log.",
        code="feast_unavailable",
    )


def error_of(trouble: Trouble) -> LineshaftError:
    """What went wrong there, raised here."""
    kind = KINDS.get(trouble.kind, EffectFailed)
    return kind(trouble.reason, remedy=trouble.remedy, code=trouble.code)
