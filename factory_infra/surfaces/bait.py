"""What an audit puts in place for the victim: one real object of each kind, with a word in it that nobody else may ever see."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, LineshaftError
from factory_infra.factory import Factory
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.paas.catalog.models import CatalogEntry
from factory_infra.paas.deployments.models import EndpointState
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.registry.tables import RegistryVersion
from factory_infra.paas.tenants.models import Role
from factory_infra.records.lessons import Lesson
from factory_infra.records.models import NewEvent, PlanRecord, Thread
from factory_infra.saas.metering.limits import Cap
from factory_infra.saas.models.transcripts.models import Kept

WORD = "quokkabait"
"""In everything of the victim: where an answer to the attacker holds it, a wall is missing."""
TENANTS = ("audit-attacker", "audit-victim")
"""Made once and kept: a team cannot be removed, for its ledger stays."""
BUDGET, QUOTA = Decimal(1), 2
DIGEST = "a" * 64


@dataclass
class Party:
    """One of the two: its team, and a key of it for the time of the audit."""

    tenant: str
    key_id: str
    key: str


@dataclass
class Bait:
    """What the victim has, by the names that routes call it."""

    victim: Party
    ids: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """What could not be put in place, and why."""

    @property
    def marks(self) -> list[str]:
        """What no answer to the attacker may hold."""
        return [WORD, *(value for name, value in self.ids.items() if name.endswith("_id") or name == "name")]


async def parties(factory: Factory, attacker: str, victim: str) -> tuple[Party, Party]:
    """Give both an approver's key: the most that a team has. The two teams of audits are made where they are absent. Raises NotFound."""
    for name in (attacker, victim):
        if name in TENANTS:
            try:
                await factory.tenants.create(name, quota_slots=QUOTA, budget=BUDGET)
            except Conflict:
                continue
    made = []
    for name in (attacker, victim):
        key, secret = await factory.tenants.issue_key(name, "isolation audit", Role.APPROVER)
        made.append(Party(name, key.id, secret))
    return made[0], made[1]


async def put(factory: Factory, victim: Party) -> Bait:
    """Put one of everything in place. What the installation refuses now (no free slot, say) is told and left out."""
    tenant, at = victim.tenant, f"{victim.tenant}-bait"
    bait = Bait(victim, {"tenant": tenant, "key_id": victim.key_id, "name": f"{at}-endpoint", "run_id": f"run-{at}"})
    makers: dict[str, Callable[[], Awaitable[dict[str, str]]]] = {
        "thread": lambda: thread(factory, tenant, at),
        "plan": lambda: plan(factory, tenant, at),
        "lease": lambda: lease(factory, tenant, at),
        "job": lambda: job(factory, tenant, at),
        "lesson": lambda: lesson(factory, tenant, at),
        "catalog entry": lambda: entry(factory, tenant, at),
        "limit": lambda: limit(factory, victim),
        "transcript": lambda: transcript(factory, tenant, at),
        "model version": lambda: version(factory, tenant, at),
        "endpoint": lambda: endpoint(factory, tenant, bait.ids["name"]),
    }
    for kind, make in makers.items():
        try:
            bait.ids |= await make()
        except LineshaftError as error:
            bait.missing[kind] = error.reason
    return bait


