"""What accelerators there are: one table of types and their properties, and one name for what drivers and engines call differently."""

import difflib
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.errors import InvalidInput

AcceleratorKind = Literal["gpu", "neuron"]


class Accelerator(BaseModel):
    """One type of accelerator, as its maker describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(description="Our name for it: what leases, plans and the price book say.")
    maker: Literal["NVIDIA", "AWS"]
    kind: AcceleratorKind
    memory_gib: float = Field(description="As the maker sells it: what a driver tells is a little less.")
    memory_gb_per_second: int
    interconnect: str = Field(default="", description="What joins several of them in one machine; empty where only PCIe does.")
    interconnect_gb_per_second: int = Field(default=0, description="Both directions together, of one accelerator.")
    cores: int = Field(default=0, description="Of a Neuron device: its NeuronCores. A program sees each as a device.")
    mig_profiles: tuple[str, ...] = ()

    @property
    def mig(self) -> bool:
        """Whether it can be cut into instances with memory of their own."""
        return bool(self.mig_profiles)


def _mig(*memories_gib: int) -> tuple[str, ...]:
    """Names of the profiles of an accelerator with seven slices, from the memory of 1g, 2g, 3g, 4g and 7g."""
    return tuple(f"{slices}g.{memory}gb" for slices, memory in zip((1, 2, 3, 4, 7), memories_gib, strict=True))


def _gpu(name: str, memory_gib: float, bandwidth: int, nvlink: int, mig: tuple[str, ...] = ()) -> Accelerator:
    return Accelerator(
        type=name,
        maker="NVIDIA",
        kind="gpu",
        memory_gib=memory_gib,
        memory_gb_per_second=bandwidth,
        interconnect="NVLink" if nvlink else "",
        interconnect_gb_per_second=nvlink,
        mig_profiles=mig,
    )


def _neuron(name: str, memory_gib: float, bandwidth: int, link: int, cores: int) -> Accelerator:
    return Accelerator(
        type=name,
        maker="AWS",
        kind="neuron",
        memory_gib=memory_gib,
        memory_gb_per_second=bandwidth,
        interconnect="NeuronLink",
        interconnect_gb_per_second=link,
        cores=cores,
    )


ACCELERATORS: dict[str, Accelerator] = {
    each.type: each
    for each in (
        _gpu("A100-40GB", 40, 1555, 600, _mig(5, 10, 20, 20, 40)),
        _gpu("A100-80GB", 80, 2039, 600, _mig(10, 20, 40, 40, 80)),
        _gpu("H100", 80, 3350, 900, _mig(10, 20, 40, 40, 80)),
        _gpu("H200", 141, 4800, 900, _mig(18, 35, 71, 71, 141)),
        _gpu("B200", 180, 8000, 1800, _mig(23, 45, 90, 90, 180)),
        _gpu("L4", 24, 300, 0),
        _gpu("L40S", 48, 864, 0),
        _neuron("Trainium1", 32, 820, 768, 2),
        _neuron("Trainium2", 96, 2900, 1280, 8),
        _neuron("Inferentia2", 32, 820, 192, 2),
    )
}
"""By type. Bandwidths are peaks of the data sheets (SXM forms where there are several)."""

_ALIASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\bb200\b", "B200"),
        (r"\bh200\b", "H200"),
        (r"\bh100\b", "H100"),
        (r"\ba100\b.*\b80 ?g[bi]?b?\b|\b80 ?gb\b.*\ba100\b", "A100-80GB"),
        (r"\ba100\b", "A100-40GB"),
        (r"\bl40s\b", "L40S"),
        (r"\bl4\b", "L4"),
        (r"\b(?:trainium ?2|trn2)\b", "Trainium2"),
        (r"\b(?:trainium ?1?|trn1n?)\b", "Trainium1"),
        (r"\b(?:inferentia ?2|inf2)\b", "Inferentia2"),
    )
)
MEMORY_80_GIB_MIN = 60.0


def normalise(name: str, memory_gib: float | None = None) -> str:
    """Return the catalogue's type for what a driver, an engine or a person calls an accelerator; "" for one that it does not know.

    Takes NVML's "NVIDIA H100 80GB HBM3", Slurm's "gpu:h100" and "h100:8", Kubernetes' "NVIDIA-H100-80GB-HBM3", AWS' "A100" with its
    memory, and also one's MIG slice. An A100 is told apart by a memory in its name, else by `memory_gib`, else it is the smaller one.
    """
    words = re.sub(r"[^a-z0-9.]+", " ", name.lower()).strip()
    words = re.sub(r"\b(?:a100|h100|h200|b200)(?=\d+gb\b)", lambda found: found[0] + " ", words)
    for pattern, known in _ALIASES:
        if pattern.search(words):
            larger = known == "A100-40GB" and memory_gib is not None and memory_gib >= MEMORY_80_GIB_MIN
            return "A100-80GB" if larger else known
    return ""


def types_named(name: str) -> tuple[str, ...]:
    """Return the types that a person means: one, or both of "A100". Raises InvalidInput with names that are near."""
    if re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("nvidia") == "a100":
        return ("A100-40GB", "A100-80GB")
    found = normalise(name)
    if not found:
        raise unknown("accelerator", name, ACCELERATORS)
    return (found,)


def unknown(what: str, name: str, known: "dict[str, Accelerator] | list[str]", code: str = "accelerator_unknown") -> InvalidInput:
    """The error for a name that is in no catalogue, with those that are near it."""
    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(lower.values())[:20])}."
    return InvalidInput(f"There is no {what} '{name[:60]}' in the catalogue.", remedy=hint, code=code)
