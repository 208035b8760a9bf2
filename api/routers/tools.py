"""Tools: list, show, call. And whole plans that a program or another agent proposes."""

import hashlib
import uuid
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Query, Response

from agents.specialists import ROSTER
from api.deps import AtLeast, House, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep, scope
from api.projects import project_of
from api.schemas.tools import NewCall, NewPlan, NewStep, Proposed, ToolCard
from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.paas.tenants.models import PLATFORM, Principal, Role
from factory_infra.records.models import PlanRecord
from tools.foreign import PREFIX, ForeignTool, foreign_tools
from tools.plan import Effect, Plan, PlanState, Step
from tools.spec import Observation, ToolContext, observe
from tools.toolbox import TOOLS, AnyTool, resolve_tool
from workflows.proposal import Starter, propose

router = APIRouter(tags=["tools"])
FOREIGN_AGENT = "dispatcher"
"""Who answers for a step of another's tool: no specialist has it in its scope."""


def agents_of(tool: str) -> list[str]:
    """The agents whose scope a tool is in."""
    return [name for name, spec in ROSTER.items() if tool in spec.tools]


def role_of(tool: AnyTool) -> Role:
    """The least role that may call a tool: reading our own is a viewer's; a stranger's server is told something by each call."""
    return Role.VIEWER if tool.effect is Effect.READ and not isinstance(tool, ForeignTool) else Role.USER


@cache
def own_card(name: str) -> ToolCard:
    """A tool of ours, which stays as it is while the process lives."""
    return drawn(TOOLS[name])


def card(tool: AnyTool) -> ToolCard:
    """A tool as callers see it."""
    return drawn(tool) if isinstance(tool, ForeignTool) else own_card(tool.name)


def drawn(tool: AnyTool) -> ToolCard:
    """The card of a tool, made anew."""
    foreign = isinstance(tool, ForeignTool)
    return ToolCard(
        name=tool.name,
        description=tool.description,
        effect=tool.effect,
        role=role_of(tool),
        agents=agents_of(tool.name),
        runs_as=tool.runs_as,
        arguments=tool.described.arguments if isinstance(tool, ForeignTool) else tool.arguments.model_json_schema(),
        result=tool.result.model_json_schema(mode="serialization"),
        undo=tool.undo_words,
        postcondition=tool.postcondition,
        source=tool.name.removeprefix(PREFIX).partition(".")[0] if foreign else "",
    )


@router.get("/v1/tools")
async def list_tools(
    held: HouseDep,
    tenant: ScopeDep,
    page: PageDep,
    effect: Effect | None = None,
    noun: Annotated[str | None, Query(max_length=64)] = None,
) -> list[ToolCard]:
    """List tools by name: our own, then those of approved servers of others."""
    every = [*sorted(TOOLS.values(), key=lambda each: each.name), *await foreign_tools(held.factory, tenant)]
    wanted = [each for each in every if effect in (None, each.effect) and noun in (None, each.name.partition(".")[0])]
    return [card(each) for each in wanted[page.offset : page.offset + page.limit]]


@router.get("/v1/tools/{name}")
async def get_tool(name: str, asker: PrincipalDep, held: HouseDep) -> ToolCard:
    """Show a tool."""
    return card(await resolve_tool(held.factory, name, asker.tenant))


@router.post("/v1/tools/{name}/call", responses={202: {"model": Proposed}})
async def call_tool(name: str, body: NewCall, asker: PrincipalDep, held: HouseDep, response: Response) -> Observation | Proposed:
    """Call a tool. What only reads is done at once; an effect becomes a plan of one step, which is answered with 202."""
    tool = await resolve_tool(held.factory, name, asker.tenant)
    await AtLeast(role_of(tool))(asker)
    if tool.effect is Effect.READ:
        return await read(held, tool, body, asker)
    response.status_code = 202
    step = NewStep(id="call", tool=name, arguments=body.arguments)
    fields = body.model_dump(include={"tenant", "project", "thread_id", "call_id"})
    return await proposed(held, asker, NewPlan(title=f"Call {name}", steps=(step,), **fields))


@router.post("/v1/plans", status_code=202)
async def propose_plan(body: NewPlan, asker: UserDep, held: HouseDep) -> Proposed:
    """Propose a whole plan: checked, foreseen, priced and judged as one that agents make, and decided like it."""
    return await proposed(held, asker, body)


async def read(held: House, tool: AnyTool, body: NewCall, asker: Principal) -> Observation:
    """Call a tool that only reads. An error that the caller can act on is an observation, not a refusal."""
    tenant = scope(asker, body.tenant) or PLATFORM
    await held.factory.tenants.get(tenant)
    context = ToolContext(held.factory, tenant, asker.actor, key="", thread_id=body.thread_id or "")
    try:
        result = await tool.call(context, tool.parse(body.arguments))
    except InvalidInput:
        raise
    except LineshaftError as error:
        return observe(error)
    return Observation(outcome="ok", result=result.model_dump(mode="json"))


async def proposed(held: House, asker: Principal, body: NewPlan) -> Proposed:
    """Propose a plan for the asker's team. Raises InvalidInput where an administrator names none."""
    tenant = scope(asker, body.tenant)
    if tenant is None:
        raise InvalidInput("Whose plan it is must be said.", remedy="Name the team in 'tenant'.")
    if body.thread_id is not None:
        await held.factory.records.thread(body.thread_id, tenant)
    project = await project_of(asker, tenant, body.project, held)
    name = identity(asker, body.call_id)
    plan = Plan(
        id=f"plan-{name}",
        tenant=tenant,
        project=project,
        thread_id=body.thread_id or f"thread-{name}",
        requested_by=asker.actor,
        request=body.request or body.title,
        title=body.title,
        steps=tuple(step_of(step) for step in body.steps),
        planner=f"program ({asker.name})",
    )
    return answer(await propose(Starter(held.factory, held.temporal, held.task_queue), plan, asker.role.value))


def identity(asker: Principal, call_id: str | None) -> str:
    """What a plan and its thread are named by: the same call of the same key gives the same name."""
    return uuid.uuid4().hex[:16] if call_id is None else hashlib.sha256(f"{asker.key_id}/{call_id}".encode()).hexdigest()[:16]


def step_of(step: NewStep) -> Step:
    """The step as a plan holds it; what the tool knows better is set right when it is foreseen."""
    agent = step.agent or next((each for each in agents_of(step.tool) if each != FOREIGN_AGENT), FOREIGN_AGENT)
    summary = step.summary or f"Call {step.tool}"
    return Step(**step.model_dump(exclude={"agent", "summary"}), agent=agent, summary=summary)


def answer(record: PlanRecord) -> Proposed:
    """Tell of a proposed plan what its decision needs."""
    plan = Plan.model_validate(record.document)
    waits = record.state == PlanState.PROPOSED
    how = f"POST /v1/plans/{record.id}/approve with the digest, by a key whose role may." if waits else f"It is {record.state} already."
    return Proposed(
        plan_id=record.id,
        digest=record.digest,
        state=record.state,
        title=plan.title,
        thread_id=record.thread_id,
        price_low=plan.price.low,
        price_high=plan.price.high,
        currency=plan.price.currency,
        basis=plan.price.basis,
        steps=[f"{step.id}: {step.tool}: {step.summary}" for step in plan.steps],
        verdict=plan.verdict,
        how=how,
    )
