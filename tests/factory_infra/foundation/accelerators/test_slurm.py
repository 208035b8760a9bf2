"""The slots of a partition, from what `sinfo` printed."""

from pathlib import Path

from factory_infra.foundation.accelerators.providers.slurm import gres_of, pool_of
from factory_infra.foundation.pools.spec import SlurmPool

POOL = SlurmPool(name="hpc", partition="gpu", work_dir=Path("/shared"))
NODES = """n1|idle|64|512000|gpu:h100:4(S:0-1)|none
n2|drained|64|512000|gpu:h100:4(S:0-1)|ECC errors | row remap
n3|mixed|64|512000|gpu:a100_80gb:2,nic:2|none
n4|idle*|64|512000|gpu:h100:4|none
"""


def test_a_gpu_is_a_slot_under_the_catalogues_name_and_its_node() -> None:
    pool = pool_of(NODES, POOL)
    assert (pool.name, pool.placement, pool.kind) == ("hpc", "engine", "gpu")
    assert [(slot.node, slot.accelerator) for slot in pool.slots] == [("n1", "H100")] * 4 + [("n3", "A100-80GB")] * 2
    assert [slot.memory_gib for slot in pool.slots] == [80.0] * 6


def test_nodes_that_take_no_jobs_are_left_out_and_keep_their_indices() -> None:
    pool = pool_of(NODES, POOL)
    assert [slot.index for slot in pool.slots] == [0, 1, 2, 3, 8, 9]
    assert "n2 is left out (drained: ECC errors | row remap)." in pool.note and "n4 is left out (idle*)." in pool.note


def test_one_type_of_several_may_be_chosen() -> None:
    pool = pool_of(NODES, POOL.model_copy(update={"gres": "gpu:a100_80gb"}))
    assert [(slot.index, slot.node) for slot in pool.slots] == [(0, "n3"), (1, "n3")]


def test_without_gpus_a_slot_is_a_core() -> None:
    pool = pool_of("n1|idle|4|8192|(null)|none\nn2|down|4|8192|(null)|gone\n", POOL)
    assert pool.kind == "cpu" and len(pool.slots) == 4 and {slot.memory_gib for slot in pool.slots} == {2.0}
    assert "a slot is a core" in pool.note and "n2 is left out (down: gone)." in pool.note


def test_a_partition_without_nodes_says_so() -> None:
    assert pool_of("", POOL).slots == [] and "has no nodes" in pool_of("", POOL).note


def test_resources_are_read_with_and_without_type_and_sockets() -> None:
    assert gres_of("gpu:8(S:0),shard:h100:16,nic:2") == (("gpu", 8), ("shard:h100", 16), ("nic", 2))
    assert gres_of("(null)") == ()
