"""An audit of two teams: objects of the victim are put in place, and the attacker tries every door on them."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx
import structlog

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError, Unavailable
from factory_infra.factory import Factory
from factory_infra.iaas.isolation.models import Attempt, AuditReport
from factory_infra.iaas.isolation.registry import WallPools
from factory_infra.iaas.isolation.service import Audit, Isolation, check_pair
from factory_infra.surfaces import bait as baits
from factory_infra.surfaces.bait import Bait, Party
from factory_infra.surfaces.command import CommandDoor
from factory_infra.surfaces.gateway import GatewayDoor
from factory_infra.surfaces.mcp import McpDoor
from factory_infra.surfaces.rest import RestDoor

log = structlog.get_logger("isolation")
LOCK = "isolation/audit"
UNFINISHED = "the audit itself"


class Surface(Protocol):
    """A door that all pools share."""

    def attack(self, attacker: Party, bait: Bait) -> AsyncIterator[Attempt]:
        """Try everything on what is the victim's; harmless where it is refused."""
        ...


def isolation_of(factory: Factory) -> Isolation:
    """What audits pools and keeps the reports."""
    return Isolation(factory.database, WallPools(factory.pools, factory.settings, factory.jobs))


class Auditor:
    """Runs whole audits: the doors that all pools share, then each pool's own.

    Args:
        factory: the installation.
        surfaces: doors in place of those that its settings name.
    """

    def __init__(self, factory: Factory, surfaces: Sequence[Surface] | None = None) -> None:
        self._factory = factory
        self._surfaces = surfaces
        self._isolation = isolation_of(factory)

    async def run(self, attacker: str, victim: str, asked_by: str, *, pool: str = "", doors: bool = True) -> list[Audit]:
        """Audit the shared doors and one pool, or every pool where none is named. A pool that cannot be audited is told, and no error.

        Args:
            attacker: who tries.
            victim: on whose objects.
            asked_by: who wants to know.
            pool: only this one.
            doors: whether those that all pools share are tried as well.

        Raises InvalidInput, NotFound for a team or a pool that is not there.
        """
        check_pair(attacker, victim)
        names = [self._factory.pools.named(pool).name] if pool else self._isolation.pools()
        audits = [await self.doors(attacker, victim, asked_by)] if doors else []
        for name in names:
            try:
                audits.append(await self._isolation.audit(name, attacker, victim, asked_by))
            except LineshaftError as error:
                # An engine that is away, or walls that could not even be put up: nothing was shown, and that must not read as "holds".
                audits.append(await self._unfinished(name, (attacker, victim), error, asked_by))
        return audits

    async def doors(self, attacker: str, victim: str, asked_by: str) -> Audit:
        """Put the bait in place and try REST, gateway, MCP and the command line; at the end nothing of the victim's may have changed."""
        async with self._factory.database.transaction(lock=LOCK):
            one, other = await baits.parties(self._factory, attacker, victim)
            bait = await baits.put(self._factory, other)
            try:
                before = await baits.state(self._factory, bait)
                attempts = [each async for each in self._tried(one, bait)]
                after = await baits.state(self._factory, bait)
                changed = before != after
                tried = "change anything of the other team's: leases, keys, limits, plan, budget, quota"
                by = "" if changed else "all of it is as it was before"
                attempts.append(Attempt(door="use_data", through="all", tried=tried, refused=not changed, by=by))
            finally:
                with suppress(LineshaftError):
                    await baits.take_away(self._factory, bait, one)
        attempts += [left_out(kind, why) for kind, why in bait.missing.items()]
        return await self._isolation.audit_doors((attacker, victim), attempts, asked_by)

    async def _tried(self, attacker: Party, bait: Bait) -> AsyncIterator[Attempt]:
        if self._surfaces is not None:
            for surface in self._surfaces:
                async for attempt in surface.attack(attacker, bait):
                    yield attempt
            return
        settings = self._factory.settings
        api_url = settings.own_url
        gateway_url = settings.gateway_url or f"http://{settings.gateway_host}:{settings.gateway_port}"
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="lineshaft-audit-"))
        try:
            async with (
                httpx.AsyncClient(base_url=api_url, trust_env=False) as api,
                httpx.AsyncClient(base_url=gateway_url, trust_env=False) as gateway,
            ):
                doors: list[Surface] = [RestDoor(api), GatewayDoor(gateway), McpDoor(api), CommandDoor(api_url, folder)]
                for door in doors:
                    async for attempt in door.attack(attacker, bait):
                        yield attempt
        except httpx.HTTPError as error:
            raise Unavailable(f"The API at {api_url} does not answer.", remedy="Start it with 'lineshaft up'; try again.") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _unfinished(self, pool: str, pair: tuple[str, str], error: LineshaftError, asked_by: str) -> Audit:
        reason = f"{error.reason} {error.remedy}".strip()
        attempt = Attempt(door="see", through=pool, tried=f"{UNFINISHED} could not be carried out: {reason}"[:400], refused=False)
        report = AuditReport(pool=pool, attacker=pair[0], victim=pair[1], at=utcnow(), walls=[], attempts=[attempt])
        return await self._isolation.keep(report, asked_by)


def left_out(kind: str, why: str) -> Attempt:
    """What could not be put in place, and so was not attacked: told, and not counted as a hole."""
    return Attempt(door="see", through="none", tried=f"not tried: the victim has no {kind}", refused=True, by=why)
