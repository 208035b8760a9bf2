"""Datasets of teams: uploaded in parts, kept as versions that never change, and checked byte by byte at each use."""

import asyncio
import builtins
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import func, select

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound, TooLarge
from factory_infra.paas.training.data.models import (
    BYTES_MAX,
    NAME_PATTERN,
    PART_BYTES_MAX,
    PARTS_MAX,
    DatasetVersion,
    Format,
    Table,
)
from factory_infra.paas.training.data.reading import block_digests, changed_lines, read_table
from factory_infra.paas.training.data.tables import DatasetVersionRow
from factory_infra.paas.training.datasets import DATASETS

UPLOADS_MAX = 8
"""Uploads of one team that are not finished."""
UPLOAD_SECONDS_MAX = 24 * 3600.0
DIGEST = re.compile(r"[0-9a-f]{64}")
Listed = Callable[[DatasetVersion], Awaitable[None]]


class DatasetVersions:
    """Keeps datasets.

    Args:
        database: where versions are listed.
        folder: where their files lie; jobs never see it.
        listed: told of each new version: the catalog lists it.
    """

    def __init__(self, database: Database, folder: Path, listed: Listed | None = None) -> None:
        self._database = database
        self._folder = folder
        self._listed = listed

    async def add(  # noqa: PLR0913  (what is kept of it, each named at the call)
        self, tenant: str, name: str, data: bytes, form: Format, *, by: str, description: str = ""
    ) -> DatasetVersion:
        """Keep a file as the next version; the newest version's bytes again are that version.

        Raises InvalidInput `dataset_invalid` with the line, `name_invalid`, TooLarge, StorageFull by the system.
        """
        check_name(name)
        table, _ = await asyncio.to_thread(read_table, data, form, f"{name}.{form}")
        digest = hashlib.sha256(data).hexdigest()
        file = f"{tenant}/{digest}.{form}"
        await asyncio.to_thread(self._write, file, data, digest)
        made = await self._numbered(tenant, name, (digest, form, file), (table, data), (by, description))
        if self._listed is not None:
            await self._listed(made)
        return made

    async def _numbered(
        self, tenant: str, name: str, what: tuple[str, Format, str], found: tuple[Table, bytes], said: tuple[str, str]
    ) -> DatasetVersion:
        """Give it the next number, one after another."""
        (digest, form, file), (table, data), (by, description) = what, found, said
        async with self._database.transaction(lock=f"dataset:{tenant}/{name}") as session:
            newest = await session.scalar(
                select(DatasetVersionRow)
                .where(DatasetVersionRow.tenant == tenant, DatasetVersionRow.name == name)
                .order_by(DatasetVersionRow.version.desc())
                .limit(1)
            )
            if newest is not None and newest.digest == digest and newest.format == form:
                return shaped(newest)
            row = DatasetVersionRow(
                tenant=tenant,
                name=name,
                version=newest.version + 1 if newest is not None else 1,
                digest=digest,
                format=form,
                rows=table.rows,
                columns=[each.model_dump(mode="json") for each in table.columns],
                bytes=len(data),
                description=description[:400],
                file=file,
                blocks=block_digests(data) if form == "csv" else [],
                created_by=by[:128],
                created_at=utcnow(),
            )
            session.add(row)
            return shaped(row)

    async def get(self, tenant: str, name: str, version: int | None = None) -> DatasetVersion:
        """Return a version, the newest where none is named. Raises NotFound `dataset_unknown`, also for another team's."""
        return shaped(await self._row(tenant, name, version))

    async def _row(self, tenant: str, name: str, version: int | None) -> DatasetVersionRow:
        query = select(DatasetVersionRow).where(DatasetVersionRow.tenant == tenant, DatasetVersionRow.name == name)
        query = query.where(DatasetVersionRow.version == version) if version is not None else query
        async with self._database.transaction() as session:
            row: DatasetVersionRow | None = await session.scalar(query.order_by(DatasetVersionRow.version.desc()).limit(1))
        if row is None:
            wanted = name if version is None else f"{name}@{version}"
            raise NotFound(
                f"Team {tenant} has no dataset {wanted[:80]!r}.",
                remedy=f"List them with 'lineshaft datasets list', or add it: lineshaft datasets add {name[:40]} FILE.",
                code="dataset_unknown",
            )
        return row

    async def list(self, tenant: str | None, name: str | None = None, limit: int = 100, offset: int = 0) -> builtins.list[DatasetVersion]:
        """Return versions, newest first; of one name where it is given, else the newest of each name."""
        query = select(DatasetVersionRow)
        query = query.where(DatasetVersionRow.tenant == tenant) if tenant is not None else query
        if name is not None:
            query = query.where(DatasetVersionRow.name == name).order_by(DatasetVersionRow.version.desc())
        else:
            newest = func.max(DatasetVersionRow.version)
            latest = select(DatasetVersionRow.tenant, DatasetVersionRow.name, newest.label("version")).group_by(
                DatasetVersionRow.tenant, DatasetVersionRow.name
            )
            found = latest.subquery()
            same = (DatasetVersionRow.tenant == found.c.tenant) & (DatasetVersionRow.name == found.c.name)
            query = query.join(found, same & (DatasetVersionRow.version == found.c.version))
            query = query.order_by(DatasetVersionRow.tenant, DatasetVersionRow.name)
        async with self._database.transaction() as session:
            return [shaped(row) for row in await session.scalars(query.limit(limit).offset(offset))]

    async def text(self, tenant: str, name: str, version: int | None = None) -> tuple[DatasetVersion, str]:
        """Return a version with its rows as CSV text, once its bytes were found to be those that were registered.

        Raises NotFound, and Conflict `dataset_changed` where the file holds others, or is gone.
        """
        row = await self._row(tenant, name, version)
        kept = shaped(row)
        data = await asyncio.to_thread(self._verified, kept, builtins.list(row.blocks))
        return kept, (await asyncio.to_thread(read_table, data, kept.format, kept.title))[1]

    def _verified(self, kept: DatasetVersion, blocks: builtins.list[str]) -> bytes:
        path = self._folder / kept.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise changed(kept, path, f"it cannot be read: {error.strerror}") from error
        found = hashlib.sha256(data).hexdigest()
        if found != kept.digest:
            where = changed_lines(blocks, data)
            what = f"SHA-256 is {found[:16]}…, registered was {kept.digest[:16]}…" + (f"; {where}" if where else "")
            raise changed(kept, path, what)
        return data

    async def put_part(self, tenant: str, name: str, upload: str, part: int, data: bytes) -> int:
        """Keep a part of an upload, which is named by the SHA-256 of the whole; the same part again replaces it. Returns its bytes.

        Raises InvalidInput, TooLarge.
        """
        check_name(name)
        check_upload(upload)
        if not 0 <= part < PARTS_MAX or not 0 < len(data) <= PART_BYTES_MAX:
            raise TooLarge(
                f"Part {part} has {len(data)} bytes.", remedy=f"Send parts 0 to {PARTS_MAX - 1} of 1 to {PART_BYTES_MAX} bytes each."
            )
        await asyncio.to_thread(self._keep_part, self._uploads(tenant), upload, part, data)
        return len(data)

    async def joined(self, tenant: str, upload: str, parts: int) -> bytes:
        """Return what was uploaded, once it is whole. Raises Conflict `upload_incomplete`, TooLarge, InvalidInput."""
        check_upload(upload)
        data = await asyncio.to_thread(self._join, self._uploads(tenant) / upload, parts)
        if hashlib.sha256(data).hexdigest() != upload:
            raise Conflict(
                f"The parts of upload {upload[:16]}… are not the file of this digest.",
                remedy="Send the parts again; the upload is named by the SHA-256 of the whole file.",
                code="upload_incomplete",
            )
        return data

    async def drop_upload(self, tenant: str, upload: str) -> None:
        """Forget the parts of an upload; one that is not there is no error."""
        check_upload(upload)
        await asyncio.to_thread(shutil.rmtree, self._uploads(tenant) / upload, ignore_errors=True)

    async def forget(self, tenant: str) -> None:
        """Remove a team's files; its rows go with the team."""
        await asyncio.to_thread(shutil.rmtree, self._folder / tenant, ignore_errors=True)

    def _uploads(self, tenant: str) -> Path:
        return self._folder / tenant / ".uploads"

    def _write(self, file: str, data: bytes, digest: str) -> None:
        """Write a file whole or not at all. One that is there with other bytes is mended: this is what was registered."""
        path = self._folder / file
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return
        write_whole(path, data)

    def _keep_part(self, uploads: Path, upload: str, part: int, data: bytes) -> None:
        uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = time.time()
        others = [each for each in uploads.iterdir() if each.is_dir() and each.name != upload]
        for old in [each for each in others if now - each.stat().st_mtime > UPLOAD_SECONDS_MAX]:
            shutil.rmtree(old, ignore_errors=True)
            others.remove(old)
        if len(others) >= UPLOADS_MAX:
            raise TooLarge(f"{len(others)} uploads of this team are not finished.", remedy="Finish one, or wait a day.")
        folder = uploads / upload
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / f"{part:03d}", data)

    def _join(self, folder: Path, parts: int) -> bytes:
        read: list[bytes] = []
        for number in range(parts):
            try:
                read.append((folder / f"{number:03d}").read_bytes())
            except OSError as error:
                reason = f"Part {number} of upload {folder.name[:16]}… is missing."
                raise Conflict(reason, remedy="Send it, then finish.", code="upload_incomplete") from error
        if sum(map(len, read)) > BYTES_MAX:
            raise TooLarge("The upload is larger than 64 MiB.", remedy="Send a part of the rows.")
        return b"".join(read)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent, and that nobody changes by accident. Raises OSError."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with draft.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.chmod(0o440)
    draft.replace(path)


def check_name(name: str) -> None:
    """Raise InvalidInput for what cannot name a dataset."""
    if not re.fullmatch(NAME_PATTERN, name) or any(each.name == name for each in DATASETS):
        raise InvalidInput(
            f"A dataset cannot be called {name[:80]!r}.",
            remedy="Use at most 40 small letters, digits, '_' and '-', and no name of a dataset that ships.",
            code="name_invalid",
        )


def check_upload(upload: str) -> None:
    """Raise InvalidInput for what is no digest: it names a folder."""
    if not DIGEST.fullmatch(upload):
        raise InvalidInput("An upload is named by the SHA-256 of the whole file.", remedy="Send 64 small hexadecimal digits.")


def changed(kept: DatasetVersion, path: Path, what: str) -> Conflict:
    """Say that a version's bytes are not those that were registered."""
    return Conflict(
        f"The bytes of dataset {kept.title} changed under their version: file {path.name}: {what}.",
        remedy=f"Nothing reads it. Put the file back, or add what is true now as a new version: lineshaft datasets add {kept.name} FILE.",
        code="dataset_changed",
    )


def shaped(row: DatasetVersionRow) -> DatasetVersion:
    """Shape a row for callers."""
    return DatasetVersion.model_validate(row)
