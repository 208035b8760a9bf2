"""The registry on a real tracking server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound, Unavailable
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.registry.tables import RegistryVersion

pytestmark = pytest.mark.stack


@pytest.fixture
async def registry(database: Database, mlflow_url: str) -> AsyncIterator[MlflowRegistry]:
    """A registry on an empty table."""
    opened = MlflowRegistry(mlflow_url, database)
    yield opened
    await opened.close()


async def test_one_key_is_one_version_and_another_key_another(registry: MlflowRegistry, runs: list[str]) -> None:
    first = await registry.register("vision", "once", runs[0], "plan-1/register")
    assert await registry.register("vision", "once", runs[0], "plan-1/register") == first
    second = await registry.register("vision", "once", runs[1], "plan-2/register")
    assert second.version == first.version + 1
    assert (first.dataset, first.algorithm) == ("wine", "svm") and first.metrics["accuracy"] > 0.8 and runs[0] in first.run_url
    assert await registry.get("vision", "once") == second
    assert await registry.list("vision") == [second, first]
    with pytest.raises(Conflict):
        await registry.register("vision", "once", runs[1], "plan-1/register")


async def test_a_version_that_a_crash_kept_us_from_writing_down_is_found_again(
    registry: MlflowRegistry, database: Database, runs: list[str]
) -> None:
    first = await registry.register("vision", "crash", runs[0], "plan-3/register")
    async with database.transaction() as session:
        await session.execute(delete(RegistryVersion))
    again = await registry.register("vision", "crash", runs[0], "plan-3/register")
    assert again.version == first.version


async def test_an_archived_version_is_no_longer_the_newest(registry: MlflowRegistry, runs: list[str]) -> None:
    first = await registry.register("vision", "old", runs[0], "plan-4/register")
    second = await registry.register("vision", "old", runs[1], "plan-5/register")
    await registry.archive("vision", "old", second.version)
    await registry.archive("vision", "old", second.version)
    assert await registry.get("vision", "old") == first
    assert (await registry.get("vision", "old", second.version)).archived
    assert await registry.list() == [first]


async def test_the_files_of_a_version_come_whole(registry: MlflowRegistry, runs: list[str], tmp_path: Path) -> None:
    version = await registry.register("vision", "files", runs[0], "plan-6/register")
    model = await registry.download(version, tmp_path / "files")
    assert model.stat().st_size > 1000
    holdout = json.loads((tmp_path / "files" / "holdout.json").read_text())
    assert len(holdout["rows"]) == len(holdout["labels"]) == len(holdout["predictions"]) == 36


async def test_another_teams_run_and_model_are_not_found(registry: MlflowRegistry, runs: list[str]) -> None:
    await registry.register("vision", "walled", runs[0], "plan-7/register")
    with pytest.raises(NotFound):
        await registry.register("speech", "stolen", runs[0], "plan-8/register")
    with pytest.raises(NotFound):
        await registry.get("speech", "walled")
    with pytest.raises(NotFound):
        await registry.register("vision", "walled", "no-run", "plan-9/register")
    assert await registry.list("speech") == []


async def test_names_that_a_filter_would_misread_are_refused(registry: MlflowRegistry, runs: list[str]) -> None:
    with pytest.raises(InvalidInput):
        await registry.register("vision", "x' or name='y", runs[0], "plan-10/register")


async def test_reading_needs_no_server_and_writing_says_that_it_does(registry: MlflowRegistry, database: Database, runs: list[str]) -> None:
    version = await registry.register("vision", "offline", runs[0], "plan-11/register")
    offline = MlflowRegistry("http://127.0.0.1:9", database)
    assert await offline.get("vision", "offline") == version
    with pytest.raises(Unavailable):
        await offline.archive("vision", "offline", version.version)
    assert not (await offline.get("vision", "offline")).archived
    await offline.close()
