"""What every maker of clusters must do, asked of each form."""

import itertools
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from factory_infra.errors import CapacityExceeded, InvalidInput, NotFound, Unavailable
from factory_infra.foundation.clusters.interface import Clusters, ClusterTemplates, Interruptions, MachineReplacement
from factory_infra.foundation.clusters.models import ClusterState
from factory_infra.foundation.clusters.naming import cluster_id
from tests.contract import aws_clusters, twin_clusters

House = aws_clusters.House | twin_clusters.House

pytestmark = pytest.mark.stack
KEYS = itertools.count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=[*aws_clusters.FORMS, twin_clusters.NAME])
async def cluster_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Each form in turn."""
    folder = tmp_path_factory.mktemp("clusters")
    made = twin_clusters.House(folder) if request.param == twin_clusters.NAME else aws_clusters.House(request.param, folder)
    async with made.entered() as house:
        yield house


@pytest.fixture
def key(cluster_house: House) -> str:
    """A key that nobody used; whatever was set to fail does not any more."""
    cluster_house.calm()
    return f"key-{next(KEYS)}"


def has(house: House, ability: str) -> None:
    """Skip, by name, what this form cannot do."""
    if ability in house.lacks:
        pytest.skip(f"{house.name} lacks {ability}: {house.lacks[ability]}")


async def test_it_is_made_and_told_by_its_tags(cluster_house: House, key: str) -> None:
    made = await cluster_house.clusters.provision(cluster_house.wanted(key, run_id="plan-1"))
    assert made.id == cluster_id(key, cluster_house.form)
    assert (made.tenant, made.lease_id, made.run_id, made.wanted) == ("vision", f"lease-{key}", "plan-1", 2)
    listed = {each.id: each for each in await cluster_house.clusters.list("vision")}
    assert listed[made.id].lease_id == f"lease-{key}"
    assert not [each for each in await cluster_house.clusters.list("speech") if each.id == made.id]


async def test_its_machines_are_known(cluster_house: House, key: str) -> None:
    has(cluster_house, "machines")
    made = await cluster_house.clusters.provision(cluster_house.wanted(key, 3))
    assert len({machine.id for machine in made.machines}) == 3
    assert {machine.type for machine in made.machines} == {cluster_house.machine}


async def test_twice_under_one_key_is_one(cluster_house: House, key: str) -> None:
    first = await cluster_house.clusters.provision(cluster_house.wanted(key))
    asked = cluster_house.launches()
    await cluster_house.forget()
    again = await cluster_house.clusters.provision(cluster_house.wanted(key))
    assert {each.id for each in first.machines} == {each.id for each in again.machines}
    assert cluster_house.launches() == asked


async def test_a_lost_answer_is_asked_for_again_and_is_one(cluster_house: House, key: str) -> None:
    cluster_house.answer_lost()
    try:
        await cluster_house.clusters.provision(cluster_house.wanted(key))
    except Unavailable:
        await cluster_house.forget()
    made = await cluster_house.clusters.provision(cluster_house.wanted(key))
    made = await cluster_house.clusters.get(made.id, "vision")
    assert made.wanted == 2
    assert len(made.machines) in ({2} if "machines" not in cluster_house.lacks else {0})


async def test_another_team_never_sees_it(cluster_house: House, key: str) -> None:
    made = await cluster_house.clusters.provision(cluster_house.wanted(key))
    for refused in (
        cluster_house.clusters.get(made.id, "speech"),
        cluster_house.clusters.scale(made.id, "speech", 1),
        cluster_house.clusters.release(made.id, "speech"),
        cluster_house.clusters.replace(made.id, "speech", "i-0", "k"),
    ):
        with pytest.raises(NotFound):
            await refused
    assert (await cluster_house.clusters.get(made.id, "vision")).wanted == 2


async def test_what_is_not_there_is_not_found(cluster_house: House) -> None:
    for name in (cluster_id("never", cluster_house.form), "nothing", "fleet-zz"):
        with pytest.raises(NotFound):
            await cluster_house.clusters.get(name, "vision")


async def test_it_grows_and_shrinks(cluster_house: House, key: str) -> None:
    made = await cluster_house.clusters.provision(cluster_house.wanted(key))
    grown = await cluster_house.clusters.scale(made.id, "vision", 4, f"{key}/up")
    assert grown.wanted == 4
    same = await cluster_house.clusters.scale(made.id, "vision", 4, f"{key}/up")
    assert {each.id for each in same.machines} == {each.id for each in grown.machines}
    shrunk = await cluster_house.clusters.scale(made.id, "vision", 1, f"{key}/down")
    assert shrunk.wanted == 1
    if "machines" not in cluster_house.lacks:
        assert (len(grown.machines), len(shrunk.machines)) == (4, 1)


@pytest.mark.parametrize("count", [0, -1, 10_000])
async def test_a_number_that_cannot_be_is_refused(cluster_house: House, key: str, count: int) -> None:
    made = await cluster_house.clusters.provision(cluster_house.wanted(key, 1))
    with pytest.raises(InvalidInput):
        await cluster_house.clusters.scale(made.id, "vision", count)


async def test_a_machine_is_replaced_once_for_a_key(cluster_house: House, key: str) -> None:
    has(cluster_house, "machines")
    made = await cluster_house.clusters.provision(cluster_house.wanted(key))
    old = made.machines[0].id
    first = await cluster_house.clusters.replace(made.id, "vision", old, f"{key}/r")
    again = await cluster_house.clusters.replace(made.id, "vision", old, f"{key}/r")
    machines = {each.id for each in (await cluster_house.clusters.get(made.id, "vision")).machines}
    assert old not in machines and len(machines) == 2
    assert {each.id for each in again.machines} == machines
    assert first.wanted == again.wanted == 2


async def test_released_twice_is_gone_once(cluster_house: House, key: str) -> None:
    made = await cluster_house.clusters.provision(cluster_house.wanted(key))
    assert (await cluster_house.clusters.release(made.id, "vision")).state is ClusterState.RELEASED
    assert (await cluster_house.clusters.release(made.id, "vision")).state is ClusterState.RELEASED
    assert made.id not in {each.id for each in await cluster_house.clusters.list()}


async def test_too_few_is_refused_and_leaves_nothing(cluster_house: House, key: str) -> None:
    has(cluster_house, "refusal")
    cluster_house.free(1)
    with pytest.raises(CapacityExceeded) as refused:
        await cluster_house.clusters.provision(cluster_house.wanted(key, 3))
    assert refused.value.error_code == "capacity_short" and refused.value.remedy
    assert cluster_id(key, cluster_house.form) not in {each.id for each in await cluster_house.clusters.list()}
    cluster_house.free(5)
    assert len((await cluster_house.clusters.provision(cluster_house.wanted(key, 3))).machines) == 3


async def test_fewer_are_taken_where_that_will_do(cluster_house: House, key: str) -> None:
    has(cluster_house, "refusal")
    cluster_house.free(2)
    made = await cluster_house.clusters.provision(cluster_house.wanted(key, 4, count_min=2))
    assert (made.state, len(made.machines), made.wanted) == (ClusterState.PARTIAL, 2, 4)
    assert made.note


async def test_growth_that_cannot_be_had_changes_nothing(cluster_house: House, key: str) -> None:
    has(cluster_house, "refusal")
    made = await cluster_house.clusters.provision(cluster_house.wanted(key))
    cluster_house.free(1)
    with pytest.raises(CapacityExceeded):
        await cluster_house.clusters.scale(made.id, "vision", 5, f"{key}/up")
    after = await cluster_house.clusters.get(made.id, "vision")
    assert {each.id for each in after.machines} == {each.id for each in made.machines}
    assert after.state is ClusterState.READY


async def test_a_machine_that_is_not_offered_is_refused_by_name(cluster_house: House, key: str) -> None:
    if cluster_house.form not in {"fleet", "auto_scaling"}:
        pytest.skip(f"{cluster_house.name} lacks machine check: the service itself refuses it later")
    with pytest.raises(InvalidInput) as refused:
        await cluster_house.clusters.provision(cluster_house.wanted(key, machine="p9.48xlarge"))
    assert refused.value.error_code == "machine_unknown"


async def test_its_extra_abilities_are_of_the_contract(cluster_house: House, key: str) -> None:
    clusters: Clusters = cluster_house.clusters
    replacing: MachineReplacement = cluster_house.clusters
    noticing: Interruptions = cluster_house.clusters
    assert clusters and replacing
    assert await noticing.interruptions() == []
    if "templates" not in cluster_house.lacks:
        telling = cast("ClusterTemplates", cluster_house.clusters)
        assert '"Resources"' in telling.template(cluster_house.wanted(key))
