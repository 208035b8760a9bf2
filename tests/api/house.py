"""The application over a real database, without Temporal; keys of two teams; and what belongs to the other team."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
from fastapi import FastAPI
from temporalio.client import Client

from api.app import build_app
from api.deps import House
from api.sessions import Sessions
from factory_infra.database import Base, utcnow
from factory_infra.factory import Factory
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.leases.models import Lease, LeaseRequest
from factory_infra.iaas.leases.pool_quotas import PoolQuotaRow
from factory_infra.paas.catalog.models import CatalogEntry
from factory_infra.paas.catalog.tables import AccessRow
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic_tables import RequestRow, RolloutRow
from factory_infra.paas.registry.tables import RegistryVersion
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.structure_tables import AccountRow, CustomRoleRow, MemberRow, OrganisationRow, ProjectRow
from factory_infra.paas.tenants.tables import KeyRow, TenantRow
from factory_infra.paas.training.data.tables import DatasetVersionRow
from factory_infra.paas.training.pipelines.tables import CacheRow, FiringRow, StepRow, TriggerRow, VersionRow
from factory_infra.paas.training.pipelines.tables import RunRow as PipelineRunRow
from factory_infra.paas.training.studies.tables import StudyRow, TrialRow
from factory_infra.records.approvals import Approval
from factory_infra.records.control_tables import ApprovalRow
from factory_infra.records.lessons import Lesson
from factory_infra.records.models import NewEvent, PlanRecord, Thread
from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.metering.tables import LimitRow
from factory_infra.saas.models.transcripts.models import Kept
from factory_infra.saas.models.transcripts.seal import seal_of
from factory_infra.saas.tool_servers.tables import ToolServerRow
from tools.plan import Plan, Step

SECRET = "whisper"
"""A word that is in everything of the other team."""
DIGEST = "d" * 64


@dataclass
class Doors:
    """The application's doors, and a key for each kind of caller."""

    app: FastAPI
    factory: Factory
    http: httpx.AsyncClient
    keys: dict[str, str]

    async def ask(self, method: str, path: str, who: str | None = "user", **request: Any) -> httpx.Response:
        """Send a request under the key of a viewer, user, approver, admin or stranger (of the other team), or without one."""
        headers = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        return await self.http.request(method, path, headers={**headers, **request.pop("headers", {})}, **request)


async def open_doors(factory: Factory, temporal: Client) -> Doors:
    """Build the application, two teams and their keys."""
    await factory.tenants.create("vision", quota_slots=3, budget=Decimal(20))
    await factory.tenants.create("language", quota_slots=3, budget=Decimal(20))
    keys = {role.value: (await factory.tenants.issue_key("vision", role.value, role))[1] for role in list(Role)[:4]}
    keys["stranger"] = (await factory.tenants.issue_key("language", "stranger", Role.APPROVER))[1]
    keys["admin"] = (await factory.tenants.issue_key(None, "root", Role.ADMIN))[1]
    app = build_app(factory.settings)
    app.state.house = House(factory=factory, temporal=temporal, sessions=Sessions("s" * 64))
    return Doors(app, factory, client_of(app), keys)


def client_of(app: FastAPI, base_url: str = "http://127.0.0.1:8400") -> httpx.AsyncClient:
    """A client that reaches the application without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=base_url)


def plan_of(name: str, word: str) -> Plan:
    """A plan with a word in it."""
    step = Step(id="a", tool="leases.list", agent="provisioner", summary=word)
    return Plan(id=f"plan-{name}", tenant=name, thread_id=f"thread-{name}", requested_by=word, request=word, title=word, steps=(step,))


def rollout_of(name: str, word: str) -> RolloutRow:
    """A roll-out of the team's endpoint, at work."""
    told = {"model_name": word, "old_model_name": word, "reason": word, "asked_by": word}
    jobs = {"job_id": "j-1-0", "old_job_id": "j-0", "plan": {}, "state": "paused", "version": 2, "old_version": 1}
    return RolloutRow(id=f"ro-{name}", key=name, tenant=name, name="reader", code="", share=0.1, step=0, **told, **jobs)


def study_of(name: str, word: str) -> StudyRow:
    """A study of the team, at work."""
    spec = {"name": name, "space": {"x": {"kind": "int", "low": 0, "high": 9}}, "program": {"kind": "command", "argv": [word]}}
    told = {"lease_id": f"lease-{name}", "plan_id": "", "run_id": "", "run_url": "", "code": "", "reason": word, "created_by": word}
    named = {"id": f"study-{name}", "tenant": name, "key": f"study/{name}", "name": name}
    return StudyRow(spec=spec, state="running", created_at=utcnow(), **named, **told)


