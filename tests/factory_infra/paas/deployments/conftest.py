"""One database for all tests of a file: emptied before each of them, which is quicker than making one."""

import uuid

import pytest
from sqlalchemy import create_engine, text

from factory_infra.database import driver_url
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic_tables import CountRow, RequestRow
from factory_infra.paas.registry.tables import RegistryVersion
from tests.databases import fresh_database

EMPTIED = ", ".join(each.__tablename__ for each in (EndpointRow, CountRow, RequestRow, RegistryVersion))
"""What refers to an endpoint goes with it."""


@pytest.fixture(scope="module")
def file_url(postgres_url: str) -> str:
    """The address of a fresh, migrated database for a file of tests."""
    return fresh_database(postgres_url, f"deployments_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def database_url(file_url: str) -> str:
    """The same, with nothing in it of endpoints and versions."""
    engine = create_engine(driver_url(file_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"TRUNCATE {EMPTIED} CASCADE"))
    engine.dispose()
    return file_url
