"""Keeping calls: only for a team that asked, sealed, for as long as it said; and forgetting them."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from factory_infra.database import Database, utcnow
from factory_infra.errors import EffectFailed, InvalidInput, NotFound
from factory_infra.saas.models.transcripts.models import Kept
from factory_infra.saas.models.transcripts.seal import Seal
from factory_infra.saas.models.transcripts.service import Transcripts
from factory_infra.saas.models.transcripts.tables import TranscriptRow

pytestmark = pytest.mark.stack

REQUEST = {"messages": [{"role": "user", "content": "whisper"}]}


@pytest.fixture
def transcripts(database: Database) -> Transcripts:
    return Transcripts(database, Seal(b"k" * 32))


def call(name: str = "c1", tenant: str = "vision") -> Kept:
    return Kept(id=name, tenant=tenant, key_id="k1", model="fast", request=REQUEST, answer={"text": "psst"})


async def age(database: Database, name: str, days: int) -> None:
    """Make a kept call older, as time would."""
    ago = timedelta(days=days)
    async with database.transaction() as session:
        moved = {"at": TranscriptRow.at - ago, "expires_at": TranscriptRow.expires_at - ago}
        await session.execute(update(TranscriptRow).where(TranscriptRow.id == name).values(moved))


class TestKeep:
    async def test_nothing_unless_the_team_asked(self, transcripts: Transcripts) -> None:
        assert (await transcripts.retention("vision")).days is None
        assert await transcripts.keep([call()]) == 0
        assert await transcripts.list("vision") == []

    async def test_what_was_asked_for_once(self, transcripts: Transcripts) -> None:
        await transcripts.set_retention("vision", 7, "ann")
        assert await transcripts.keep([call(), call("c2", "language")]) == 1
        await transcripts.keep([call()])
        assert [each.id for each in await transcripts.list("vision")] == ["c1"]
        opened = await transcripts.read("c1", "vision")
        assert (opened.request, opened.answer) == (REQUEST, {"text": "psst"})
        assert opened.expires_at - opened.at == timedelta(days=7)

    async def test_sealed(self, transcripts: Transcripts, database: Database) -> None:
        await transcripts.set_retention("vision", 7, "ann")
        await transcripts.keep([call()])
        async with database.transaction() as session:
            row = (await session.scalars(select(TranscriptRow))).one()
        assert b"whisper" not in row.sealed
        with pytest.raises(EffectFailed):
            await Transcripts(database, Seal(b"another key of 32 bytes in all..")).read("c1", "vision")


class TestForget:
    async def test_turned_off_all_of_it_is_gone(self, transcripts: Transcripts) -> None:
        await transcripts.set_retention("vision", 7, "ann")
        await transcripts.set_retention("language", 7, "bob")
        await transcripts.keep([call(), call("c2", "language")])
        assert (await transcripts.set_retention("vision", None, "ann")).days is None
        assert await transcripts.list("vision") == []
        assert len(await transcripts.list("language")) == 1

    async def test_past_its_time_it_is_not_shown_and_then_gone(self, transcripts: Transcripts, database: Database) -> None:
        await transcripts.set_retention("vision", 7, "ann")
        await transcripts.keep([call(), call("c2")])
        await age(database, "c1", 8)
        assert [each.id for each in await transcripts.list("vision")] == ["c2"]
        with pytest.raises(NotFound):
            await transcripts.read("c1", "vision")
        assert await transcripts.expire() == 1
        assert await transcripts.expire() == 0

    async def test_kept_for_less_what_is_older_goes_at_once(self, transcripts: Transcripts, database: Database) -> None:
        await transcripts.set_retention("vision", 30, "ann")
        await transcripts.keep([call(), call("c2")])
        await age(database, "c1", 10)
        await transcripts.set_retention("vision", 5, "ann")
        assert [each.id for each in await transcripts.list("vision")] == ["c2"]

    async def test_one_call(self, transcripts: Transcripts) -> None:
        await transcripts.set_retention("vision", 7, "ann")
        await transcripts.keep([call()])
        await transcripts.forget("c1", "vision")
        with pytest.raises(NotFound) as refused:
            await transcripts.forget("c1", "vision")
        assert refused.value.error_code == "transcript_unknown"


class TestRefused:
    async def test_another_teams(self, transcripts: Transcripts) -> None:
        await transcripts.set_retention("language", 7, "bob")
        await transcripts.keep([call("c2", "language")])
        with pytest.raises(NotFound):
            await transcripts.read("c2", "vision")
        with pytest.raises(NotFound):
            await transcripts.forget("c2", "vision")
        assert (await transcripts.read("c2", "language")).expires_at > utcnow()

    @pytest.mark.parametrize("days", [0, -1, 366])
    async def test_days_that_cannot_be(self, transcripts: Transcripts, days: int) -> None:
        with pytest.raises(InvalidInput) as refused:
            await transcripts.set_retention("vision", days, "ann")
        assert refused.value.error_code == "retention_invalid"
