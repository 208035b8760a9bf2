"""Burn-ins kept, nodes judged and withdrawn, over a real database."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import CapacityExceeded, NotFound
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.validation.baseline import Baseline, baseline_file, write_baseline
from factory_infra.foundation.validation.models import BurnIn, Component, Measurement, NodeVerdict, Stack
from factory_infra.foundation.validation.service import Origin, Validation
from factory_infra.iaas.leases.interface import Fitness
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.service import Leases

pytestmark = pytest.mark.stack


def run(value: float, driver: str | None = None) -> BurnIn:
    now = datetime.now(UTC)
    measured = Measurement(benchmark="matmul", value=value, unit="GFLOP/s")
    stack = Stack(host="h", at=now, components=[Component(name="driver", version=driver)]) if driver else None
    return BurnIn(host="h", machine_type="m", at=now, seconds=1, measurements=[measured], stack=stack)


def at(node: str, job: str = "job-1", tenant: str = "vision", pool: str = "gpus") -> Origin:
    return Origin(pool=pool, node=node, job_id=f"{job}-{node}", tenant=tenant)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.verdicts: list[tuple[str, str]] = []

    async def node_judged(self, verdict: NodeVerdict) -> None:
        self.verdicts.append((verdict.node, verdict.fitness))


async def fleet(service: Validation, **values: float) -> None:
    for node, value in values.items():
        await service.record(run(value), at(node))


class TestVerdicts:
    async def test_a_node_below_its_fleet_is_unfit_and_said_once(self, database: Database, tmp_path: Path) -> None:
        heard = Heard()
        service = Validation(database, tmp_path, [heard])
        await fleet(service, n1=100, n2=100, n3=50)
        assert await service.unfit("gpus") == set()
        verdict = await service.record(run(100), at("n4"))
        assert verdict.fitness == "fit"
        assert await service.unfit("gpus") == {"n3"}
        await service.record(run(100), at("n5"))
        assert heard.verdicts == [("n3", "unfit")]
        assert await service.unfit("elsewhere") == set()

    async def test_a_better_burn_in_hands_it_out_again(self, database: Database, tmp_path: Path) -> None:
        heard = Heard()
        service = Validation(database, tmp_path, [heard])
        await fleet(service, n1=100, n2=100, n3=50, n4=100)
        assert (await service.record(run(98), at("n3", "job-2"))).fitness == "fit"
        assert await service.unfit("gpus") == set()
        assert heard.verdicts == [("n3", "unfit"), ("n3", "fit")]
        assert [each.measurements[0].value for each in await service.burn_ins("gpus", "n3")] == [98, 50]

    async def test_the_same_job_is_kept_once(self, database: Database, tmp_path: Path) -> None:
        service = Validation(database, tmp_path)
        for _ in range(2):
            await service.record(run(100), at("n1"))
        assert len(await service.burn_ins("gpus", "n1")) == 1

    async def test_wrong_software_makes_it_unfit(self, database: Database, tmp_path: Path) -> None:
        write_baseline(baseline_file(tmp_path, "gpus"), Baseline.model_validate({"software": {"driver": {"min": "550"}}}))
        service = Validation(database, tmp_path)
        verdict = await service.record(run(100, driver="470.1"), at("n1"))
        assert (verdict.fitness, verdict.reasons) == ("unfit", ["driver is 470.1; at least 550 is wanted."])

    async def test_only_operators_count_where_they_are_named(self, database: Database, tmp_path: Path) -> None:
        rules = {"burn_in": {"operators": ["platform"], "floors": {"matmul": 90}}}
        write_baseline(baseline_file(tmp_path, "gpus"), Baseline.model_validate(rules))
        service = Validation(database, tmp_path)
        assert (await service.record(run(1), at("n1"))).fitness == "unknown"
        assert await service.unfit("gpus") == set()
        assert (await service.record(run(1), at("n1", "job-2", "platform"))).fitness == "unfit"
        assert await service.unfit("gpus") == {"n1"}

    async def test_what_is_forgotten_is_handed_out(self, database: Database, tmp_path: Path) -> None:
        service = Validation(database, tmp_path)
        await fleet(service, n1=100, n2=100, n3=50, n4=100)
        await service.forgive("gpus", "n3")
        assert await service.unfit("gpus") == set()
        assert [each.node for each in await service.verdicts("gpus")] == ["n1", "n2", "n4"]
        with pytest.raises(NotFound):
            await service.forgive("gpus", "n3")


class TwoNodes:
    """A pool with a slot in each of two nodes."""

    async def pool(self, name: str = "") -> Pool:
        return Pool(name="gpus", slots=[Slot(index=at, kind="cpu", name="core", memory_gib=1, node=f"n{at + 3}") for at in range(2)])


class TestLeases:
    @pytest.mark.parametrize(("protected", "slots"), [(True, [1]), (False, [0])])
    async def test_an_unfit_node_is_not_handed_out(self, protected: bool, slots: list[int], database: Database, tmp_path: Path) -> None:
        """With the protection off it is: that is the control."""
        service = Validation(database, tmp_path)
        await fleet(service, n1=100, n2=100, n3=50, n4=100)
        judges: list[Fitness] = [service] if protected else []
        leases = Leases(database, TwoNodes(), fitness=judges)
        await leases.set_quota("vision", 4)
        lease = await leases.acquire(LeaseRequest(tenant="vision", slots=1, key="one"))
        assert lease.slots == slots
        if protected:
            with pytest.raises(CapacityExceeded, match="below their threshold"):
                await leases.acquire(LeaseRequest(tenant="vision", slots=1, key="two"))
