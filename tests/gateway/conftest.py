"""Grounds for the gateway's proofs: a fresh database, a folder, and whatever processes a test starts; all are ended afterwards."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gateway.door import Door, opened
from benchmarks.gateway.ground import Ground
from tests.databases import fresh_database

COUNTER = itertools.count()


def fresh(postgres_url: str) -> str:
    """The address of a fresh, migrated database."""
    return fresh_database(postgres_url, f"gateway_{next(COUNTER)}")


@pytest.fixture
def ground(postgres_url: str, tmp_path: Path) -> Iterator[Ground]:
    """A ground of its own."""
    made = Ground(tmp_path, fresh(postgres_url))
    yield made
    made.close()


@pytest.fixture(scope="session")
def door(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One running gateway for tries by hand."""
    made = Ground(tmp_path_factory.mktemp("door"), fresh(postgres_url))
    try:
        yield opened(made)
    finally:
        made.close()
