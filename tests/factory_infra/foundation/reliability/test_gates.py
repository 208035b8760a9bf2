"""What engines are told when a node is drained and resumed."""

from pathlib import Path

import pytest

from factory_infra.errors import Forbidden
from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands
from factory_infra.foundation.pools.spec import KubernetesPool, LocalPool, SlurmPool
from factory_infra.foundation.reliability.gates import Gate, gate_of

SLURM = SlurmPool(name="hpc", partition="gpu", work_dir=Path("/tmp"))


def gate(pool: SlurmPool | KubernetesPool) -> Gate:
    found = gate_of(pool)
    assert found is not None
    return found


async def test_slurm_drains_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def said(self: SlurmCommands, ask: Ask) -> Said:
        asked.append([*ask.argv])
        return Said(0, "", "")

    monkeypatch.setattr(SlurmCommands, "ask", said)
    await gate(SLURM).close("gpu-1", "The GPU has\nfallen off the bus.")
    await gate(SLURM).open("gpu-1")
    assert asked == [
        ["scontrol", "update", "NodeName=gpu-1", "State=DRAIN", "Reason=lineshaft: The GPU has fallen off the bus."],
        ["scontrol", "update", "NodeName=gpu-1", "State=RESUME"],
    ]


async def test_one_that_is_open_already_may_be_opened_and_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "slurm_update error: Invalid node state specified"
    monkeypatch.setattr(SlurmCommands, "ask", lambda self, ask: Said(1, "", words))
    await gate(SLURM).open("gpu-1")
    monkeypatch.setattr(SlurmCommands, "ask", lambda self, ask: Said(1, "", "slurm_update error: Access/permission denied"))
    for refused in (gate(SLURM).open("gpu-1"), gate(SLURM).close("gpu-1", "")):
        with pytest.raises(Forbidden):
            await refused


async def test_kubernetes_cordons(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, object]] = []

    async def patch(self: Kubernetes, path: str, change: dict[str, object], params: object = None) -> None:
        sent.append((path, change))

    monkeypatch.setattr(Kubernetes, "patch", patch)
    pool = KubernetesPool(name="k8s")
    await gate(pool).close("gpu-1", "")
    await gate(pool).open("gpu-1")
    assert sent == [("/api/v1/nodes/gpu-1", {"spec": {"unschedulable": each}}) for each in (True, False)]


def test_where_we_place_ourselves_there_is_none() -> None:
    assert gate_of(LocalPool(name="local")) is None