async def thread(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A thread with a message."""
    name = f"thread-{at}"
    await factory.records.create_thread(Thread(id=name, tenant=tenant, created_by=WORD, title=WORD, created_at=utcnow()))
    said = NewEvent(
        key=f"{at}/1", tenant=tenant, thread_id=name, run_id=f"run-{at}", kind="message.user", payload={"text": WORD, "actor": WORD}
    )
    await factory.records.write_event(said)
    return {"thread_id": name}


async def plan(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A plan that waits for a decision."""
    name, now = f"plan-{at}", utcnow()
    step = {"id": "a", "tool": "leases.list", "agent": "provisioner", "summary": WORD}
    about = {
        "id": name,
        "tenant": tenant,
        "thread_id": f"thread-{at}",
        "requested_by": WORD,
        "request": WORD,
        "title": WORD,
        "steps": [step],
    }
    record = PlanRecord(
        id=name,
        tenant=tenant,
        thread_id=f"thread-{at}",
        digest=DIGEST,
        state="proposed",
        document=about,
        outcome={},
        decided_by=None,
        created_at=now,
        updated_at=now,
    )
    await factory.records.save_plan(record)
    await factory.records.move_plan(name, "proposed")
    return {"plan_id": name, "digest": DIGEST}


async def lease(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A slot for ten minutes."""
    key = f"{at}/{utcnow().timestamp():.0f}"
    held = await factory.leases.acquire(LeaseRequest(tenant=tenant, slots=1, purpose=WORD, seconds=600, plan_id=f"plan-{at}", key=key))
    return {"lease_id": held.id}


async def job(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A job on this host that has said its word."""
    name = f"job-{at}"
    await factory.jobs.submit(JobSpec(id=name, tenant=tenant, name=WORD, argv=["/bin/echo", WORD], pool=local_pool(factory)))
    return {"job_id": name}


def local_pool(factory: Factory) -> str:
    """The pool of this host. Raises LineshaftError where there is none."""
    found = next((pool.name for pool in factory.pools.all() if pool.provider == "local"), None)
    if found is None:
        raise LineshaftError("No pool is this host: jobs of other engines are attacked through their own door.")
    return found


def only_of_audits(tenant: str) -> None:
    """Raise for a team of people: what cannot be taken away again is put in place only for the teams that are made for audits."""
    if tenant not in TENANTS:
        raise LineshaftError("It could not be taken away again, and the team is one of people.")


async def lesson(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A lesson that was proposed."""
    only_of_audits(tenant)
    name = f"lesson-{at}"[:40]
    said = {"id": name, "tenant": tenant, "request": WORD, "anchor": WORD, "playbook": "train-only", "evidence": {}, "by": WORD}
    await factory.lessons.propose(Lesson.model_validate(said))
    return {"lesson_id": name}


async def entry(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """An entry of the catalog."""
    only_of_audits(tenant)
    name = f"model/{at}/m/1"
    await factory.catalog.put(CatalogEntry(id=name, kind="model", tenant=tenant, name=WORD, description=WORD))
    return {"entry_id": name}


async def limit(factory: Factory, victim: Party) -> dict[str, str]:
    """A limit of the victim's key."""
    wanted = Cap(tenant=victim.tenant, key_id=victim.key_id, resource="tokens", window="day", cap=Decimal(9))
    return {"limit_id": (await factory.limits.set(wanted, by=WORD)).id}


async def transcript(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A prompt with its answer, for a day."""
    name = f"call-{at}"
    only_of_audits(tenant)
    if (await factory.transcripts.retention(tenant)).days is None:
        await factory.transcripts.set_retention(tenant, 1, WORD)
    kept = Kept(id=name, tenant=tenant, key_id="", model=WORD, request={"text": WORD}, answer={"text": WORD})
    await factory.transcripts.keep([kept])
    return {"transcript_id": name}


async def version(factory: Factory, tenant: str, at: str) -> dict[str, str]:
    """A registered model, as a row: MLflow knows nothing of it."""
    only_of_audits(tenant)
    row = RegistryVersion(
        key=at,
        tenant=tenant,
        model_name=WORD,
        version=1,
        run_id=f"run-{at}",
        dataset="digits",
        dataset_digest=DIGEST,
        algorithm="auto",
        metrics={},
        archived=False,
    )
    async with factory.database.transaction() as session:
        await session.merge(row)
    return {}


async def endpoint(factory: Factory, tenant: str, name: str) -> dict[str, str]:
    """An endpoint, as a row of a retired one: nothing is started for it."""
    only_of_audits(tenant)
    row = EndpointRow(
        tenant=tenant, name=name, model_name=WORD, version=1, previous=[], state=EndpointState.RETIRED.value, job_id="", port=0
    )
    async with factory.database.transaction() as session:
        await session.merge(row)
    return {}


async def state(factory: Factory, bait: Bait) -> str:
    """What the attacker must not change, as one text."""
    tenant = bait.victim.tenant
    leases = [each.model_dump(mode="json") for each in await factory.leases.list(tenant)]
    keys = [(key.id, key.revoked_at) for key in await factory.tenants.keys(tenant)]
    limits = [(each.id, each.cap) for each in await factory.limits.list(tenant)]
    known = await factory.records.plan(bait.ids["plan_id"], None) if "plan_id" in bait.ids else None
    about = await factory.tenants.get(tenant)
    return repr((leases, keys, limits, known and (known.state, known.digest), about.budget, about.quota_slots))


async def take_away(factory: Factory, bait: Bait, attacker: Party) -> None:
    """Give the slot back and revoke both keys; what else was put in place is found again by the next audit."""
    if "lease_id" in bait.ids:
        await factory.leases.release(bait.victim.tenant, bait.ids["lease_id"])
    if "plan_id" in bait.ids:
        await factory.records.move_plan(bait.ids["plan_id"], "refused", decided_by="isolation audit")
    async with factory.database.transaction() as session:
        for row in (
            await session.get(EndpointRow, (bait.victim.tenant, bait.ids["name"])),
            await session.get(RegistryVersion, f"{bait.victim.tenant}-bait"),
        ):
            if row is not None:
                await session.delete(row)
    if "limit_id" in bait.ids:
        await factory.limits.remove(bait.ids["limit_id"])
    for party in (attacker, bait.victim):
        await factory.tenants.revoke_key(party.key_id)
