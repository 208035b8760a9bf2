"""The activity over the policy: judge a plan by the file as it is now and by what the team did lately."""

from datetime import timedelta

from temporalio import activity

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.factory import Factory
from factory_infra.records.history import History
from tools.plan import Effect, Plan
from tools.policy import Asked, Explanation, explain, load_policy
from tools.policy_match import EffectOf
from tools.toolbox import TOOLS, resolve_tool
from workflows.activities.context import telling, translated
from workflows.messages import JsonObject, Told

HOUR = timedelta(hours=1)


class JudgeCall(Told):
    """A plan to judge, and the role of who asked for it."""

    plan: Plan
    requester_role: str = "user"


class PolicyActivities:
    """Asks the installation's policy."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="judge_plan")
    @translated
    @telling
    async def judge_plan(self, request: JudgeCall) -> JsonObject:
        """Return the verdict on a plan. Raises PolicyBroken where the file cannot be read: nothing is judged by another one."""
        told = await explained(self._factory, request.plan, request.requester_role)
        return {"verdict": told.verdict.model_dump(mode="json")}


async def explained(factory: Factory, plan: Plan, requester_role: str) -> Explanation:
    """What the policy's file says of a plan now, step by step. Raises PolicyBroken."""
    policy = load_policy(factory.settings)
    asked = await asked_now(factory, plan.tenant, plan.id, requester_role)
    return explain(plan, policy, asked, effect_of=await effects_now(factory, plan, asked))


async def effects_now(factory: Factory, plan: Plan, asked: Asked) -> EffectOf:
    """The effects of all tools that are spoken of, those of other people's servers as their operator declared them."""
    found: dict[str, Effect] = {}
    for name in {*asked.effects_last_hour, *(step.tool for step in plan.steps)}:
        try:
            found[name] = (await resolve_tool(factory, name, plan.tenant)).effect
        except (NotFound, Conflict):  # not there, or not approved any more: the same for a plan
            continue
    return found.get


async def asked_now(factory: Factory, tenant: str, plan_id: str, requester_role: str) -> Asked:
    """What the world adds to a plan now: the moment, and what its team did in the last hour."""
    now, history = utcnow(), History(factory.database)
    jobs = [name for name, tool in TOOLS.items() if tool.runs_as == "job"]
    used = await history.model_use(tenant, now - HOUR)
    return Asked(
        now=now,
        requester_role=requester_role,
        effects_last_hour=await history.effects(tenant, now - HOUR, jobs),
        runs_at_once=await history.runs_at_once(tenant, but=plan_id),
        model_calls_last_hour=used.calls,
        tokens_last_hour=used.tokens,
    )
