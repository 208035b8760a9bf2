"""Constraints in words."""

import pytest

from factory_infra.iaas.scheduling import explain
from factory_infra.iaas.scheduling.models import Binding, Shape
from factory_infra.iaas.scheduling.policy import QuotaSpec
from factory_infra.iaas.scheduling.reasons import duration
from tests.factory_infra.iaas.scheduling.worlds import nodes, quotas, scheduler, submitted, work


class TestDiagnose:
    def test_what_a_cap_will_never_allow(self) -> None:
        core = submitted(scheduler(tree=quotas(QuotaSpec(name="a", limit={"gpus": 4}))), work("w", 8, "a"))
        assert core.why("w").binding is Binding.QUOTA
        assert core.why("w").detail == "it takes 8 GPUs, and a may never use more than 4 GPUs"

    def test_whom_a_reservation_is_for(self) -> None:
        core = submitted(scheduler(), work("running", 8))
        core.decide(0.0)
        submitted(core, work("head", 8, members=2, submitted_at=1.0), work("long", 1, seconds=1000.0, submitted_at=2.0))
        core.decide(2.0)
        assert core.why("long").detail == "it runs 16.7 min, and would delay 'head', which can start in 98 s"

    def test_only_machines_without_efa_are_free(self) -> None:
        core = scheduler(fleets={"pool": [*nodes(1), *nodes(1, model="A100", efa=True)]})
        asked = work("w", shape=Shape(0, 0, 1000, 8, network="efa"), submitted_at=1.0)
        submitted(core, work("linked", shape=Shape(0, 0, 1000, 8, network="efa")))
        core.decide(0.0)
        submitted(core, asked)
        core.decide(1.0)
        found = core.why("w")
        assert (found.binding, found.detail) == (
            Binding.TOPOLOGY,
            "no machine with EFA is free that would hold 8 GPUs, 0 cores, 0.0 GiB, EFA; others are",
        )
        assert [(advice.words, advice.starts_at) for advice in explain.advise(core, "w", 1.0)] == [("without EFA: now", 1.0)]

    def test_no_machine_has_efa(self) -> None:
        core = submitted(scheduler(), work("w", shape=Shape(0, 0, 1000, 8, network="efa")))
        core.decide(0.0)
        found = core.why("w")
        assert (found.binding, found.detail) == (
            Binding.TOPOLOGY,
            "pool pool has no machine with EFA that would hold 8 GPUs, 0 cores, 0.0 GiB",
        )

    def test_other_price_classes_are_free(self) -> None:
        fleets = {"pool": [*nodes(1), *nodes(1, model="A100", price_class="spot")]}
        core = submitted(scheduler(fleets=fleets), work("first", 8, pools=("pool",), shape=Shape(0, 0, 1000, 8, frozenset({"H100"}))))
        submitted(core, work("w", shape=Shape(0, 0, 1000, 8, price_classes=frozenset({"on_demand"}))))
        core.decide(0.0)
        assert core.why("w").binding is Binding.PRICE_CLASS

    def test_a_turn_that_has_not_come(self) -> None:
        core = submitted(scheduler(), work("w"))
        assert core.why("w").binding is Binding.FAIR_SHARE


@pytest.mark.parametrize(("seconds", "told"), [(-1, "0 s"), (90, "90 s"), (720, "12 min"), (9000, "2.5 h"), (180_000, "2.08 days")])
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told
