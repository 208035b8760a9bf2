"""Studies: list, show, trials, stop. They begin by plans: see the tools over studies."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.schemas.training import StopReason
from factory_infra.paas.training.studies.models import Study, StudyReport, Trial, TrialState

router = APIRouter(prefix="/v1/studies", tags=["studies"])
StudyPath = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_studies(
    held: HouseDep,
    tenant: ScopeDep,
    page: PageDep,
    name: Annotated[str | None, Query(max_length=63)] = None,
    open_only: Annotated[bool, Query(description="Only those that have not ended.")] = False,
) -> list[Study]:
    """List studies, newest first."""
    return await held.factory.studies.list(tenant, name=name, open_only=open_only, limit=page.limit, offset=page.offset)


@router.get("/{study_id}")
async def get_study(study_id: StudyPath, asker: PrincipalDep, held: HouseDep) -> StudyReport:
    """Show a study with its best trial, how many trials are in which state, and the slot-hours that they used."""
    return await held.factory.studies.report(study_id, asker.tenant)


@router.get("/{study_id}/trials")
async def list_trials(
    study_id: StudyPath, asker: PrincipalDep, held: HouseDep, page: PageDep, state: Annotated[TrialState | None, Query()] = None
) -> list[Trial]:
    """List a study's trials by number: parameters, what was reported on the way, the value, the job and the run."""
    return await held.factory.studies.trials(study_id, asker.tenant, state=state, limit=page.limit, offset=page.offset)


@router.post("/{study_id}/stop")
async def stop(study_id: StudyPath, body: StopReason, asker: UserDep, held: HouseDep) -> Study:
    """End a study: its jobs are ended, what it found stays."""
    return await held.factory.studies.stop(study_id, asker.tenant, body.reason or f"Ended by {asker.name}.")