def trial_of(name: str, word: str) -> TrialRow:
    """A trial of it."""
    told = {"job_id": f"study-{name}-0", "run_id": "", "code": word, "reason": word, "state": "asked", "asked_at": utcnow(), "slots": []}
    return TrialRow(study_id=f"study-{name}", tenant=name, number=0, parameters={"x": 1}, reports=[], rungs={}, starts=0, **told)


def request_of(factory: Factory, name: str, word: str) -> RequestRow:
    """A request that the team had kept."""
    sealed = seal_of(factory.settings).close(name, f"rq-{name}", {"rows": [[1.0]], "labels": [word], "probabilities": None})
    kept = {"model_name": word, "version": 1, "expires_at": utcnow() + timedelta(days=1), "sealed": sealed}
    return RequestRow(id=f"rq-{name}", tenant=name, name="reader", **kept)


def word_of(actor: str) -> dict[str, Any]:
    """What somebody said to what was asked."""
    return {"actor": actor, "role": "user", "approve": True, "expires_at": utcnow() + timedelta(days=1)}


def pipeline_rows(name: str, word: str) -> list[Base]:
    """A dataset, a pipeline, a run of it with its step, what it left, and a trigger that fired."""
    version = {"tenant": name, "name": "murmurs", "version": 1, "digest": DIGEST, "created_by": word}
    table = {"format": "csv", "rows": 1, "columns": [], "bytes": 1, "description": word, "file": f"{name}/{word}.csv", "blocks": []}
    text = {"document": {"description": word, "steps": []}, "text": word, "file": word, "lines": {}, "approvals": []}
    said = {"code": "", "reason": word, "remedy": "", "card": {}}
    run = {"id": f"pr-{name}", "key": name, "pipeline": "murmurs", "version": 1, "digest": DIGEST, "parameters": {}, "state": "running"}
    asked = {"trigger": "api", "trigger_id": "", "plan_id": "", "cache": True, "actor": word, "role": "user", "thread_id": f"thread-{name}"}
    step = {"run_id": f"pr-{name}", "step": "one", "place": 0, "kind": "run", "state": "done", "attempt": 1, "job_id": "", "lease_id": ""}
    left = {"cache_key": "", "cached_from": "", "inputs": {}, "outputs": {"a.txt": DIGEST}, "result": {"word": word}}
    trigger = {"id": f"tr-{name}", "pipeline": "murmurs", "name": word, "kind": "push", "definition": {"name": "w", "kind": "push"}}
    kept = {"enabled": True, "generation": 1, "revision": 1, "scheduled": 1, "cursor": 0, "actor": word, "role": "user"}
    return [
        DatasetVersionRow(**version, **table),
        VersionRow(**version, **text),
        PipelineRunRow(tenant=name, **run, **asked, **said),
        StepRow(tenant=name, **step, **left, **said),
        CacheRow(tenant=name, key=DIGEST, outputs={}, result={"word": word}, run_id=f"pr-{name}"),
        TriggerRow(tenant=name, **trigger, **kept),
        ApprovalRow(id=f"ap-{name}", plan_id=f"pr-{name}", tenant=name, digest=DIGEST, revision=0, **word_of(word)),
        FiringRow(trigger_id=f"tr-{name}", key=word, tenant=name, outcome="started", run_id=f"pr-{name}", reason=word),
    ]


