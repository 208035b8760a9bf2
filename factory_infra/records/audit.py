"""The audit log: who changed what, when and from what into what; each row is chained to the one before by its digest."""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow, widened
from factory_infra.records.audit_tables import AuditRow

LOCK = "audit_log"
PAGE_MAX = 1000
GENESIS = "0" * 64
"""What the first row names as the one before."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so would be calculated by a spreadsheet."""
WIDTHS = {"actor": 160, "door": 16, "action": 160, "object": 300, "outcome": 40}
PLATFORM_ACTOR = "platform"

who_acts: ContextVar[tuple[str, str]] = ContextVar("audit_who_acts", default=(PLATFORM_ACTOR, "worker"))
"""The actor and the door of what runs now; the edges set it once they know."""


class NewEntry(BaseModel):
    """What happened, for the log."""

    action: str = Field(description="What was done, such as `tenants:change`, or the route or the tool that was asked.")
    object: str = Field(description="To what, such as `team/vision`.")
    tenant: str | None = Field(default=None, description="Whose it is; none for what is the platform's.")
    before: str = Field(default="", description="The digest of the object before, empty where it was not there.")
    after: str = Field(default="", description="The digest after, empty where it is gone.")
    outcome: str = "done"
    actor: str = Field(default="", description="Who; empty for who acts now.")
    door: str = ""


class AuditEntry(BaseModel):
    """One row of the log."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    at: datetime
    tenant: str | None
    actor: str
    door: str = Field(description="Through what: api, mcp, worker, command.")
    action: str
    object: str
    outcome: str
    before: str
    after: str
    previous: str = Field(description="The digest of the row before.")
    digest: str = Field(description="SHA-256 over this row and `previous`.")


class AuditFilter(BaseModel):
    """Which rows are wanted; None for all."""

    model_config = ConfigDict(frozen=True)

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    after_seq: int = 0


class Verdict(BaseModel):
    """Whether the chain holds."""

    holds: bool
    rows: int
    head: str = Field(description="SEQ:DIGEST of the last row: keep it elsewhere, and a log that was cut short shows.")
    broken_at: int | None = None
    reason: str = ""


class AuditLog:
    """Writes, reads and checks the log, in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entry: NewEntry) -> AuditEntry:
        """Add a row in a transaction of its own: for what was changed elsewhere than in this database."""
        async with self._database.transaction(whole=True) as session:
            return await write(session, entry)

    async def find(self, tenant: str | None, wanted: AuditFilter, limit: int = 100) -> Sequence[AuditEntry]:
        """Return rows of a team, or all for an administrator (None), oldest first; the next page begins after the last `seq`."""
        query = select(AuditRow).where(AuditRow.seq > wanted.after_seq).order_by(AuditRow.seq).limit(min(limit, PAGE_MAX))
        query = query if tenant is None else query.where(AuditRow.tenant == tenant)
        for name in ("actor", "action", "object"):
            value = getattr(wanted, name)
            query = query if value is None else query.where(getattr(AuditRow, name).startswith(value, autoescape=True))
        query = query if wanted.since is None else query.where(AuditRow.at >= wanted.since)
        async with self._database.transaction() as session:
            return [AuditEntry.model_validate(row) for row in await session.scalars(query)]

    async def pages(self, tenant: str | None, wanted: AuditFilter) -> AsyncIterator[Sequence[AuditEntry]]:
        """Return every row that is wanted, page by page."""
        after = wanted.after_seq
        while page := await self.find(tenant, wanted.model_copy(update={"after_seq": after}), PAGE_MAX):
            yield page
            after = page[-1].seq

    async def verify(self, head: str = "") -> Verdict:
        """Compute every digest again. Given the head of an earlier check, tell also whether the log was cut short or written anew since."""
        rows, previous = 0, GENESIS
        known_seq, _, known_digest = head.partition(":")
        async for page in self.pages(None, AuditFilter()):
            for entry in page:
                rows += 1
                if reason := fault(entry, rows, previous):
                    return Verdict(holds=False, rows=rows, head="", broken_at=entry.seq, reason=reason)
                if str(entry.seq) == known_seq and entry.digest != known_digest:
                    return Verdict(holds=False, rows=rows, head="", broken_at=entry.seq, reason="The row is not the one that was the head.")
                previous = entry.digest
        if known_seq.isdigit() and rows < int(known_seq):
            return Verdict(
                holds=False, rows=rows, head="", broken_at=rows + 1, reason=f"The log ends before row {known_seq}, its head once."
            )
        return Verdict(holds=True, rows=rows, head=f"{rows}:{previous}")


def fault(entry: AuditEntry, seq: int, previous: str) -> str:
    """What is wrong with a row at its place; empty for nothing."""
    if entry.seq != seq:
        return f"Row {seq} is missing."
    if entry.previous != previous:
        return "The row does not name the digest of the one before."
    return "" if entry.digest == digest_of_row(entry) else "The row was changed after it was written."


async def write(session: AsyncSession, entry: NewEntry) -> AuditEntry:
    """Add a row in the transaction of the change that it tells of: both are kept, or neither.

    Writers follow one another from here to the end of their transactions, so this comes last in one.
    """
    async with widened(session):
        return await _write(session, entry)


async def _write(session: AsyncSession, entry: NewEntry) -> AuditEntry:
    actor, door = who_acts.get()
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": LOCK})
    last = (await session.execute(select(AuditRow.seq, AuditRow.digest).order_by(AuditRow.seq.desc()).limit(1))).first()
    told = {"actor": entry.actor or actor, "door": entry.door or door, **entry.model_dump(include={"action", "object", "outcome"})}
    made = AuditEntry(
        seq=last.seq + 1 if last else 1,
        at=utcnow(),
        tenant=entry.tenant,
        **{name: str(told[name]).replace("\0", "\ufffd")[:width] for name, width in WIDTHS.items()},
        before=entry.before,
        after=entry.after,
        previous=last.digest if last else GENESIS,
        digest="",
    )
    made.digest = digest_of_row(made)
    session.add(AuditRow(**made.model_dump()))
    await session.flush()
    return made


def digest_of_row(entry: AuditEntry) -> str:
    """SHA-256 over a row's canonical JSON without its own digest; a moment is in UTC with its microseconds."""
    fields = entry.model_dump(exclude={"digest", "at"}) | {"at": entry.at.astimezone(UTC).isoformat(timespec="microseconds")}
    return hashlib.sha256(canonical(fields)).hexdigest()


def digest_of(thing: BaseModel | JsonValue) -> str:
    """The digest by which the log names an object's state."""
    told = thing.model_dump(mode="json") if isinstance(thing, BaseModel) else thing
    return hashlib.sha256(canonical(told)).hexdigest()


def canonical(told: object) -> bytes:
    """The one way in which a value is written."""
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def as_csv(page: Sequence[AuditEntry], *, head: bool) -> str:
    """Rows as CSV. A cell that a spreadsheet would calculate begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if head:
        writer.writerow(AuditEntry.model_fields)
    writer.writerows([safe_cell(value) for value in entry.model_dump(mode="json").values()] for entry in page)
    return out.getvalue()


def safe_cell(value: JsonValue) -> str:
    """A value for a cell of CSV that no spreadsheet takes for a formula."""
    told = "" if value is None else str(value)
    return f"'{told}" if told.startswith(FORMULA) else told
