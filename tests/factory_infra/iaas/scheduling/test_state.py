"""A copy goes its own way, and what a fleet's owner does outside is noticed."""

from tests.factory_infra.iaas.scheduling.worlds import scheduler, submitted, work


class TestState:
    def test_a_copy_goes_its_own_way(self) -> None:
        core = submitted(scheduler(), work("running", 8), work("head", 8, members=2, submitted_at=1.0))
        core.decide(1.0)
        copy = core.copy()
        copy.finish("running", 5.0)
        assert [start.workload for start in copy.decide(5.0).starts] == ["head"]
        assert list(core.pending) == ["head"]
        assert core.fleets["pool"].used_milli == 8000
        assert core.reserved == ("head",)

    def test_a_copy_notices_what_the_original_has_not_seen_yet(self) -> None:
        core = submitted(scheduler(), work("w", 8, members=2))
        core.fleets["pool"].set_fit(0, False)
        core.decide(0.0)
        core.fleets["pool"].set_fit(0, True)
        assert [start.workload for start in core.copy().decide(1.0).starts] == ["w"]

    def test_what_can_never_be_is_known(self) -> None:
        core = submitted(scheduler(), work("too-large", 9), work("apart", 4, members=3, topology="node"), work("fine", 4, members=4))
        hopeless = {name: core.state.hopeless(entry) for name, entry in core.state.entries.items()}
        assert hopeless == {"too-large": True, "apart": True, "fine": False}
