"""Machines that are made in a simulated data centre: slow starts, spot interruptions with notice, stock-outs, failures."""

from pathlib import Path

import pytest

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput
from factory_infra.foundation.clusters.models import ClusterSpec, ClusterState
from factory_infra.foundation.clusters.providers.twin import TwinClusters
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre, machine_type
from factory_infra.foundation.twin.market import Market
from factory_infra.settings import Settings


class Clock:
    """Real time as a test sets it; virtual time is as fast."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


class Hall:
    """Clusters of one pool, with a clock."""

    def __init__(self, folder: Path, **fields: object) -> None:
        self.pool = TwinPool.model_validate({"name": "twin", "nodes": 0, "machines_max": 10, **fields})
        self.clusters = TwinClusters(self.pool, Settings(home=folder))
        self.clock = Clock()
        self.clusters.centre = DataCentre(self.pool, Settings(home=folder), self.clock)

    def wanted(self, count: int = 2, **fields: object) -> ClusterSpec:
        base = {"key": "k", "tenant": "vision", "machine": machine_type(self.pool), "count": count}
        return ClusterSpec.model_validate(base | fields)


async def test_machines_boot_before_they_run(tmp_path: Path) -> None:
    hall = Hall(tmp_path, market=Market(start_seconds=300, start_sigma=0))
    made = await hall.clusters.provision(hall.wanted())
    assert made.state is ClusterState.CREATING and {machine.state for machine in made.machines} == {"pending"}
    hall.clock.at += 301
    again = await hall.clusters.get(made.id, "vision")
    assert again.state is ClusterState.READY and {machine.state for machine in again.machines} == {"running"}
    assert "simulated" in again.machines[0].id and "Simulated" in again.note


async def test_a_stock_out_gives_notice_and_takes_spot_machines_only(tmp_path: Path) -> None:
    market = Market(start_seconds=0, notice_seconds=120, stock=((0, True), (1000, False), (5000, True)))
    hall = Hall(tmp_path, market=market)
    spot = await hall.clusters.provision(hall.wanted(price_class="spot"))
    steady = await hall.clusters.provision(hall.wanted(key="other"))
    assert await hall.clusters.interruptions() == []
    hall.clock.at += 1010
    notices = await hall.clusters.interruptions()
    assert {notice.cluster_id for notice in notices} == {spot.id} and len(notices) == 2
    assert {machine.state for machine in (await hall.clusters.get(spot.id, "vision")).machines} == {"stopping"}
    with pytest.raises(CapacityExceeded):
        await hall.clusters.provision(hall.wanted(key="late", price_class="spot"))
    hall.clock.at += 120
    gone = await hall.clusters.get(spot.id, "vision")
    assert gone.machines == [] and gone.state is ClusterState.PARTIAL
    assert len((await hall.clusters.get(steady.id, "vision")).machines) == 2
    assert await hall.clusters.interruptions() == []
    hall.clock.at += 5000
    grown = await hall.clusters.scale(spot.id, "vision", 2, "again")
    assert len(grown.machines) == 2 and grown.state is ClusterState.READY


async def test_a_machine_that_is_left_to_its_end_is_replaced_beside_it(tmp_path: Path) -> None:
    hall = Hall(tmp_path)
    made = await hall.clusters.provision(hall.wanted())
    old = made.machines[0].id
    after = await hall.clusters.replace(made.id, "vision", old, "r", ending=False)
    assert len(after.machines) == 3 and after.wanted == 2
    assert {machine.id: machine.state for machine in after.machines}[old] == "stopping"


async def test_machines_fail_at_the_fleets_rate(tmp_path: Path) -> None:
    hall = Hall(tmp_path, failures="rsc-1", failure_scale=100, speed=86400)
    made = await hall.clusters.provision(hall.wanted(10))
    hall.clock.at += 30
    assert len((await hall.clusters.get(made.id, "vision")).machines) == 0


async def test_what_it_does_not_make_is_refused(tmp_path: Path) -> None:
    hall = Hall(tmp_path)
    with pytest.raises(InvalidInput) as refused:
        await hall.clusters.provision(hall.wanted(form="kubernetes"))
    assert refused.value.error_code == "not_offered"
    await hall.clusters.provision(hall.wanted())
    await hall.clusters.release((await hall.clusters.list())[0].id, "vision")
    with pytest.raises(Conflict) as ended:
        await hall.clusters.provision(hall.wanted())
    assert ended.value.error_code == "cluster_released"
