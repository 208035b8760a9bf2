"""Starts in virtual time."""

from factory_infra.iaas.scheduling.predict import forward, starts
from tests.factory_infra.iaas.scheduling.worlds import scheduler, started, submitted, work


class TestPredict:
    def test_it_is_what_then_happens(self) -> None:
        core = scheduler()
        submitted(core, *(work(f"w{number}", 8, seconds=100.0 + number, submitted_at=float(number)) for number in range(8)))
        core.decide(8.0)
        told = {name: begun.at for name, begun in forward(core, list(core.pending), 8.0).items()}
        assert len(told) == 6
        seen: dict[str, float] = {}
        while core.running:
            now, name = min((running.ends_at, name) for name, running in core.running.items())
            core.finish(name, now)
            seen |= dict.fromkeys(started(core, now), now)
        assert seen == told

    def test_who_never_starts_is_left_out(self) -> None:
        core = submitted(scheduler(), work("too-large", 9))
        assert starts(core, ["too-large"], 0.0) == {}

    def test_the_same_question_has_the_same_answer(self) -> None:
        core = submitted(scheduler(), *(work(f"w{number}", 8) for number in range(5)))
        core.decide(0.0)
        first = starts(core, list(core.pending), 0.0)
        assert first == starts(core, list(core.pending), 0.0)
        assert all(forecast.starts_by[0] <= forecast.starts_at <= forecast.starts_by[1] for forecast in first.values())

    def test_one_that_overruns_is_believed_to_end_some_time(self) -> None:
        core = submitted(scheduler(), work("late", 8, members=2), work("next", 8, submitted_at=1.0))
        core.decide(1.0)
        core.decide(500.0)
        begun = forward(core, ["next"], 500.0)["next"]
        assert 500.0 < begun.at < 600.0
        assert begun.after == "late"
