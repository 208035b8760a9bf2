"""Machines that are about to be taken back: another is launched at once, and what ran there goes on from its checkpoint."""

import asyncio
from typing import Protocol, cast

import structlog
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory
from factory_infra.foundation.clusters.interface import Interruptions, MachineReplacement
from factory_infra.foundation.clusters.models import Interruption
from factory_infra.foundation.clusters.service import ClusterBook
from factory_infra.iaas.jobs.models import JobState

LOOK_SECONDS = 15.0
"""A notice of spot comes two minutes before the end."""
log = structlog.get_logger("interruptions")


class Replacing(MachineReplacement, Interruptions, Protocol):
    """A maker of machines with both abilities."""


class Answered(BaseModel):
    """What was done about one notice."""

    notice: Interruption
    replaced: bool
    jobs: list[str] = []
    words: str


class Notices:
    """Answers notices, each once: the machine's id is the key of its replacement.

    Draining is the engine's: the ECS agent of a leased machine (ECS_ENABLE_SPOT_INSTANCE_DRAINING) takes no new task and sends SIGTERM
    to those that run, which write their checkpoint; Batch starts them again. A job that its engine lost is started again here.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._book = ClusterBook(factory.database, factory.clusters)

    async def answer(self) -> list[Answered]:
        """Answer every open notice of every pool. A pool that does not answer is passed over until the next time."""
        answered: list[Answered] = []
        for pool in self._factory.clusters.names():
            maker = self._factory.clusters.of(pool)
            if not (hasattr(maker, "interruptions") and hasattr(maker, "replace")):
                continue
            replacing = cast(Replacing, maker)
            try:
                answered += [await self._one(replacing, notice) for notice in await replacing.interruptions()]
            except LineshaftError as error:
                log.warning("notices not read", pool=pool, code=error.error_code)
        return answered

    async def _one(self, maker: Replacing, notice: Interruption) -> Answered:
        words, replaced = f"Machine {notice.machine_id} is taken back ({notice.action}).", False
        tenant = await self._tenant(notice)
        try:
            await self._replace(maker, notice, tenant)
            replaced, words = True, f"{words} Another one is launched in its place."
        except LineshaftError as error:
            words = f"{words} None could be had in its place: {error.reason}"
        jobs = await self._again(notice)
        log.warning("machine taken back", machine=notice.machine_id, cluster=notice.cluster_id, lease=notice.lease_id, replaced=replaced)
        return Answered(notice=notice, replaced=replaced, jobs=jobs, words=words)

    async def _replace(self, maker: Replacing, notice: Interruption, tenant: str) -> None:
        """Launch another one; the old one ends by itself. A lease keeps the names of its machines: they are others now."""
        key = f"interruption/{notice.machine_id}"
        if notice.lease_id:
            cluster = await maker.replace(notice.cluster_id, tenant, notice.machine_id, key, ending=False)
            await self._factory.leases.note_machines(notice.lease_id, [machine.id for machine in cluster.machines])
        else:
            await self._book.replace(notice.cluster_id, tenant, notice.machine_id, key, ending=False)

    async def _tenant(self, notice: Interruption) -> str:
        if notice.lease_id:
            return (await self._factory.leases.of(notice.lease_id, None)).tenant
        return (await self._book.record(notice.cluster_id, None)).tenant

    async def _again(self, notice: Interruption) -> list[str]:
        """Start jobs of the lease again that their engine lost with a machine; those that it requeues itself are left to it."""
        lost = [job for job in await self._factory.jobs.of_lease(notice.lease_id) if job.state is JobState.LOST] if notice.lease_id else []
        started = []
        for job in lost:
            try:
                await self._factory.jobs.retry(job.id, job.tenant)
            except LineshaftError as error:
                log.warning("job not started again", job=job.id, code=error.error_code)
            else:
                started.append(job.id)
        return started


async def watch(factory: Factory) -> None:
    """Answer notices until cancelled. Where no machines are made this costs nothing."""
    notices = Notices(factory)
    while True:
        try:
            await notices.answer()
        except (LineshaftError, OperationalError) as error:
            log.warning("notices not answered", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
