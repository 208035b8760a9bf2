"""The audit log is only added to, shows every change of itself, and exports nothing that a spreadsheet would calculate."""

import asyncio
import csv
import io
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from factory_infra.database import Database
from factory_infra.errors import Conflict
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.records.audit import AuditFilter, AuditLog, NewEntry, as_csv, digest_of, safe_cell, write
from factory_infra.records.service import Records
from factory_infra.second_wall import seen_by
from factory_infra.settings import Settings
from tests.parts import factory_with_slots

pytestmark = pytest.mark.stack


def told(number: int, **more: str) -> NewEntry:
    return NewEntry(**{"action": "things:change", "object": f"thing/{number}", "tenant": "vision", **more})


@pytest.fixture
async def log(database: Database) -> AuditLog:
    log = AuditLog(database)
    for number in range(5):
        await log.add(told(number, actor="ann (k1)", before=digest_of({"n": number}), after=digest_of({"n": number + 1})))
    return log


async def force(database: Database, words: str) -> None:
    """What only the owner of the database can do: switch the triggers off first."""
    async with database.transaction() as session:
        for statement in ("ALTER TABLE audit_log DISABLE TRIGGER USER", words, "ALTER TABLE audit_log ENABLE TRIGGER USER"):
            await session.execute(text(statement))


class TestChain:
    async def test_holds_and_names_its_head(self, log: AuditLog) -> None:
        found = await log.verify()
        assert (found.holds, found.rows, found.head.partition(":")[0]) == (True, 5, "5")
        assert (await log.verify(found.head)).holds

    @pytest.mark.parametrize("words", ["UPDATE audit_log SET actor = 'bob'", "DELETE FROM audit_log WHERE seq = 5", "TRUNCATE audit_log"])
    async def test_rows_cannot_be_changed(self, log: AuditLog, database: Database, words: str) -> None:
        with pytest.raises(ProgrammingError, match="only ever added to"):
            async with database.transaction() as session:
                await session.execute(text(words))
        assert (await log.verify()).rows == 5

    @pytest.mark.parametrize(
        ("words", "at"),
        [
            ("UPDATE audit_log SET actor = 'bob' WHERE seq = 3", 3),
            ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 2", 2),
            ("UPDATE audit_log SET tenant = NULL WHERE seq = 1", 1),
            ("DELETE FROM audit_log WHERE seq = 2", 3),
            ("UPDATE audit_log SET previous = digest WHERE seq = 4", 4),
        ],
    )
    async def test_what_the_owner_changes_by_hand_shows(self, log: AuditLog, database: Database, words: str, at: int) -> None:
        await force(database, words)
        found = await log.verify()
        assert (found.holds, found.broken_at) == (False, at)

    async def test_a_log_that_was_cut_short_or_written_anew_shows_against_its_head(self, log: AuditLog, database: Database) -> None:
        head = (await log.verify()).head
        await force(database, "DELETE FROM audit_log WHERE seq > 3")
        assert (await log.verify()).holds  # control: without the head a shorter log is a whole one
        assert not (await log.verify(head)).holds
        for number in range(2):
            await log.add(told(number))
        assert (await log.verify()).holds
        assert not (await log.verify(head)).holds

    async def test_side_by_side_writers_make_one_chain(self, database: Database) -> None:
        log = AuditLog(database)
        await asyncio.gather(*(log.add(told(number)) for number in range(30)))
        assert (await log.verify()).rows == 30
        assert (await log.verify()).holds

    async def test_a_row_is_kept_with_what_it_tells_of_or_not_at_all(self, log: AuditLog, database: Database) -> None:
        with pytest.raises(Conflict):
            async with database.transaction() as session:
                await write(session, told(9))
                raise Conflict("No.")
        assert (await log.verify()).rows == 5

    async def test_a_teams_transaction_adds_to_the_one_chain_and_sees_its_own_rows(self, log: AuditLog, database: Database) -> None:
        with seen_by("language"):
            async with database.transaction() as session:
                await write(session, told(6, tenant="language"))
                assert (await session.execute(text("SELECT count(*) FROM audit_log"))).scalar() == 1
            assert [entry.seq for entry in await log.find(None, AuditFilter())] == [6]
        assert (await log.verify()).holds


class TestReading:
    async def test_pages_and_filters(self, log: AuditLog) -> None:
        await log.add(told(7, tenant="language", action="keys:create", actor="bob (k2)"))
        assert [each.seq for each in await log.find("vision", AuditFilter(after_seq=2), 2)] == [3, 4]
        assert [each.seq for each in await log.find(None, AuditFilter(action="keys:"))] == [6]
        assert [each.seq for each in await log.find(None, AuditFilter(actor="bob"))] == [6]
        assert await log.find(None, AuditFilter(object="thing/%")) == []
        assert [len(page) async for page in log.pages(None, AuditFilter())] == [6]

    async def test_no_cell_is_a_formula(self, log: AuditLog) -> None:
        words = '=HYPERLINK("http://x","y")'
        await log.add(told(8, object=words, actor="+1", action="@x"))
        rows = list(csv.reader(io.StringIO(as_csv(await log.find(None, AuditFilter()), head=True))))
        assert rows[0][0] == "seq"
        assert f"'{words}" in rows[-1]
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)

    @pytest.mark.parametrize("words", ["=1", "+1", "-1", "@x", "\tx", "\r=1"])
    def test_what_begins_a_formula_is_made_text(self, words: str) -> None:
        assert safe_cell(words) == f"'{words}"
        assert safe_cell(f"a{words}") == f"a{words}"


async def test_an_effect_of_the_agents_is_in_the_log_once(database: Database) -> None:
    records, log = Records(database), AuditLog(database)

    async def effect() -> dict[str, object]:
        return {"lease": "l-1"}

    for _ in range(2):
        await records.once("plan-1/a", "leases.acquire", "vision", effect)  # type: ignore[arg-type]
    (entry,) = await log.find("vision", AuditFilter())
    assert (entry.action, entry.object, entry.actor) == ("tool:leases.acquire", "effect/plan-1/a", "agents")


async def test_a_job_is_in_the_log_once(connected: Settings) -> None:
    factory = factory_with_slots(connected, 1)
    await factory.tenants.create("vision", quota_slots=1, budget=Decimal(1))
    spec = JobSpec(id="job-1", tenant="vision", name="echo", argv=["/bin/true"])
    for _ in range(2):
        await factory.jobs.submit(spec)
    (entry,) = await factory.audit.find("vision", AuditFilter(action="jobs:"))
    assert (entry.action, entry.object) == ("jobs:submit", "job/vision/job-1")
    await factory.close()
