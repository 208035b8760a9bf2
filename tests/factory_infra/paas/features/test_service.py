"""Definitions with versions, writes that count once, and readings in which the newest event wins."""

import asyncio
from datetime import timedelta

import pytest

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.features.interface import Sources
from factory_infra.paas.features.models import FeatureRow, StoredView, Value
from factory_infra.paas.features.online import OnlineValues
from factory_infra.paas.features.service import Features
from tests.factory_infra.paas.features.conftest import CUSTOMERS, NOW, Row, row

pytestmark = pytest.mark.stack


async def spent(features: Features, view: StoredView, customer: int = 7) -> object:
    [found] = await features.read(view, [{"customer": customer}], NOW)
    return found.values["spent"]


class TestDefinitions:
    async def test_an_equal_one_is_the_same_version_and_another_the_next(self, features: Features, customers: StoredView) -> None:
        again = await features.define("vision", CUSTOMERS.model_copy(update={"description": "who buys"}), "bob")
        other = await features.define("vision", CUSTOMERS.model_copy(update={"ttl_seconds": None}), "bob")
        assert (customers.version, again.version, other.version) == (1, 1, 2)
        assert (await features.get("vision", "customers")).version == 2
        assert (await features.get("vision", "customers", 1)).ttl_seconds == 86_400

    async def test_many_at_once_make_one_version(self, features: Features) -> None:
        made = await asyncio.gather(*(features.define("vision", CUSTOMERS, "alice") for _ in range(8)))
        assert {each.version for each in made} == {1}

    async def test_another_teams_is_not_found(self, features: Features, customers: StoredView) -> None:
        for version in (None, 1):
            with pytest.raises(NotFound) as refused:
                await features.get("language", "customers", version)
            assert refused.value.error_code == "feature_view_unknown"
        assert await features.views.list("language") == []

    async def test_one_without_a_timestamp_is_kept_nowhere(self, features: Features) -> None:
        with pytest.raises(InvalidInput) as refused:
            await features.define("vision", CUSTOMERS.model_copy(update={"timestamp": ""}), "alice")
        assert refused.value.error_code == "feature_view_without_timestamp"
        assert await features.views.list("vision") == []

    async def test_a_retired_version_is_not_the_newest(self, features: Features, customers: StoredView) -> None:
        await features.write(customers, [row(7, 1, spent=1.0)], "a", now=NOW)
        await features.retire("vision", "customers", 1)
        with pytest.raises(NotFound):
            await features.get("vision", "customers")
        assert (await features.get("vision", "customers", 1)).retired_at is not None
        assert await spent(features, customers) is None
        with pytest.raises(Conflict) as refused:
            await features.write(await features.get("vision", "customers", 1), [row(7, 1, spent=1.0)], "b", now=NOW)
        assert refused.value.error_code == "feature_view_retired"
        assert (await features.define("vision", CUSTOMERS, "alice")).version == 2


class TestWrites:
    async def test_a_key_writes_once(self, features: Features, customers: StoredView) -> None:
        first = await features.write(customers, [row(7, 1, spent=1.5)], "k", now=NOW)
        again = await features.write(customers, [row(7, 1, spent=1.5)], "k", now=NOW + timedelta(seconds=5))
        assert first == again
        assert len((await features.sources(customers)).batches) == 1
        with pytest.raises(Conflict) as refused:
            await features.write(customers, [row(7, 1, spent=2.5)], "k", now=NOW)
        assert refused.value.error_code == "key_reused"
        assert await spent(features, customers) == 1.5

    async def test_a_wrong_row_writes_nothing(self, features: Features, customers: StoredView) -> None:
        with pytest.raises(InvalidInput, match="Row 2"):
            await features.write(customers, [row(7, 1, spent=1.0), row(8, 1, spent="much")], "k", now=NOW)
        assert await spent(features, customers) is None
        assert (await features.sources(customers)).batches == ()

    async def test_a_write_that_was_cut_off_counts_once_it_is_done_again(self, features: Features, customers: StoredView) -> None:
        kept = features.views.keep

        async def cut(*_: object) -> object:
            raise ConnectionError

        features.views.keep = cut  # type: ignore[assignment,method-assign]
        with pytest.raises(ConnectionError):
            await features.write(customers, [row(7, 1, spent=1.0)], "k", now=NOW)
        assert await features.history(customers, NOW - timedelta(days=1), NOW, 10) == []
        features.views.keep = kept  # type: ignore[method-assign]
        await features.write(customers, [row(7, 1, spent=1.0)], "k", now=NOW + timedelta(seconds=1))
        assert [each.values["spent"] for each in await features.history(customers, NOW - timedelta(days=1), NOW, 10)] == [1.0]


