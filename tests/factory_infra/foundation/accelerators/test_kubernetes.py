"""What a cluster's nodes offer: by product, by slice, and without those that take nothing."""

import pytest

from factory_infra.foundation.accelerators.providers.kubernetes import KubernetesAccelerators, Node, slots_of
from factory_infra.settings import Settings
from tests.contract.kubernetes import emulated_pool
from tests.emulators.kubernetes.cluster import Emulator


def node(name: str, labels: dict[str, str], **allocatable: str) -> Node:
    status = {"allocatable": {key.replace("__", "/").replace("_", "."): value for key, value in allocatable.items()}}
    return Node.model_validate({"metadata": {"name": name, "labels": labels}, "status": status})


def test_a_slice_is_a_slot_with_its_own_memory() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    body = {"metadata": {"name": "a", "labels": labels}, "status": {"allocatable": {"nvidia.com/mig-1g.10gb": "7"}}}
    slots = list(slots_of([Node.model_validate(body)], "nvidia.com/mig-1g.10gb"))
    assert len(slots) == 7 and slots[0].memory_gib == 10.0 and "MIG 1g.10gb" in slots[0].name and slots[0].accelerator == "H100"


def test_a_neuron_device_is_known_by_its_machine() -> None:
    body = {"metadata": {"name": "a", "labels": {"node.kubernetes.io/instance-type": "trn1.32xlarge"}}}
    slots = list(
        slots_of([Node.model_validate(body | {"status": {"allocatable": {"aws.amazon.com/neuron": "16"}}})], "aws.amazon.com/neuron")
    )
    assert len(slots) == 16 and slots[0].accelerator == "Trainium1"


@pytest.mark.stack
async def test_gpus_of_open_nodes_and_a_note_on_the_others() -> None:
    async with Emulator() as emulator:
        accelerators = KubernetesAccelerators(emulated_pool(emulator), Settings())
        pool = await accelerators.pool()
        assert (len(pool.slots), pool.placement, pool.kind, pool.note) == (24, "engine", "gpu", "")
        assert {slot.accelerator for slot in pool.slots} == {"H100"} and pool.slots[0].memory_gib == 79.6
        emulator.cordon("node-1")
        lost = emulator.store.read("nodes", "", "node-2")
        lost["status"]["conditions"][0]["status"] = "Unknown"
        emulator.store.update("nodes", lost)
        pool = await accelerators.pool()
        assert {slot.node for slot in pool.slots} == {"node-0"}
        assert "node-1 is left out: it is cordoned" in pool.note and "node-2 is left out: its kubelet does not answer" in pool.note


@pytest.mark.stack
async def test_a_cluster_without_gpus_has_cores_and_says_so() -> None:
    async with Emulator() as emulator:
        pool = emulated_pool(emulator, slots_max=10)
        for name in ("node-0", "node-1", "node-2"):
            body = emulator.store.read("nodes", "", name)
            del body["status"]["allocatable"]["nvidia.com/gpu"]
            emulator.store.update("nodes", body)
        found = await KubernetesAccelerators(pool, Settings()).pool()
        assert (len(found.slots), found.kind) == (10, "cpu") and "offers a GPU" in found.note
