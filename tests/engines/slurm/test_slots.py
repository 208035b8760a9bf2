"""The slots that a real partition shows."""

import pytest

from factory_infra.foundation.accelerators.providers.slurm import SlurmAccelerators
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.settings import Settings
from tests.engines.slurm.cluster import SlurmCluster
from tests.engines.slurm.texts import GPUS, NODES

pytestmark = pytest.mark.stack


async def test_are_its_gpus_and_not_those_of_a_drained_node(cluster: SlurmCluster, pool: SlurmPool, settings: Settings) -> None:
    cluster.mend()
    accelerators = SlurmAccelerators(pool, settings)
    found = await accelerators.pool()
    assert (found.note, found.placement, found.kind, len(found.slots)) == ("", "engine", "gpu", GPUS * NODES)
    assert {slot.accelerator for slot in found.slots} == {"H100"} and {slot.memory_gib for slot in found.slots} == {80.0}
    assert [slot.index for slot in found.slots] == list(range(GPUS * NODES))
    first = found.slots[0].node
    cluster.run("scontrol", "update", f"NodeName={first}", "State=DRAIN", "Reason=a fan broke")
    try:
        drained = await accelerators.pool()
        assert [slot.index for slot in drained.slots] == list(range(GPUS, GPUS * NODES))
        assert first in drained.note and "a fan broke" in drained.note
    finally:
        cluster.mend()
    assert len((await accelerators.pool()).slots) == GPUS * NODES
