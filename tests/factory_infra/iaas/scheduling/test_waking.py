"""Only what may have changed is looked at again."""

from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.passes import Pass
from factory_infra.iaas.scheduling.queueing import Scheduler
from tests.factory_infra.iaas.scheduling.worlds import scheduler, started, submitted, work


def examined(core: Scheduler, now: float) -> set[str]:
    """What a pass would look at."""
    copy = core.copy()
    copy.state.now = now
    copy.waking.due(copy.state)
    made = Pass(copy.state, copy.waking)
    made.run()
    return set(made.examined)


class TestWaking:
    def test_nothing_is_looked_at_when_nothing_changed(self) -> None:
        core = submitted(
            scheduler(), *(work(f"w{number}", 8, "a") for number in range(4)), *(work(f"v{number}", 4, "b") for number in range(4))
        )
        core.decide(0.0)
        assert examined(core, 1.0) <= set(core.reserved)

    def test_an_end_wakes_those_it_has_room_for(self) -> None:
        core = submitted(scheduler(), *(work(f"small{number}", 1) for number in range(16)))
        core.decide(0.0)
        submitted(core, work("head", 8, "b", submitted_at=1.0), work("large", 8, "c", submitted_at=2.0))
        submitted(core, work("cores", queue="d", shape=Shape(cpu_milli=200_000), submitted_at=2.0))
        core.decide(2.0)
        core.finish("small3", 3.0)
        assert examined(core, 3.0) <= {"head"}

    def test_its_own_time_wakes_it(self) -> None:
        core = submitted(scheduler(), work("later", not_before=50.0))
        assert started(core, 0.0) == []
        assert started(core, 49.0) == []
        assert started(core, 50.0) == ["later"]
