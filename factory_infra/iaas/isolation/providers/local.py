"""The walls between tenants on this host: Landlock, hidden processes, dropped capabilities and, where asked for, a Unix user each."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol
from urllib.parse import urlsplit

from factory_infra.errors import EffectFailed
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import LocalPool, PoolSpec
from factory_infra.iaas.isolation.models import Attempt, Wall
from factory_infra.iaas.isolation.programs.attack import FOUND_FILE, LINK_FILE, ORDER_FILE, Order
from factory_infra.iaas.isolation.programs.bait import PID_FILE
from factory_infra.iaas.jobs.interface import JobFiles, Jobs, JobTail
from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.iaas.jobs.providers.walls_local import NAMES, NEEDED, Reach, WallOrder, available, order_of, user_obstacle
from factory_infra.settings import Settings

BAIT = "factory_infra.iaas.isolation.programs.bait"
ATTACK = "factory_infra.iaas.isolation.programs.attack"
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
LIMITS = JobLimits(memory_gib=1.0, file_gib=0.1, seconds=180.0)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
PORTS_COMMON = {80, 443}
TRACKING = "MLFLOW_TRACKING_URI"
STANDING = {
    "files": "Landlock closes the folders of other tenants, the installation's secrets and the account's credentials.",
    "processes": "Landlock refuses signals to processes that are not the job's own, and tracing them.",
    "listing": "A job sees only its own processes in /proc.",
    "ports": "A job cannot connect to Temporal and Chroma of this host, nor to MLflow unless it names it in MLFLOW_TRACKING_URI.",
    "capabilities": "A job of root has none of the capabilities that reach past these walls.",
}


def open_parts(settings: Settings, *, tracking: bool) -> dict[str, int]:
    """The parts of ours on this host that take no keys, by name, with their ports: whoever reaches them goes around every wall.

    Args:
        tracking: whether MLflow counts: a job that reports to it must reach it.
    """
    temporal = f"tcp://{settings.temporal_address}" if settings.temporal_address else None
    known = {"Temporal": temporal, "Temporal's console": settings.temporal_ui_url, "Chroma": settings.chroma_url}
    if tracking:
        known["MLflow"] = settings.mlflow_url
    found = {name: urlsplit(url) for name, url in known.items() if url}
    return {name: url.port for name, url in found.items() if url.hostname in LOOPBACK and url.port and url.port not in PORTS_COMMON}


def wall_order(pool: LocalPool, settings: Settings, tenant: str, *, tracking: bool = False) -> WallOrder:
    """What a tenant's jobs may reach in a pool of this host.

    Args:
        tracking: whether the job reports to MLflow.
    """
    ports = tuple(open_parts(settings, tracking=not tracking).values())
    reach = Reach(home=settings.home, jobs_dir=settings.jobs_dir, ports_closed=ports)
    return order_of(tenant, reach, uid_first=pool.tenant_uid_first, off=pool.walls_off)


def wall_orders(book: PoolBook, settings: Settings) -> Callable[[JobSpec], WallOrder]:
    """What the jobs of this host are walled in by, each as its pool says; all walls where its pool is gone from the file."""

    def order(spec: JobSpec) -> WallOrder:
        known = {pool.name: pool for pool in book.all() if isinstance(pool, LocalPool)}
        tracking = TRACKING in spec.environment
        return wall_order(known.get(spec.pool, LocalPool(name="local")), settings, spec.tenant, tracking=tracking)

    return order


class HostJobs(Jobs, JobFiles, JobTail, Protocol):
    """What runs jobs on this host, with the abilities that an audit needs."""


class LocalWalls:
    """Walls on this host. They are built around each job when it starts: nothing has to be kept up between jobs.

    Args:
        pool: which walls are left down on purpose, and whether tenants get Unix users.
        settings: where the jobs lie.
        jobs: what runs the jobs of the installation: only then an audit attacks the walls that its jobs really have.
    """

    def __init__(self, pool: PoolSpec, settings: Settings, jobs: HostJobs | None = None) -> None:
        self._pool = pool if isinstance(pool, LocalPool) else LocalPool(name=pool.name)
        self._settings = settings
        self._jobs_dir = settings.jobs_dir.absolute()
        self._jobs: HostJobs = jobs or LocalJobs(settings.jobs_dir, lambda spec: wall_order(self._pool, settings, spec.tenant))

    async def ensure(self, tenant: str) -> list[Wall]:
        """Give the tenant its Unix user, where the pool has them; the other walls come with each job."""
        await asyncio.to_thread(wall_order, self._pool, self._settings, tenant)
        return await self.check(tenant)

    async def check(self, tenant: str) -> list[Wall]:
        """Tell which walls each job of the tenant gets on this host."""
        return await asyncio.to_thread(self._check)

    def _check(self) -> list[Wall]:
        missing, off = available(), self._pool.walls_off
        found = [
            Wall(name=name, state="missing", note="Left down on purpose by 'walls_off' of the pool.")
            if name in off
            else Wall(name=name, state="not_available", note=missing[name])
            if name in missing
            else Wall(name=name, state="up", note=STANDING[name])
            for name in NAMES
            if name != "user"
        ]
        limits = "Memory, processes, file size and time of each job are bounded; see docs/jobs.md for what holds each bound."
        return [*found, self._user_wall(missing), self._tracking_wall(), Wall(name="limits", state="up", note=limits)]

    def _tracking_wall(self) -> Wall:
        """MLflow knows no teams: what a job could do there is told, for no wall of this host can change it."""
        note = "MLflow takes no keys and knows no teams: a job that names it in MLFLOW_TRACKING_URI reaches the runs of all teams."
        return Wall(name="tracking", state="not_available", note=note)

    def _user_wall(self, missing: dict[str, str]) -> Wall:
        if "user" in self._pool.walls_off:
            return Wall(name="user", state="missing", note="Left down on purpose by 'walls_off' of the pool.")
        if self._pool.tenant_uid_first is None:
            return Wall(name="user", state="not_available", note="The pool names no 'tenant_uid_first': jobs run as the factory's account.")
        if "user" in missing:
            return Wall(name="user", state="not_available", note=missing["user"])
        obstacle = user_obstacle([*NEEDED, self._settings.jobs_dir / "x"])
        if obstacle:
            return Wall(
                name="user", state="not_available", note=f"Another user may not enter {obstacle}: jobs run as the factory's account."
            )
        return Wall(name="user", state="up", note=f"Each tenant has a Unix user, from {self._pool.tenant_uid_first} on.")

    async def attack(self, attacker: str, victim: str) -> list[Attempt]:
        """Run a job of the victim, and one of the attacker that tries everything on it. Raises EffectFailed when they do not run."""
        name, word = f"audit-{secrets.token_hex(6)}", f"bait-{secrets.token_hex(8)}"
        bait = self._spec(f"{name}-bait", victim, "isolation audit: the victim", [*python_argv(BAIT, word)])
        await self._jobs.submit(bait.model_copy(update={"environment": {**bait.environment, "AUDIT_WORD": word}}))
        try:
            known = json.loads(await self._left(bait.id, victim, PID_FILE))
            folder = self._jobs_dir / victim / bait.id
            order = Order(
                folder=str(folder),
                jobs_dir=str(folder.parent.parent),
                places=[str(each) for each in (self._settings.secrets_dir, self._settings.home / "postgres") if each.is_dir()],
                pid=int(known["pid"]),
                uid=int(known["uid"]),
                word=word,
                parts=open_parts(self._settings, tracking=True),
                other_user=self._user_wall(available()).state in {"up", "missing"},
                missing=sorted(available()),
            )
            return await self._attack(f"{name}-attack", attacker, order)
        finally:
            await self._jobs.cancel(bait.id, victim)

    async def _attack(self, job_id: str, attacker: str, order: Order) -> list[Attempt]:
        spec = self._spec(job_id, attacker, "isolation audit: the attacker", python_argv(ATTACK))
        await self._jobs.submit(spec.model_copy(update={"inputs": {ORDER_FILE: json.dumps(asdict(order))}}))
        try:
            found = json.loads(await self._left(job_id, attacker, FOUND_FILE))
            attempts = [Attempt(through="host", **each) for each in found]
            linked = await self._jobs.result(job_id, attacker, LINK_FILE)
        finally:
            await self._jobs.cancel(job_id, attacker)
        led = linked is not None and order.word in linked
        by = "" if led else "results are never read through a link"
        tried = "have the factory read the other's result through a link left as an own one"
        return [*attempts, Attempt(door="use_data", through="host", tried=tried, refused=not led, by=by)]

    def _spec(self, job_id: str, tenant: str, name: str, argv: list[str]) -> JobSpec:
        return JobSpec(
            id=job_id, tenant=tenant, name=name, argv=argv, environment=python_environment(), limits=LIMITS, pool=self._pool.name
        )

    async def _left(self, job_id: str, tenant: str, name: str) -> str:
        """Wait for a file that a job leaves. Raises EffectFailed."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            text = await self._jobs.result(job_id, tenant, name)
            if text is not None and text.rstrip().endswith(("}", "]")):
                return text
            job = await self._jobs.get(job_id, tenant)
            if job.state.final:
                raise await self._ended(job)
            await asyncio.sleep(POLL_SECONDS)
        raise EffectFailed(f"Job {job_id} of the audit did not answer.", remedy="Read its log.", code="audit_failed")

    async def _ended(self, job: Job) -> EffectFailed:
        tail = (await self._jobs.tail(job.id, job.tenant, 400)).strip()
        return EffectFailed(f"Job {job.id} of the audit has {job.state}: {tail[-300:]}", remedy="Read its log.", code="audit_failed")

    async def remove(self, tenant: str) -> None:
        """Nothing stands between jobs; the number of a tenant's user is never given to another one."""
