"""Whether and where a workload can start."""

from factory_infra.iaas.scheduling.admission import Block, Fit, fit
from factory_infra.iaas.scheduling.models import Binding, Shape
from factory_infra.iaas.scheduling.policy import QuotaSpec
from factory_infra.iaas.scheduling.queueing import Scheduler
from tests.factory_infra.iaas.scheduling.worlds import nodes, quotas, scheduler, submitted, work

TYPES = {"pool": [*nodes(1), *nodes(1, model="A100")]}


def asked(core: Scheduler, name: str) -> Fit | Block:
    core.state.now = 0.0
    return fit(core.state, core.state.entries[name])


class TestFit:
    def test_nothing_is_taken(self) -> None:
        core = submitted(scheduler(), work("w", 8, members=2))
        assert isinstance(asked(core, "w"), Fit)
        assert core.fleets["pool"].used_milli == 0

    def test_a_gpu_type_whose_quota_is_used_up_is_left_out(self) -> None:
        core = submitted(scheduler(tree=quotas(QuotaSpec(name="team", limit={"gpus:H100": 2})), fleets=TYPES), work("w", 4))
        found = asked(core, "w")
        assert isinstance(found, Fit)
        assert core.fleets["pool"].spec(found.seats[0].node).model == "A100"

    def test_and_if_no_other_will_do_it_is_the_quota(self) -> None:
        core = scheduler(tree=quotas(QuotaSpec(name="team", limit={"gpus:H100": 2})), fleets=TYPES)
        submitted(core, work("w", shape=Shape(0, 0, 1000, 4, frozenset({"H100"}))))
        found = asked(core, "w")
        assert isinstance(found, Block)
        assert found.binding is Binding.QUOTA

    def test_one_that_does_not_fit_answers_for_its_kind(self) -> None:
        core = submitted(scheduler(), work("other", 8, members=2))
        core.decide(0.0)
        submitted(core, work("w", 4), work("v", 4))
        assert asked(core, "w") == Block(Binding.CAPACITY)
        assert core.state.full[core.state.entries["v"].kind] == core.state.stamp(core.state.entries["v"].kind)
        core.finish("other", 1.0)
        assert isinstance(asked(core, "v"), Fit)