class TestReadings:
    async def test_every_kind_comes_back_to_the_last_bit(self, features: Features, customers: StoredView) -> None:
        values: Row = {"orders": 2**53, "spent": 0.1 + 0.2, "city": "Zürich 🏔", "member": False, "taste": [1e-300, 2.0]}
        await features.write(customers, [row(7, 1, **values)], "k", now=NOW)
        [found] = await features.read(customers, [{"customer": 7}], NOW)
        assert found.values == values
        assert {name: type(value) for name, value in found.values.items()} == {name: type(value) for name, value in values.items()}

    async def test_what_is_absent_and_what_is_too_old_say_so(self, features: Features, customers: StoredView) -> None:
        await features.write(customers, [row(7, 24, spent=1.0), row(8, 24.1, spent=2.0)], "k", now=NOW)
        found = await features.read(customers, [{"customer": 8}, {"customer": 7}, {"customer": 9}], NOW)
        assert [(each.state, each.values["spent"]) for each in found] == [("expired", None), ("found", 1.0), ("absent", None)]

    async def test_a_late_event_does_not_hide_a_newer_one(self, features: Features, customers: StoredView) -> None:
        await features.write(customers, [row(7, 1, spent=2.0)], "new", now=NOW)
        await features.write(customers, [row(7, 3, spent=1.0)], "late", now=NOW + timedelta(seconds=1))
        assert await spent(features, customers) == 2.0

    async def test_control_without_the_condition_it_does(self, database: Database, customers: StoredView) -> None:
        values = OnlineValues(database, newest_wins=False)
        for hours, number in ((1, 2.0), (3, 1.0)):
            known: dict[str, Value] = {each.name: None for each in customers.features}
            known["spent"] = number
            await values.put(customers, [FeatureRow(entity=(7,), event_at=NOW - timedelta(hours=hours), values=known)], NOW)
        [found] = await values.get(customers, [(7,)])
        assert found is not None
        assert found.values["spent"] == 1.0, "if this fails, the condition protects nothing"

    async def test_of_one_moment_the_later_write_wins_and_within_it_the_later_row(self, features: Features, customers: StoredView) -> None:
        await features.write(customers, [row(7, 1, spent=1.0), row(7, 1, spent=2.0)], "a", now=NOW)
        assert await spent(features, customers) == 2.0
        await features.write(customers, [row(7, 1, spent=3.0)], "b", now=NOW + timedelta(seconds=1))
        assert await spent(features, customers) == 3.0

    async def test_many_writers_of_one_entity_end_with_the_newest(self, features: Features, customers: StoredView) -> None:
        hours = [5, 1, 4, 2, 3]
        await asyncio.gather(*(features.write(customers, [row(n, h, spent=float(h)) for n in range(20)], f"k{h}", now=NOW) for h in hours))
        found = await features.read(customers, [{"customer": n} for n in range(20)], NOW)
        assert {each.values["spent"] for each in found} == {1.0}

    async def test_strange_keys_are_refused(self, features: Features, customers: StoredView) -> None:
        wrong: list[Row] = [{"customer": "7"}, {"customer": 7, "city": "Bern"}, {}]
        for entity in wrong:
            with pytest.raises(InvalidInput, match="Row 1"):
                await features.read(customers, [entity], NOW)


class TestHistory:
    async def test_a_window_takes_its_end_and_not_its_start(self, features: Features, customers: StoredView) -> None:
        await features.write(customers, [row(n, n, spent=float(n)) for n in range(1, 6)], "k", now=NOW)
        found = await features.history(customers, NOW - timedelta(hours=4), NOW - timedelta(hours=2), 100)
        assert [each.values["spent"] for each in found] == [3.0, 2.0]
        newest = await features.history(customers, NOW - timedelta(hours=10), NOW, 2)
        assert [each.values["spent"] for each in newest] == [2.0, 1.0]

    async def test_bytes_that_changed_are_refused(self, features: Features, customers: StoredView, tmp_path: object) -> None:
        await features.write(customers, [row(7, 1, spent=1.0)], "k", now=NOW)
        sources: Sources = await features.sources(customers)
        store = features.store(customers)
        path = f"{store._files._address}/{sources.batches[0].part}"  # type: ignore[attr-defined]
        with open(path, "r+b") as part:  # noqa: PTH123, ASYNC230 - a test's own damage
            part.seek(40)
            part.write(b"\x00\xff")
        with pytest.raises(Conflict) as refused:
            await features.history(customers, NOW - timedelta(days=1), NOW, 10)
        assert refused.value.error_code == "feature_part_changed"


async def test_a_reading_sees_a_new_version_of_its_own_process_at_once(features: Features, customers: StoredView) -> None:
    assert (await features.views.recent("vision", "customers")).version == 1
    await features.define("vision", CUSTOMERS.model_copy(update={"ttl_seconds": None}), "alice")
    assert (await features.views.recent("vision", "customers")).version == 2
    assert (await features.views.recent("vision", "customers", 1)).version == 1
    with pytest.raises(NotFound):
        await features.views.recent("language", "customers")
