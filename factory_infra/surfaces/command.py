"""The command line's door: `lineshaft` under the attacker's key, asked for what is the victim's."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from factory_infra.iaas.isolation.models import Attempt, Door
from factory_infra.iaas.jobs.programs import SOURCE_ROOT
from factory_infra.surfaces.bait import Bait, Party

SECONDS = 60.0
AT_ONCE = 2


@dataclass(frozen=True)
class CommandDoor:
    """Runs the command line as another account would: with an address and a key, and without this installation's home.

    Args:
        api_url: where the API is found.
        folder: an empty folder that serves as the attacker's home.
    """

    api_url: str
    folder: Path

    async def attack(self, attacker: Party, bait: Bait) -> AsyncIterator[Attempt]:
        """Run each command, a few at one time."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(door: Door, *words: str) -> Attempt:
            async with slots:
                return await self._run(attacker, bait, door, words)

        for each in await asyncio.gather(*(one(door, *words) for door, words in commands(bait))):
            yield each

    async def _run(self, attacker: Party, bait: Bait, door: Door, words: tuple[str, ...]) -> Attempt:
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(SOURCE_ROOT),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "LINESHAFT_HOME": str(self.folder),
            "LINESHAFT_API_URL": self.api_url,
            "LINESHAFT_API_KEY": attacker.key,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cli", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=self.folder,
        )
        tried = f"lineshaft {' '.join(words)}"
        try:
            told, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            return Attempt(door=door, through="cli", tried=tried, refused=True, by=f"no answer within {SECONDS:g} s")
        return judged(door, tried, process.returncode or 0, told.decode(errors="replace"), bait)


def judged(door: Door, tried: str, code: int, text: str, bait: Bait) -> Attempt:
    """A command is refused where it ends with an error that shows nothing, or shows nothing of the victim's."""
    marks = [mark for mark in bait.marks if mark in text and mark not in tried]
    went_through = code == 0 and any(value in tried for name, value in bait.ids.items() if name.endswith("_id"))
    refused = not marks and not went_through
    last = next((line.strip() for line in text.splitlines() if line.strip()), "")
    by = f"ended with {code}: {last[:160]}" if code else "it shows nothing of the other team"
    return Attempt(door=door, through="cli", tried=tried, refused=refused, by=by if refused else "")


def commands(bait: Bait) -> list[tuple[Door, tuple[str, ...]]]:
    """What is run, as far as the victim has the objects."""
    team, ids = bait.victim.tenant, bait.ids
    wanted: list[tuple[Door, str, tuple[str, ...]]] = [
        ("see", "", ("jobs", "list", "--team", team)),
        ("see", "", ("jobs", "list")),
        ("see", "", ("plans", "list", "--team", team)),
        ("see", "", ("keys", "list")),
        ("see", "plan_id", ("plans", "show", ids.get("plan_id", ""))),
        ("read_logs", "job_id", ("jobs", "logs", ids.get("job_id", ""))),
        ("stop", "job_id", ("jobs", "cancel", ids.get("job_id", ""))),
        ("stop", "plan_id", ("plans", "refuse", ids.get("plan_id", ""))),
        ("spend", "key_id", ("keys", "rotate", ids.get("key_id", ""))),
        ("use_data", "lesson_id", ("lessons", "show", ids.get("lesson_id", ""))),
        ("spend", "", ("invoice", "--team", team)),
    ]
    return [(door, words) for door, needs, words in wanted if not needs or needs in ids]
