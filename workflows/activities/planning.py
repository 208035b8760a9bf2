"""Activities over planning: the factory's facts, the two halves of the planner, and the model."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from pydantic import TypeAdapter
from temporalio import activity

from agents.planning.interface import (
    DatasetFact,
    EndpointFact,
    Facts,
    JobFact,
    LeaseFact,
    LessonFact,
    ModelFact,
    Outcome,
    Planner,
    PoolFact,
    Ranking,
    TeamFact,
    Turn,
)
from agents.state import OfferedTool, Situation
from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.factory import Factory
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.leases.models import Usage
from factory_infra.paas.tenants.models import PLATFORM, Tenant
from factory_infra.paas.training.datasets import DATASETS
from factory_infra.records.history import History
from factory_infra.saas.metering.models import Attribution, Charge
from factory_infra.saas.models.interface import AccountedModel
from factory_infra.saas.models.models import ChatCall
from tools.foreign import foreign_tools
from tools.plan import Effect
from tools.policy_file import load_policy
from workflows.activities.beating import beating
from workflows.activities.context import effect_key, telling, translated
from workflows.messages import JsonObject, ModelCall, PlannerCall, SituationCall

CHARACTERS_PER_TOKEN = 3
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class PlanningActivities:
    """What a turn is planned from and with."""

    def __init__(self, factory: Factory, planner: Planner) -> None:
        self._factory = factory
        self._planner = planner

    @activity.defn(name="read_situation")
    @translated
    @telling
    async def read_situation(self, request: SituationCall) -> JsonObject:
        """Read what the asker may see of the factory, and which model there is."""
        factory, model = self._factory, self._factory.chat_model
        facts = await self.facts(request.tenant)
        situation = Situation(
            facts=facts,
            model=model.name if model else None,
            planner="free" if model and model.size == "large" else "playbook",
            plan_state=await self._state_of(request.plan_id, request.tenant),
            approval_seconds_max=factory.settings.approval_seconds_max,
            foreign=await offered(factory, request.tenant),
            bounds=load_policy(factory.settings).for_tenant(request.tenant or PLATFORM).bounds.of_a_run(),
        )
        return situation.model_dump(mode="json")

    async def _state_of(self, plan_id: str, tenant: str | None) -> str:
        """Where a plan is; empty where none is named, or where it is not written down yet."""
        if not plan_id:
            return ""
        try:
            return (await self._factory.records.plan(plan_id, tenant)).state
        except NotFound:
            return ""

    async def facts(self, tenant: str | None) -> Facts:
        """What one of a team may see of the factory, with what the team was taught; None is an administrator, whom no team taught."""
        factory = self._factory
        teams = [await self._team(each) for each in await factory.tenants.list(tenant) if each.name != PLATFORM]
        usage = await factory.leases.usage(tenant or PLATFORM)
        return Facts(
            home_team=tenant,
            teams=teams,
            datasets=[DatasetFact(name=each.name, aliases=each.aliases) for each in DATASETS],
            slot_kind=usage.slot_kind,
            slots_total=usage.slots_total,
            slots_free=usage.slots_free,
            pools=await self._pools(tenant or PLATFORM),
            lessons=await self.taught(tenant),
        )

    async def _pools(self, tenant: str) -> list[PoolFact]:
        """The pools that answer; planning goes on without those that do not."""
        names = [pool.name for pool in self._factory.pools.all()]
        asked = await asyncio.gather(*(self._factory.leases.usage(tenant, name) for name in names), return_exceptions=True)
        for each in asked:
            if isinstance(each, BaseException) and not isinstance(each, LineshaftError):
                raise each
        return [
            PoolFact(name=each.pool or name, slot_kind=each.slot_kind, slots_total=each.slots_total, slots_free=each.slots_free)
            for name, each in zip(names, asked, strict=True)
            if isinstance(each, Usage)
        ]

    async def taught(self, tenant: str | None) -> list[LessonFact]:
        """The promoted lessons of one team, as they stand now."""
        promoted = await self._factory.lessons.promoted(tenant)
        return [LessonFact(id=each.id, kind=each.kind, anchor=each.anchor, playbook=each.playbook) for each in promoted]

    async def _team(self, tenant: Tenant) -> TeamFact:
        factory, name = self._factory, tenant.name
        usage = await factory.leases.usage(name)
        models = [
            ModelFact(model_name=each.model_name, version=each.version, dataset=each.dataset, accuracy=each.metrics.get("accuracy"))
            for each in await factory.registry.list(name)
        ]
        endpoints = [
            EndpointFact(name=each.name, model_name=each.model_name, version=each.version, previous_version=each.previous_version)
            for each in await factory.deployments.list(name)
        ]
        jobs = [
            JobFact(id=each.id, name=each.name, state=each.state.value)
            for each in await factory.jobs.list(name)
            if each.state in {JobState.PENDING, JobState.RUNNING}
        ]
        leases = [
            LeaseFact(id=each.id, slots=len(each.slots) or each.slots_wanted, purpose=each.purpose)
            for each in await factory.leases.list(name)
        ]
        return TeamFact(
            name=name,
            quota_slots=tenant.quota_slots,
            quota_slots_used=usage.quota_slots_used,
            models=models,
            endpoints=endpoints,
            leases=leases,
            jobs=jobs,
        )

    @activity.defn(name="rank_request")
    @translated
    @telling
    async def rank(self, request: PlannerCall) -> JsonObject:
        """The planner's first half."""
        ranking = await self._planner.rank(Turn.model_validate(request.turn), Facts.model_validate(request.facts))
        return ranking.model_dump(mode="json")

    @activity.defn(name="settle_request")
    @translated
    @telling
    async def settle(self, request: PlannerCall) -> JsonObject:
        """The planner's second half."""
        outcome = self._planner.settle(Ranking.model_validate(request.ranking), request.answers, Facts.model_validate(request.facts))
        return {"outcome": OUTCOME.dump_python(outcome, mode="json")}

    async def _against_call(self, tenant: str) -> str:
        """Why a team may not call the model now: the switch (a call costs money, so it is an effect), or its bound of an hour."""
        if (await self._factory.switch.state()).stopped:
            return "Every effect is stopped by an administrator."
        bounds = load_policy(self._factory.settings).for_tenant(tenant).bounds
        calls, tokens = bounds.model_calls_per_hour_max, bounds.tokens_per_hour_max
        if calls is None and tokens is None:
            return ""
        used = await History(self._factory.database).model_use(tenant, utcnow() - timedelta(hours=1))
        if (calls is not None and used.calls >= calls) or (tokens is not None and used.tokens >= tokens):
            return f"Team {tenant} has used its bound of an hour: {used.calls} model calls, {used.tokens} tokens."
        return ""

    @activity.defn(name="ask_model")
    @translated
    @telling
    async def ask_model(self, request: ModelCall) -> JsonObject:
        """Ask the model once, charged to the team: reserved for the worst case before, settled by the upstream's usage after.

        A model that does not answer gives ok=false with the reason: planning goes on without it.
        """
        model, call = self._factory.chat_model, ChatCall.model_validate(request.call)
        if model is None:
            return {"ok": False, "reason": "No model is configured."}
        if against := await self._against_call(request.tenant):
            return {"ok": False, "reason": against}
        info = activity.info()
        name = effect_key(self._factory, f"model/{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}")
        whose = Attribution(**request.model_dump(include={"tenant", "project", "plan_id", "thread_id", "agent"}))
        if isinstance(model, AccountedModel):
            return await accounted(model, call, whose)
        subject = model.name.partition(":")[2] if not model.name.startswith("scripted") else "scripted"
        characters = sum(len(message.content) for message in call.messages) + len(str(call.tools))
        worst = Charge(
            unit="tokens",
            subject=subject,
            quantity=Decimal(characters // CHARACTERS_PER_TOKEN + 256),
            quantity_out=Decimal(call.tokens_max),
        )
        metering = self._factory.metering
        async with beating():
            await metering.reserve(name, worst, whose)
            try:
                answer = await model.answer(call)
            except LineshaftError as error:
                await metering.release(name)
                return {"ok": False, "reason": str(error)}
            used = Charge(
                unit="tokens",
                subject=subject,
                quantity=Decimal(answer.tokens_in),
                quantity_out=Decimal(answer.tokens_out),
                estimated=answer.estimated,
            )
            await metering.settle(name, used)
        return {"ok": True, "answer": answer.model_dump(mode="json")}


async def accounted(model: AccountedModel, call: ChatCall, whose: Attribution) -> JsonObject:
    """Ask a model that reserves and settles by itself."""
    async with beating():
        try:
            answer = await model.answer_for(call, whose)
        except LineshaftError as error:
            return {"ok": False, "reason": str(error)}
    return {"ok": True, "answer": answer.model_dump(mode="json")}


async def offered(factory: Factory, tenant: str | None) -> list[OfferedTool]:
    """The reading tools of other people's servers that a team may use; their effects are only ever proposed by people and programs."""
    if tenant is None:
        return []
    found = [tool for tool in await foreign_tools(factory, tenant) if tool.effect is Effect.READ]
    return [OfferedTool(name=tool.name, description=tool.description, parameters=tool.described.arguments) for tool in found]
