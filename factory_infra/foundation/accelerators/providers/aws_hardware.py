"""What EC2 says of a type of machine, as an offer. Pure: from the answer of DescribeInstanceTypes, live or from a file."""

import re
from collections.abc import Mapping
from typing import cast

from factory_infra.foundation.accelerators.catalogue import ACCELERATORS, normalise
from factory_infra.foundation.accelerators.models import MachineType
from factory_infra.foundation.accelerators.offers import MachineOffer

Described = Mapping[str, object]
"""One entry of DescribeInstanceTypes."""


def offer_of(described: Described, region: str) -> MachineOffer | None:
    """Return the offer, or None for a machine that holds no whole accelerator of the catalogue."""
    held = accelerators_of(described)
    if held is None:
        return None
    network, storage = _part(described, "NetworkInfo"), _part(described, "InstanceStorageInfo")
    return MachineOffer(
        machine=str(described["InstanceType"]),
        accelerator=held[0],
        count=held[1],
        vcpus=_whole(_part(described, "VCpuInfo").get("DefaultVCpus")),
        memory_gib=_whole(_part(described, "MemoryInfo").get("SizeInMiB")) / 1024,
        network_gbit=network_gbit(network),
        efa_interfaces=_whole(_part(network, "EfaInfo").get("MaximumEfaInterfaces")),
        nvme_gb=_whole(storage.get("TotalSizeInGB")) if storage.get("NvmeSupport") in {"required", "supported"} else 0,
        region=region,
    )


def accelerators_of(described: Described) -> tuple[str, int] | None:
    """Return the catalogue's type and the count, or None: also for machines that hold a share of one only."""
    for gpu in _parts(_part(described, "GpuInfo"), "Gpus"):
        memory_gib = _whole(_part(gpu, "MemoryInfo").get("SizeInMiB")) / 1024
        known, count = normalise(str(gpu.get("Name", "")), memory_gib), _whole(gpu.get("Count"))
        # A type of which a machine holds a part is told with a count of 0, or with a partition below 1.
        if known and count and float(cast("float", gpu.get("GpuPartitionSize", 1.0))) >= 1:
            return known, count
    for device in _parts(_part(described, "NeuronInfo"), "NeuronDevices"):
        known, count = normalise(str(device.get("Name", ""))), _whole(device.get("Count"))
        if known and count and device.get("Name") != "Inferentia":
            return known, count
    return None


def machine_type_of(described: Described) -> MachineType:
    """A machine as what slots are cut from: its accelerators, or its vCPUs where it has none of the catalogue."""
    name, held = str(described["InstanceType"]), accelerators_of(described)
    if held is not None:
        return MachineType(name=name, kind="gpu", accelerator=held[0], slots=held[1])
    others = sum(_whole(gpu.get("Count")) for gpu in _parts(_part(described, "GpuInfo"), "Gpus"))
    vcpus = _whole(_part(described, "VCpuInfo").get("DefaultVCpus"))
    return MachineType(name=name, kind="gpu", slots=others) if others else MachineType(name=name, kind="cpu", slots=max(vcpus, 1))


def memory_gib_of(described: Described) -> float:
    """The memory of one slot of a machine."""
    held = accelerators_of(described)
    if held is not None:
        return ACCELERATORS[held[0]].memory_gib
    machine = machine_type_of(described)
    for gpu in _parts(_part(described, "GpuInfo"), "Gpus"):
        return round(_whole(_part(gpu, "MemoryInfo").get("SizeInMiB")) / 1024, 1)
    return round(_whole(_part(described, "MemoryInfo").get("SizeInMiB")) / 1024 / machine.slots, 1)


def network_gbit(network: Described) -> float:
    """All network cards' peak together, where it is the same at all times; else what EC2 names, which may be a burst."""
    cards = sum(float(cast("float", card.get("PeakBandwidthInGbps") or 0.0)) for card in _parts(network, "NetworkCards"))
    named = re.search(r"(?:(\d+)x )?([\d.]+) Gigabit", str(network.get("NetworkPerformance", "")))
    if named is None:
        return cards
    return float(named[1] or 1) * float(named[2])


def _part(described: Described, name: str) -> Described:
    value = described.get(name)
    return value if isinstance(value, Mapping) else {}


def _parts(described: Described, name: str) -> list[Described]:
    value = described.get(name)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
