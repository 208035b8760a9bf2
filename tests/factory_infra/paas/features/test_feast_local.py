"""Training sets by Feast: what each row knew at its moment, and the same as readings told then. One process of Feast for all of them."""

import itertools
import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound, TooLarge
from factory_infra.paas.features.models import Feature, FeatureView, Key, OnlineRow, Spine, StoredView, TrainingSetSpec, Value
from factory_infra.paas.features.providers.feast_local import FeastLocal
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.set_files import read_set
from factory_infra.paas.features.training_sets import TrainingSets
from tests.databases import fresh_database
from tests.factory_infra.paas.features.conftest import CUSTOMERS, NOW, Row, at, row

pytestmark = pytest.mark.stack
NAMES = [each.name for each in CUSTOMERS.features]
NUMBERS = itertools.count()


class Ground:
    """One database, one folder, one process of Feast."""

    def __init__(self, database: Database, url: str, folder: Path) -> None:
        self.folder = folder
        self.store = FeastLocal(database, SecretStr(url), str(folder / "features"), folder / "laid-out")
        self.features = Features(database, "feast_local", lambda name: self.store)
        self.sets = TrainingSets(database, self.features, folder / "sets")

    async def view(self, view: FeatureView = CUSTOMERS) -> StoredView:
        """A view under a name that no other test has."""
        return await self.features.define("vision", view.model_copy(update={"name": f"{view.name}_{next(NUMBERS)}"}), "alice")

    async def joined(self, view: StoredView, asks: Sequence[tuple[int, datetime]], *, as_served: bool = False) -> list[dict[str, Value]]:
        """A training set by explicit rows, a dictionary a row."""
        rows: tuple[Row, ...] = tuple({"customer": customer, "event_at": moment.isoformat()} for customer, moment in asks)
        spec = TrainingSetSpec(features=(view.name,), rows=rows, as_served=as_served)
        kept = await self.sets.make("vision", spec, f"set-{next(NUMBERS)}", "alice")
        found = read_set(kept)
        assert found.keys["customer"] == [customer for customer, _ in asks]
        return [{name: found.columns[f"{view.name}__{name}"][number] for name in NAMES} for number in range(kept.rows)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ground(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    url = fresh_database(postgres_url, "joins")
    database = Database(url)
    made = Ground(database, url, tmp_path_factory.mktemp("ground"))
    yield made
    await made.store.close()
    await database.close()


def known(rows: Sequence[tuple[int, Row]], ttl_seconds: int, customer: int, moment: datetime) -> dict[str, Value]:
    """The definition, in plain words: the newest event until the moment, the later write of two, unless it is too old."""
    mine = [(datetime.fromisoformat(str(each["seen_at"])), number, each) for number, each in rows if each["customer"] == customer]
    past = [each for each in mine if each[0] <= moment]
    nothing: dict[str, Value] = dict.fromkeys(NAMES)
    if not past:
        return nothing
    newest = max(past, key=lambda each: each[:2])
    if (moment - newest[0]).total_seconds() > ttl_seconds:
        return nothing
    return {name: newest[2].get(name) for name in NAMES}  # type: ignore[misc]


async def test_a_join_is_what_the_definition_says(ground: Ground) -> None:
    """Random histories with events of one moment, corrections, gaps, values too old, and questions that are asked twice."""
    view, chance = await ground.view(), random.Random(3)  # noqa: S311 - data
    written: list[Row] = []
    for batch in range(6):
        rows = [
            row(
                chance.randrange(8),
                chance.randrange(60),
                orders=chance.choice([None, chance.randrange(9)]),
                spent=chance.choice([None, chance.random()]),
                city=chance.choice([None, "Bern", "Genève"]),
                member=chance.choice([None, True, False]),
                taste=None if chance.random() < 0.5 else [chance.random(), 1.0],
            )
            for _ in range(40)
        ]
        await ground.features.write(view, rows, f"{view.name}/{batch}", now=NOW + timedelta(seconds=batch), online=False)
        written += rows
    asks = [(chance.randrange(10), NOW - timedelta(hours=chance.randrange(70))) for _ in range(150)]
    asks += asks[:20] + [(customer, moment - timedelta(microseconds=1)) for customer, moment in asks[:40]]
    found = await ground.joined(view, asks)
    ordered = list(enumerate(written))
    assert found == [known(ordered, 86_400, customer, moment) for customer, moment in asks]
    assert any(each["spent"] is not None for each in found)


async def test_training_gets_what_serving_told(ground: Ground) -> None:
    """The same value to the last bit, of the same type, whenever it was asked for, late events and corrections among the writes."""
    view, chance = await ground.view(), random.Random(5)  # noqa: S311 - data
    served: list[tuple[int, datetime, OnlineRow]] = []
    for step in range(12):
        moment = NOW + timedelta(hours=step)
        rows = [
            {
                "customer": chance.randrange(5),
                "seen_at": (moment - timedelta(hours=chance.choice([0, 0, 1, 2, 30]))).isoformat(),
                "orders": chance.randrange(2**53),
                "spent": chance.choice([None, chance.random() * 10 ** chance.randrange(-300, 300)]),
                "city": chance.choice(["Bern", "Lausanne"]),
                "member": chance.random() < 0.5,
                "taste": [chance.random(), chance.random()],
            }
            for _ in range(4)
        ]
        await ground.features.write(view, rows, f"{view.name}/{step}", now=moment)
        asked = moment + timedelta(minutes=1)
        told = await ground.features.read(view, [{"customer": customer} for customer in range(6)], asked)
        served += [(customer, asked, each) for customer, each in enumerate(told)]
    asks = [(customer, moment) for customer, moment, _ in served]
    trained = await ground.joined(view, asks, as_served=True)
    assert trained == [each.values for _, _, each in served]
    assert [[type(value) for value in each.values()] for each in trained] == [[type(v) for v in e.values.values()] for _, _, e in served]
    assert sum(each.state == "found" for _, _, each in served) > 20
    hindsight = await ground.joined(view, asks)
    assert hindsight != trained, "control: with what was written later, training knows more than serving did"


async def test_feasts_own_reading_is_ours(ground: Ground) -> None:
    view = await ground.view()
    rows = [row(1, 1, orders=3, spent=0.1, city="Bern", member=True, taste=[0.5, 2.0]), row(2, 2, spent=None, member=False)]
    await ground.features.write(view, rows, view.name)
    ours = await ground.features.read(view, [{"customer": n} for n in (1, 2, 3)], NOW)
    theirs = await ground.store.by_feast(view, [(1,), (2,), (3,)])
    assert theirs == [each.values for each in ours]


async def test_a_backfill_is_served_once_it_is_materialised(ground: Ground) -> None:
    view = await ground.view()
    await ground.features.write(view, [row(1, 5, spent=5.0), row(1, 3, spent=3.0), row(2, 4, city="Bern")], f"{view.name}/a", online=False)
    await ground.features.write(view, [row(3, 1, spent=1.0)], f"{view.name}/b")
    await ground.features.write(view, [row(3, 2, spent=2.0)], f"{view.name}/c", online=False)

    async def told() -> list[tuple[str, Value, Value]]:
        rows = await ground.features.read(view, [{"customer": n} for n in (1, 2, 3)], NOW)
        return [(each.state, each.values["spent"], each.values["city"]) for each in rows]

    assert await told() == [("absent", None, None), ("absent", None, None), ("found", 1.0, None)]
    for _ in range(2):
        assert await ground.features.materialise(view, NOW) == 3
        assert await told() == [("found", 3.0, None), ("found", None, "Bern"), ("found", 1.0, None)]
    assert all(batch.online for batch in (await ground.features.sources(view)).batches)


PAIRS = FeatureView(
    name="ratings",
    keys=(Key(name="customer", kind="int"), Key(name="product")),
    features=(Feature(name="stars", kind="int"), Feature(name="liked", kind="text")),
    timestamp="event_at",
)


class TestSets:
    async def test_a_spine_gives_rows_and_labels_and_two_views_their_features(self, ground: Ground) -> None:
        view, ratings = await ground.view(), await ground.view(PAIRS)
        await ground.features.write(view, [row(1, 10, spent=1.0), row(1, 2, spent=2.0)], view.name)
        rows: list[Row] = [
            {"customer": 1, "product": "tea", "event_at": at(5), "stars": 4, "liked": "yes"},
            {"customer": 1, "product": "rice", "event_at": at(5), "stars": 1, "liked": "no"},
            {"customer": 1, "product": "tea", "event_at": at(1), "stars": 5, "liked": None},
            {"customer": 2, "product": "tea", "event_at": at(1), "stars": 2, "liked": "no"},
        ]
        await ground.features.write(ratings, rows, ratings.name)
        spec = TrainingSetSpec(
            features=(f"{view.name}:spent", f"{ratings.name}:stars"), spine=Spine(view=ratings.name), label=f"{ratings.name}:liked"
        )
        kept = await ground.sets.make("vision", spec, f"{view.name}/set", "alice")
        found = read_set(kept)
        assert (kept.rows, found.labels) == (3, ["yes", "no", "no"])
        assert found.columns == {f"{view.name}__spent": [1.0, 1.0, None], f"{ratings.name}__stars": [4, 1, 2]}
        assert kept.complete == pytest.approx(5 / 6)
        assert await ground.sets.make("vision", spec, f"{view.name}/set", "bob") == kept
        other = await ground.sets.make("vision", spec, f"{view.name}/set2", "bob")
        assert (other.digest, other.id != kept.id) == (kept.digest, True)
        Path(other.path).write_bytes(Path(other.path).read_bytes()[:-200])
        with pytest.raises(Conflict) as refused:
            read_set(other)
        assert refused.value.error_code == "training_set_changed"
        with pytest.raises(Conflict) as refused:
            await ground.sets.make("vision", spec.model_copy(update={"as_served": True}), f"{view.name}/set", "alice")
        assert refused.value.error_code == "key_reused"
        with pytest.raises(NotFound):
            await ground.sets.get("language", kept.id)

    @pytest.mark.parametrize(
        ("change", "error", "word"),
        [
            ({"features": ("nothing",)}, NotFound, "nothing"),
            ({"features": ("VIEW:nothing",)}, InvalidInput, "no feature"),
            ({"rows": ()}, InvalidInput, "spine or from a list"),
            ({"rows": ({"customer": 1},)}, InvalidInput, "Row 1: event_at"),
            ({"rows": ({"event_at": "2026-11-25T00:00:00Z"},)}, InvalidInput, "Row 1: customer"),
            ({"label": "VIEW:city"}, InvalidInput, "label"),
            ({"spine": Spine(view="VIEW"), "rows": (), "label": "other:city"}, NotFound, "other"),
            ({"features": ("VIEW@1", "VIEW@2")}, NotFound, "@2"),
        ],
    )
    async def test_what_cannot_be_joined_is_said(
        self, ground: Ground, change: dict[str, object], error: type[Exception], word: str
    ) -> None:
        view = await ground.view()

        def named(value: object) -> object:
            if isinstance(value, tuple):
                return tuple(named(each) for each in value)
            if isinstance(value, Spine):
                return Spine(view=view.name)
            return value.replace("VIEW", view.name) if isinstance(value, str) else value

        spec = TrainingSetSpec(features=(view.name,), rows=({"customer": 1, "event_at": at(0)},))
        with pytest.raises(error, match=word):
            await ground.sets.make("vision", spec.model_copy(update={k: named(v) for k, v in change.items()}), view.name, "alice")

    async def test_more_corrections_than_can_be_told_apart_are_refused(self, ground: Ground) -> None:
        view = await ground.view()
        await ground.features.write(view, [row(1, 1, spent=float(n)) for n in range(1000)], view.name, online=False)
        with pytest.raises(TooLarge, match="one moment"):
            await ground.joined(view, [(1, NOW)])