async def furnish(factory: Factory, tenant: str = "language", word: str = SECRET) -> Lease:
    """Give a team one of everything, each with a word in it; again changes nothing."""
    now, name = utcnow(), tenant
    await factory.records.create_thread(Thread(id=f"thread-{name}", tenant=tenant, created_by=word, title=word, created_at=now))
    await factory.records.write_event(
        NewEvent(
            key=f"{name}/1",
            tenant=tenant,
            thread_id=f"thread-{name}",
            run_id=f"run-{name}",
            kind="message.user",
            payload={"text": word, "actor": "ann"},
        )
    )
    await factory.records.save_plan(
        PlanRecord(
            id=f"plan-{name}",
            tenant=tenant,
            thread_id=f"thread-{name}",
            digest=DIGEST,
            state="proposed",
            document=plan_of(name, word).model_dump(mode="json"),
            outcome={},
            decided_by=None,
            created_at=now,
            updated_at=now,
        )
    )
    said = {
        "plan_id": f"plan-{name}",
        "tenant": tenant,
        "digest": DIGEST,
        "revision": 1,
        "actor": word,
        "role": "approver",
        "approve": True,
    }
    await factory.approvals.save(Approval.model_validate({**said, "at": now, "expires_at": now}))
    lesson = {"id": f"L-{name}", "tenant": tenant, "request": word, "anchor": word, "playbook": "train-only", "evidence": {}, "by": word}
    await factory.lessons.propose(Lesson.model_validate(lesson))
    asked = LeaseRequest(tenant=tenant, slots=1, purpose=word, plan_id=f"plan-{name}", key=name)
    lease = await factory.leases.acquire(asked)
    await factory.metering.reserve_lease(lease.id, "cpu", 3600, Attribution(tenant=tenant, plan_id=f"plan-{name}", agent=word))
    entry = CatalogEntry(id=f"model/{name}/m/1", kind="model", tenant=tenant, name=word, description=word)
    await factory.catalog.put(entry)
    letter = {"id": f"document/{name}/d", "kind": "document", "tenant": tenant, "name": word, "description": word}
    await factory.catalog.put(CatalogEntry.model_validate(letter), body=word)
    await factory.lineage.link(tenant, f"dataset/{name}/{word}", "run/abc", "trained")
    await factory.jobs.submit(JobSpec(id=f"job-{name}", tenant=tenant, name=word, argv=["/bin/echo", word]))
    await factory.transcripts.set_retention(tenant, 1, word)
    told = {"text": word}
    await factory.transcripts.keep([Kept(id=f"call-{name}", tenant=tenant, key_id="", model=word, request={**told}, answer={**told})])
    async with factory.database.transaction() as session:
        await session.merge(OrganisationRow(name=f"group-{name}", title=word))
        await session.flush()
        (await session.get_one(TenantRow, tenant)).organisation = f"group-{name}"
        await session.merge(ProjectRow(tenant=tenant, name=f"project-{name}", title=word))
        told = {"tenant": tenant, "title": word}
        await session.merge(MemberRow(id=f"member-{name}", subject=f"oidc:{word}", role="user", added_by=word, **told))
        for row in pipeline_rows(name, word):
            await session.merge(row)
            await session.flush()
        await session.merge(CustomRoleRow(id=f"role-{name}", name=word, counts_as="viewer", permissions=["jobs:read"], **told))
        wish = {"entry_id": f"model/{name}/m/1", "entry_name": word, "reason": word, "decision": word, "asked_by": word, "decided_by": word}
        moments = {"asked_at": now, "decide_by": now + timedelta(days=1), "days": 1, "reminders": 0}
        await session.merge(AccessRow(id=f"access-{name}", tenant=tenant, owner_tenant=tenant, state="asked", **wish, **moments))
        await session.merge(AccountRow(name=f"account-{name}", role="user", created_by=word, **told))
        await session.merge(PoolQuotaRow(tenant=tenant, pool="local", accelerator="", slots_max=2))
        await session.merge(
            EndpointRow(
                tenant=tenant, name="reader", model_name=word, version=1, previous=[], state="live", job_id="j", port=9, updated_at=now
            )
        )
        await session.flush()
        await session.merge(rollout_of(name, word))
        await session.merge(study_of(name, word))
        await session.flush()
        await session.merge(trial_of(name, word))
        await session.merge(request_of(factory, name, word))
        await session.merge(KeyRow(id=f"key-{name}", tenant=tenant, name=word, role="user", digest=DIGEST))
        await session.merge(
            LimitRow(
                id=f"{name}:tokens:day", tenant=tenant, key_id=f"key-{name}", resource="tokens", window="day", cap=Decimal(9), set_by=word
            )
        )
        tools = {"tools": [{"name": "now", "description": word, "arguments": {"type": "object"}}]}
        await session.merge(
            ToolServerRow(
                name=f"{name}-tools",
                tenant=tenant,
                url="http://127.0.0.1:9/mcp",
                secret="",
                state="approved",
                digest=DIGEST,
                described=tools,
                approved_digest=DIGEST,
                pinned=tools,
                effects={"now": "read"},
                added_by=word,
            )
        )
        await session.merge(
            RegistryVersion(
                key=f"{name}/1",
                tenant=tenant,
                model_name=word,
                version=1,
                run_id="r",
                dataset="digits",
                dataset_digest="d",
                algorithm="a",
                metrics={},
                archived=False,
                created_at=now,
                run_url="",
            )
        )
    return lease
