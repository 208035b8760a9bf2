"""The policy: read it as it applies, and ask what it would say of a plan."""

from fastapi import APIRouter
from pydantic import ValidationError

from api.deps import ApproverDep, House, HouseDep, ScopeDep, UserDep, scope
from api.schemas.policy import PolicyQuestion, PolicyView
from factory_infra.errors import InvalidInput
from factory_infra.paas.tenants.models import Principal
from tools.plan import Plan
from tools.policy import Explanation, load_policy, source_of
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
