"""Triggers of pipelines, and the door for pushes."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.features import TeamQuery, team
from api.routers.pipelines import NamePath
from api.schemas.pipelines import Heard, TriggerFacts
from factory_infra.errors import NotFound
from factory_infra.factory import Factory
from factory_infra.paas.training.pipelines.hooks import check_signed, read_push, unsigned
from factory_infra.paas.training.pipelines.models import Firing, NewTrigger, Trigger
from factory_infra.second_wall import everything

router = APIRouter(prefix="/v1", tags=["pipelines"])
TriggerPath = Annotated[str, Path(max_length=64)]


def facts_of(factory: Factory, trigger: Trigger, *, secret: bool) -> TriggerFacts:
    """A trigger as a person sees it."""
    pushed = trigger.kind == "push"
    base = factory.settings.own_url
    return TriggerFacts(
        **trigger.model_dump(),
        address=f"{base}/v1/hooks/{trigger.id}" if pushed else "",
        secret=factory.pipeline_triggers.secret(trigger) if pushed and secret else "",
    )


@router.get("/pipelines/{name}/triggers")
async def list_triggers(name: NamePath, asker: PrincipalDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None) -> list[TriggerFacts]:
    """List what starts a pipeline by itself."""
    owner = team(asker, tenant)
    await held.factory.pipelines.get(owner, name)
    found = await held.factory.pipeline_triggers.list(owner, name, page.limit, page.offset)
    return [facts_of(held.factory, each, secret=False) for each in found]


@router.post("/pipelines/{name}/triggers", status_code=201)
async def put_trigger(name: NamePath, body: NewTrigger, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> TriggerFacts:
    """Make a trigger, or change the one of this name. Of a push the secret is shown now and never again."""
    made = await held.factory.pipeline_triggers.put(team(asker, tenant), name, body, (asker.actor, asker.role.value))
    return facts_of(held.factory, made, secret=True)


@router.get("/pipeline-triggers")
async def list_all(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[TriggerFacts]:
    """List triggers of all pipelines."""
    found = await held.factory.pipeline_triggers.list(tenant, None, page.limit, page.offset)
    return [facts_of(held.factory, each, secret=False) for each in found]


@router.get("/pipeline-triggers/{trigger_id}")
async def get_trigger(trigger_id: TriggerPath, asker: PrincipalDep, held: HouseDep) -> TriggerFacts:
    """Show a trigger."""
    return facts_of(held.factory, await held.factory.pipeline_triggers.get(asker.tenant, trigger_id), secret=False)


@router.get("/pipeline-triggers/{trigger_id}/firings")
async def list_firings(trigger_id: TriggerPath, asker: PrincipalDep, held: HouseDep, page: PageDep) -> list[Firing]:
    """List when a trigger fired and what came of it, newest first."""
    await held.factory.pipeline_triggers.get(asker.tenant, trigger_id)
    return await held.factory.pipeline_triggers.firings(trigger_id, page.limit, page.offset)


@router.post("/pipeline-triggers/{trigger_id}/rotate")
async def rotate(trigger_id: TriggerPath, asker: UserDep, held: HouseDep) -> TriggerFacts:
    """Make a push's secret anew: what is signed with the old one is refused from now on."""
    made = await held.factory.pipeline_triggers.rotate(await held.factory.pipeline_triggers.get(asker.tenant, trigger_id))
    return facts_of(held.factory, made, secret=True)


@router.delete("/pipeline-triggers/{trigger_id}", status_code=204)
async def remove(trigger_id: TriggerPath, asker: UserDep, held: HouseDep) -> None:
    """Take a trigger out of use."""
    await held.factory.pipeline_triggers.remove(await held.factory.pipeline_triggers.get(asker.tenant, trigger_id))


@router.post("/hooks/{trigger_id}", status_code=202)
async def hear(trigger_id: TriggerPath, request: Request, held: HouseDep) -> Heard:
    """Take a push from GitHub, GitLab or anybody who signs it. The same bytes again start nothing; no signature, no answer."""
    body, headers = await request.body(), {name.lower(): value for name, value in request.headers.items()}
    triggers = held.factory.pipeline_triggers
    with everything():  # nobody asks with a key here: the signature is what proves them
        try:
            trigger = await triggers.get(None, trigger_id)
        except NotFound as error:
            raise unsigned() from error
        if trigger.kind != "push":
            raise unsigned()
        check_signed(triggers.secret(trigger), headers, body)
        push = read_push(headers, body, trigger.branch)
        if push.ignored:
            return Heard.of(await triggers.ignore(trigger, push.delivery, push.ignored))
        found = {"commit": push.commit, "branch": push.branch, "repository": push.repository}
        return Heard.of(await triggers.fire(trigger, push.delivery, {name: value for name, value in found.items() if value}))
