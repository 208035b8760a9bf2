"""The policy: read it as it applies, ask what it would say of a plan, and change it."""

import asyncio

from fastapi import APIRouter
from pydantic import ValidationError

from api.deps import AdminDep, ApproverDep, House, HouseDep, ScopeDep, UserDep, scope
from api.schemas.policy import PolicyChange, PolicyQuestion, PolicyView
from factory_infra.errors import InvalidInput
from factory_infra.paas.tenants.models import Principal
from factory_infra.records.audit import NewEntry
from tools.plan import Plan
from tools.policy import Explanation, load_policy, source_of
from tools.policy_writing import PolicyText, policy_text, write_policy
from workflows.activities.policy import explained

router = APIRouter(prefix="/v1/policy", tags=["policy"])


@router.get("")
async def get_policy(asker: ApproverDep, held: HouseDep, tenant: ScopeDep) -> PolicyView:
    """Show the policy as it applies to a team; an administrator who names none sees the installation's."""
    settings = held.factory.settings
    policy, source = load_policy(settings), source_of(settings)
    if tenant is None:
        return PolicyView(
            version=policy.version,
            digest=policy.digest,
            source=source,
            tenant=None,
            defaults=policy.defaults,
            own=[],
            rules=list(policy.rules),
            bounds=policy.bounds,
            tenants=sorted(policy.tenants),
        )
    await held.factory.tenants.get(tenant)
    applied = policy.for_tenant(tenant)
    return PolicyView(
        version=applied.version,
        digest=applied.digest,
        source=source,
        tenant=tenant,
        defaults=applied.defaults,
        own=[effect.value for effect in applied.own],
        rules=list(applied.rules),
        bounds=applied.bounds,
    )


@router.get("/text")
async def get_text(asker: AdminDep, held: HouseDep) -> PolicyText:
    """Show the policy file as it is written, with the revision that a change must name."""
    return await asyncio.to_thread(policy_text, held.factory.settings)


@router.put("")
async def change_policy(body: PolicyChange, asker: AdminDep, held: HouseDep) -> PolicyText:
    """Put a whole policy in the place of the one that was read; it counts at once. Where somebody was faster, nothing is changed."""
    written = await asyncio.to_thread(write_policy, held.factory.settings, body.text, body.revision)
    told = NewEntry(action="policy:change", object="policy", before=body.revision, after=written.revision, actor=asker.actor, door="api")
    await held.factory.audit.add(told)
    return written


@router.post("/test")
async def test_policy(body: PolicyQuestion, asker: UserDep, held: HouseDep) -> Explanation:
    """Say what the policy would decide about a plan now, step by step; nothing is done and nothing is kept."""
    plan = body.plan or await kept_plan(str(body.plan_id), asker, held)
    await held.factory.tenants.get(scope(asker, plan.tenant) or plan.tenant)
    return await explained(held.factory, plan, body.requester_role or asker.role)


async def kept_plan(plan_id: str, asker: Principal, held: House) -> Plan:
    """Return a plan that is kept. Raises NotFound, and InvalidInput for one of a form that is not read any more."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    try:
        return Plan.model_validate(record.document)
    except ValidationError as error:
        raise InvalidInput(f"The plan {plan_id} cannot be read.", code="invalid_plan", remedy="Ask for it again.") from error
