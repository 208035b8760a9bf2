"""A hundred seeded fault programs; the long run of five hundred is in benchmarks/machines."""

import pytest

from factory_infra.settings import Settings
from tests.factory_infra.foundation.clusters.leases_door import opening
from tests.factory_infra.foundation.clusters.programs import CALLS_MAX, play

pytestmark = pytest.mark.stack


async def test_whatever_fails_what_is_there_is_what_the_book_says(settings: Settings) -> None:
    verdicts = await play(range(100), settings)
    assert len(verdicts) == 100
    assert [str(each) for each in verdicts if not each.held] == []
    assert max(each.calls_worst for each in verdicts) <= CALLS_MAX
    assert sum(each.refused for each in verdicts) > 0, "no program ran out of capacity"


async def test_control_without_client_tokens_machines_are_made_twice(settings: Settings) -> None:
    unprotected = settings.model_copy(update={"idempotency_keys": False})
    verdicts = await play(range(19, 119), unprotected, until_broken=True)
    assert any(not each.held for each in verdicts)


async def test_machines_leases_and_the_ledger_agree(connected: Settings) -> None:
    factory, door = await opening(connected)
    verdicts = await play(range(12), connected, door)
    await factory.database.close()
    assert [str(each) for each in verdicts if not each.held] == []
    assert max(each.calls_worst for each in verdicts) <= CALLS_MAX
