"""Datasets of teams: upload, versions, rows, and an export that no spreadsheet runs."""

import asyncio
import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.features import TeamQuery, team
from api.schemas.pipelines import DatasetRows, NewDataset, NewPart, PartKept
from factory_infra.errors import InvalidInput
from factory_infra.factory import Factory
from factory_infra.paas.training.data.models import NAME_PATTERN, DatasetVersion
from factory_infra.paas.training.data.reading import exported, page_of

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
NamePath = Annotated[str, Path(pattern=NAME_PATTERN, max_length=40)]
VersionPath = Annotated[int, Path(ge=1, le=1_000_000_000)]
UploadPath = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", max_length=64)]


@router.get("")
async def list_datasets(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[DatasetVersion]:
    """List the newest version of each dataset."""
    return await held.factory.datasets.list(tenant, None, page.limit, page.offset)


@router.get("/{name}/versions")
async def list_versions(
    name: NamePath, asker: PrincipalDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None
) -> list[DatasetVersion]:
    """List the versions of one, newest first."""
    await held.factory.datasets.get(team(asker, tenant), name)
    return await held.factory.datasets.list(team(asker, tenant), name, page.limit, page.offset)


@router.post("/{name}/versions", status_code=201)
async def add(name: NamePath, body: NewDataset, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> DatasetVersion:
    """Add a file as the next version; the newest version's bytes again are that version. A row that cannot be is named by its line."""
    owner = team(asker, tenant)
    await held.factory.tenants.get(owner)
    data = await sent(held.factory, owner, body)
    made = await held.factory.datasets.add(owner, name, data, body.format, by=asker.actor, description=body.description)
    if body.upload:
        await held.factory.datasets.drop_upload(owner, body.upload)
    return made


async def sent(factory: Factory, owner: str, body: NewDataset) -> bytes:
    """The bytes that were sent. Raises InvalidInput unless they were sent in exactly one way."""
    ways = [body.text is not None, body.content is not None, bool(body.upload)]
    if sum(ways) != 1:
        raise InvalidInput("Send the rows in exactly one way.", remedy="Give text, content or upload with parts.")
    if body.text is not None:
        return body.text.encode()
    return bytes_of(body.content) if body.content is not None else await factory.datasets.joined(owner, body.upload, body.parts)


def bytes_of(text: str) -> bytes:
    """What base64 stands for. Raises InvalidInput."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("The content is no base64.", remedy="Encode the file's bytes by base64.") from error


@router.put("/{name}/uploads/{upload}/{part}")
async def put_part(  # noqa: PLR0913 - the address names three things
    name: NamePath,
    upload: UploadPath,
    part: Annotated[int, Path(ge=0, le=127)],
    body: NewPart,
    asker: UserDep,
    held: HouseDep,
    tenant: TeamQuery = None,
) -> PartKept:
    """Send a part of a file that is named by the SHA-256 of the whole; the same part again replaces it."""
    owner = team(asker, tenant)
    await held.factory.tenants.get(owner)
    kept = await held.factory.datasets.put_part(owner, name, upload, part, bytes_of(body.content))
    return PartKept(upload=upload, part=part, bytes=kept)


@router.get("/{name}/versions/{version}")
async def get_version(
    name: NamePath, version: VersionPath, asker: PrincipalDep, held: HouseDep, tenant: TeamQuery = None
) -> DatasetVersion:
    """Show a version."""
    return await held.factory.datasets.get(team(asker, tenant), name, version)


@router.get("/{name}/versions/{version}/rows")
async def get_rows(  # noqa: PLR0913 - the address names two things
    name: NamePath, version: VersionPath, asker: PrincipalDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None
) -> DatasetRows:
    """Return a page of a version's rows. Bytes that changed since they were registered are refused."""
    _, text = await held.factory.datasets.text(team(asker, tenant), name, version)
    columns, rows = await asyncio.to_thread(page_of, text, page.offset, page.limit)
    return DatasetRows(columns=columns, rows=rows)


@router.get("/{name}/versions/{version}/export.csv", response_class=PlainTextResponse)
async def export(  # noqa: PLR0913 - the address names two things
    name: NamePath,
    version: VersionPath,
    asker: PrincipalDep,
    held: HouseDep,
    tenant: TeamQuery = None,
    raw: Annotated[bool, Query(description="As it was registered: for programs, never for a spreadsheet.")] = False,
) -> PlainTextResponse:
    """Export a version as CSV. A cell that a spreadsheet could run as a formula begins with an apostrophe."""
    _, text = await held.factory.datasets.text(team(asker, tenant), name, version)
    shown = text if raw else await asyncio.to_thread(exported, text)
    named = {"content-disposition": f'attachment; filename="{name}-{version}.csv"'}
    return PlainTextResponse(shown, media_type="text/csv; charset=utf-8", headers=named)
