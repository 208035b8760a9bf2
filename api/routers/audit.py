"""The audit log: read, exported, checked."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from api.deps import AdminDep, ApproverDep, HouseDep, ScopeDep
from factory_infra.records.audit import AuditEntry, AuditFilter, Verdict, as_csv

router = APIRouter(prefix="/v1", tags=["audit"])
ATTACHED = {"content-disposition": 'attachment; filename="audit.csv"'}
Begin = Annotated[str | None, Query(max_length=160, description="How it begins.")]


class Asked:
    """Which rows are asked for."""

    def __init__(  # noqa: PLR0913 - each is a filter of its own
        self,
        tenant: ScopeDep,
        actor: Begin = None,
        action: Begin = None,
        object: Begin = None,  # noqa: A002 - the field's name
        since: AwareDatetime | None = None,
        after: Annotated[int, Query(ge=0, description="Rows after this one.")] = 0,
    ) -> None:
        self.tenant = tenant
        self.filter = AuditFilter(actor=actor, action=action, object=object, since=since, after_seq=after)


AskedDep = Annotated[Asked, Depends()]


@router.get("/audit")
async def list_audit(
    asker: ApproverDep, held: HouseDep, asked: AskedDep, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> Sequence[AuditEntry]:
    """List who changed what, oldest first; the next page begins `after` the last `seq`."""
    return await held.factory.audit.find(asked.tenant, asked.filter, limit)


@router.get("/audit.csv")
async def export_csv(asker: ApproverDep, held: HouseDep, asked: AskedDep) -> StreamingResponse:
    """Export as CSV; a cell that a spreadsheet would calculate begins with an apostrophe."""

    async def told() -> AsyncIterator[str]:
        yield as_csv([], head=True)
        async for page in held.factory.audit.pages(asked.tenant, asked.filter):
            yield as_csv(page, head=False)

    return StreamingResponse(told(), media_type="text/csv; charset=utf-8", headers=ATTACHED)


@router.get("/audit.jsonl")
async def export_lines(asker: ApproverDep, held: HouseDep, asked: AskedDep) -> StreamingResponse:
    """Export as JSON, a row a line, with the digests that chain them."""

    async def told() -> AsyncIterator[str]:
        async for page in held.factory.audit.pages(asked.tenant, asked.filter):
            yield "".join(f"{entry.model_dump_json()}\n" for entry in page)

    return StreamingResponse(told(), media_type="application/x-ndjson")


@router.get("/audit/verify")
async def verify(asker: AdminDep, held: HouseDep, head: Annotated[str, Query(max_length=100)] = "") -> Verdict:
    """Compute every digest of the log again. `head` is what an earlier check told: then a log that was cut short shows as well."""
    return await held.factory.audit.verify(head)
