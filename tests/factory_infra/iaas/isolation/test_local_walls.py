"""The walls of this host: what is told of them, and that an audit attacks the jobs that the installation really runs."""

import asyncio
from pathlib import Path

import pytest

from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.iaas.isolation.providers.local import LocalWalls, open_parts, wall_orders
from factory_infra.iaas.isolation.registry import PROVIDERS, WallPools
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.iaas.jobs.providers.walls_local import NAMES, WallOrder, available
from factory_infra.settings import Settings


def states(walls: object) -> dict[str, str]:
    assert isinstance(walls, list)
    return {wall.name: wall.state for wall in walls}


async def came_through(settings: Settings, order: WallOrder | None) -> set[str]:
    """Attack jobs that run behind one order, or behind the installation's own; which doors came through."""
    orders = wall_orders(PoolBook(settings.pools_file), settings)
    jobs = LocalJobs(settings.jobs_dir, orders if order is None else lambda spec: order)
    try:
        attempts = await LocalWalls(LocalPool(name="local"), settings, jobs).attack("vision", "speech")
    finally:
        await asyncio.to_thread(stop_all, settings.jobs_dir)
    return {each.door for each in attempts if not each.refused}


@pytest.mark.skipif("files" in available(), reason="this kernel offers no Landlock")
async def test_jobs_that_run_without_walls_are_found(settings: Settings) -> None:
    """The audit asks the jobs of the installation, not how they should run."""
    assert await came_through(settings, WallOrder(off=list(NAMES))) == {"see", "stop", "read_logs", "use_data"}
    if not available().keys() & {"processes", "listing", "capabilities"}:
        assert await came_through(settings, None) == set()


async def test_what_is_left_down_on_purpose_is_missing(settings: Settings) -> None:
    pool = LocalPool.model_validate({"name": "local", "walls_off": ["files", "user"]})
    told = states(await LocalWalls(pool, settings).check("vision"))
    assert told["user"] == "missing"
    assert told["files"] == "missing"


async def test_a_user_of_its_own_needs_to_be_asked_for(settings: Settings) -> None:
    walls = await LocalWalls(LocalPool(name="local"), settings).ensure("vision")
    assert states(walls)["user"] == "not_available"
    assert all(wall.note for wall in walls)


def test_parts_without_keys_are_closed_where_they_are_on_this_host(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        model="none",
        temporal_address="127.0.0.1:7233",
        chroma_url="http://127.0.0.1:8401",
        mlflow_url="http://127.0.0.1:8402",
    )
    assert open_parts(settings, tracking=False) == {"Temporal": 7233, "Chroma": 8401}
    orders = wall_orders(PoolBook(tmp_path / "none.yaml"), settings)
    spec = JobSpec(id="j", tenant="vision", name="j", argv=["true"])
    assert orders(spec).ports_closed == [7233, 8401, 8402]
    tracked = spec.model_copy(update={"environment": {"MLFLOW_TRACKING_URI": "http://127.0.0.1:8402"}})
    assert orders(tracked).ports_closed == [7233, 8401]
    elsewhere = settings.model_copy(
        update={"temporal_address": "temporal.example.com:443", "chroma_url": "http://localhost:80", "mlflow_url": None}
    )
    assert open_parts(elsewhere, tracking=True) == {}


def test_every_kind_of_pool_has_walls(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, model="none")
    assert isinstance(WallPools(PoolBook(settings.pools_file), settings).of("local"), LocalWalls)
    assert set(PROVIDERS) == {"local", "slurm", "kubernetes", "aws", "twin"}
