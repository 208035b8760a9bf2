"""Lines of workloads that ask for the same."""

from factory_infra.iaas.scheduling.ordering import Queue, key_of
from tests.factory_infra.iaas.scheduling.worlds import scheduler, submitted, work


class TestQueue:
    def test_those_that_ask_for_the_same_stand_in_one_line(self) -> None:
        core = submitted(scheduler(), work("b", 1, submitted_at=2.0), work("a", 1, submitted_at=1.0), work("large", 4, priority=1))
        queue = core.state.queues[core.state.quotas.node("team")]
        assert [[name for _, name in line] for line in queue.lines.values()] == [["a", "b"], ["large"]]
        assert list(queue) == ["large", "a", "b"]

    def test_an_empty_line_is_gone(self) -> None:
        core = submitted(scheduler(), work("only"))
        queue = core.state.queues[core.state.quotas.node("team")]
        other = queue.copy()
        queue.drop(core.state.entries["only"])
        assert queue.lines == {}
        assert list(other) == ["only"]
        assert Queue(0).lines == {}


def test_keys_follow_the_order() -> None:
    early, short = work("early", submitted_at=1.0), work("short", submitted_at=2.0, seconds=1.0)
    assert key_of("fifo", early, 1, 100.0) < key_of("fifo", short, 2, 1.0)
    assert key_of("shortest", early, 1, 100.0) > key_of("shortest", short, 2, 1.0)
    assert key_of("priority", work("high", priority=1), 2, 1.0) < key_of("priority", early, 1, 1.0)
