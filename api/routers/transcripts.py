"""Calls that a team asked to have kept: whether, for how long, and reading them. Nothing is kept unless it asked."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import ApproverDep, HouseDep, PageDep, PrincipalDep, scope
from api.schemas.transcripts import RetentionChange
from factory_infra.errors import InvalidInput
from factory_infra.paas.tenants.models import Principal
from factory_infra.saas.models.transcripts.models import Retention, Transcript, TranscriptHead

router = APIRouter(prefix="/v1", tags=["transcripts"])

TeamQuery = Annotated[str | None, Query(max_length=64)]


def team_of(asker: Principal, tenant: str | None) -> str:
    """The one team that is meant: the asker's own, or what an administrator names. Raises InvalidInput, NotFound."""
    found = scope(asker, tenant)
    if found is None:
        raise InvalidInput("No team is named.", remedy="Name one with ?tenant=….", code="team_missing")
    return found


@router.get("/tenants/{tenant}/retention")
async def get_retention(tenant: str, asker: PrincipalDep, held: HouseDep) -> Retention:
    """Say whether a team's prompts and answers are kept."""
    team = await held.factory.tenants.get(scope(asker, tenant) or tenant)
    return await held.factory.transcripts.retention(team.name)


@router.put("/tenants/{tenant}/retention")
async def set_retention(tenant: str, body: RetentionChange, asker: ApproverDep, held: HouseDep) -> Retention:
    """Have a team's calls kept for some days from now on; without days nothing is kept, and what was kept is forgotten at once."""
    team = await held.factory.tenants.get(scope(asker, tenant) or tenant)
    return await held.factory.transcripts.set_retention(team.name, body.days, asker.actor)


@router.get("/transcripts")
async def list_transcripts(asker: ApproverDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None) -> list[TranscriptHead]:
    """List a team's kept calls, newest first, without a word of them."""
    return await held.factory.transcripts.list(team_of(asker, tenant), page.limit, page.offset)


@router.get("/transcripts/{transcript_id}")
async def get_transcript(transcript_id: str, asker: ApproverDep, held: HouseDep, tenant: TeamQuery = None) -> Transcript:
    """Open one kept call."""
    return await held.factory.transcripts.read(transcript_id, team_of(asker, tenant))


@router.delete("/transcripts/{transcript_id}", status_code=204)
async def forget_transcript(transcript_id: str, asker: ApproverDep, held: HouseDep, tenant: TeamQuery = None) -> None:
    """Remove one kept call now."""
    await held.factory.transcripts.forget(transcript_id, team_of(asker, tenant))
