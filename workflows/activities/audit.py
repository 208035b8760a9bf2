"""The audit of a plan that has ended, for its workflow."""

from pydantic import BaseModel
from temporalio import activity

from factory_infra.factory import Factory
from tools.plans import AuditArguments, audit
from tools.spec import ToolContext
from workflows.activities.context import translated
from workflows.messages import JsonObject

AUDITOR = "auditor"


class AuditCall(BaseModel):
    """Which plan, of which team."""

    plan_id: str
    tenant: str


class AuditActivities:
    """Checks what was done against what was approved."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="audit_plan")
    @translated
    async def audit(self, request: AuditCall) -> JsonObject:
        """Return the audit's report. Reads only; call it once the plan's last state and event are written."""
        context = ToolContext(factory=self._factory, tenant=request.tenant, actor=AUDITOR, key="", plan_id=request.plan_id, agent=AUDITOR)
        report = await audit(context, AuditArguments(plan_id=request.plan_id))
        result: JsonObject = report.model_dump(mode="json")
        return result
