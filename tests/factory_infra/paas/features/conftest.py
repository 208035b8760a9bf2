"""A feature store over a fresh database, with one view of customers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import JsonValue, SecretStr

from factory_infra.database import Database
from factory_infra.paas.features.models import Feature, FeatureView, Key, StoredView
from factory_infra.paas.features.providers.feast_local import FeastLocal
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.training_sets import TrainingSets

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CUSTOMERS = FeatureView(
    name="customers",
    keys=(Key(name="customer", kind="int"),),
    features=(
        Feature(name="orders", kind="int"),
        Feature(name="spent", kind="float"),
        Feature(name="city", kind="text"),
        Feature(name="member", kind="flag"),
        Feature(name="taste", kind="vector", dimensions=2),
    ),
    timestamp="seen_at",
    ttl_seconds=86_400,
)
Row = dict[str, JsonValue]


def at(hours: float) -> str:
    """So many hours before now, as rows say it."""
    return (NOW - timedelta(hours=hours)).isoformat()


def row(customer: int, hours: float, **values: JsonValue) -> Row:
    """What is known of a customer since so many hours ago."""
    return {"customer": customer, "seen_at": at(hours), **values}


@pytest_asyncio.fixture
async def store(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[FeastLocal]:
    """The store with Feast's process, which starts only where it is needed."""
    made = FeastLocal(database, SecretStr(database_url), str(tmp_path / "features"), tmp_path / "laid-out")
    yield made
    await made.close()


@pytest.fixture
def features(database: Database, store: FeastLocal) -> Features:
    """The service."""
    return Features(database, "feast_local", lambda name: store)


@pytest.fixture
def sets(database: Database, features: Features, tmp_path: Path) -> TrainingSets:
    """Training sets."""
    return TrainingSets(database, features, tmp_path / "sets")


@pytest_asyncio.fixture
async def customers(features: Features) -> StoredView:
    """The view of team vision."""
    return await features.define("vision", CUSTOMERS, "alice")
