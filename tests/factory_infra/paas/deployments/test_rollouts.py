"""Roll-outs: a good version comes in step by step, a bad one goes back by itself, and whatever happens every request is answered."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.deployments import rollouts as module
from factory_infra.paas.deployments.rollout_models import RolloutState
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.deployments.traffic import Feedback
from factory_infra.paas.deployments.traffic_tables import RolloutRow
from factory_infra.paas.deployments.verdicts import HOLDS
from tests.factory_infra.paas.deployments.fakes import FakeServing, Place

pytestmark = pytest.mark.stack


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[Place]:
    """An endpoint that answers with version 1."""
    made = Place(database, tmp_path, FakeServing())
    await made.deploy()
    yield made
    await made.deployments.close()


class TestCanary:
    async def test_a_good_version_comes_in_step_by_step_and_the_old_one_goes(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = await place.begin(shares=[0.1, 0.5])
        assert begun.state is RolloutState.PREPARING and (await place.ask(20)) == {1: 20}
        running = await place.turn(begun.id)
        assert (running.state, running.step, running.share) == (RolloutState.RUNNING, 0, 0.1)
        seen = await place.ask(600)
        assert 20 < seen[2] < 120
        ended = await place.until_ended(begun.id)
        assert (ended.state, ended.step, ended.share) == (RolloutState.PROMOTED, 2, 1.0)
        assert (await place.ask(50)) == {2: 50}
        endpoint = await place.deployments.get("vision", "reader")
        assert (endpoint.version, endpoint.previous_version) == (2, 1)
        # What lost its traffic answers on for a moment, for processes that have not heard of it, and is then stopped.
        assert set(place.serving.up.values()) == {1, 2}
        monkeypatch.setattr(module, "DRAIN_SECONDS", -1.0)
        await place.turn(begun.id)
        assert set(place.serving.up.values()) == {2}
        assert [(move.state.value, move.step) for move in (await place.rollouts.report(begun.id, "vision")).moves] == [
            ("preparing", 0),
            ("running", 0),
            ("running", 1),
            ("promoted", 2),
        ]

    async def test_one_that_fails_at_one_percent_goes_back_by_itself_and_nobody_notices(self, place: Place) -> None:
        place.serving.fails = {2}
        begun = await place.begin(shares=[0.01, 0.5])
        await place.turn(begun.id)
        ended = await place.until_ended(begun.id, per_turn=300)
        assert (ended.state, ended.code, ended.step, ended.share) == (RolloutState.ROLLED_BACK, "error_rate", 0, 0.0)
        assert place.serving.asked[2] < 40 and await place.live_version() == 1
        assert (await place.ask(100)) == {1: 100}

    async def test_control_without_the_gate_the_same_version_would_come_in(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "judge", lambda *_: HOLDS)
        place.serving.fails = {2}
        begun = await place.begin(shares=[0.01])
        assert (await place.until_ended(begun.id)).state is RolloutState.PROMOTED

    async def test_a_slow_one_and_one_that_answers_otherwise_go_back(self, place: Place) -> None:
        place.serving.slow = {2: 0.02}
        slow = await place.begin(2, "plan-1/a", shares=[0.5], gates={"latency_p95_ms_max": 10})
        assert (await place.until_ended(slow.id, 100)).code == "latency"
        place.serving.wrong = {3}
        wrong = await place.begin(3, "plan-1/b", shares=[0.5], gates={"agreement_min": 0.9})
        assert (await place.until_ended(wrong.id, 100)).code == "agreement"

    async def test_one_that_refuses_rows_which_the_live_version_takes_is_blamed_and_one_that_both_refuse_is_not(self, place: Place) -> None:
        place.serving.refuses = {2}
        begun = await place.begin(shares=[0.9])
        assert (await place.until_ended(begun.id, 30)).code == "error_rate"
        place.serving.refuses = {1, 3}
        both = await place.begin(3, "plan-1/b", shares=[0.9])
        await place.turn(both.id)
        for _ in range(30):
            with pytest.raises(InvalidInput):
                await place.ask()
        assert (await place.turn(both.id)).state is RolloutState.RUNNING

    async def test_feedback_takes_one_back_that_is_wrong(self, place: Place) -> None:
        begun = await place.begin(shares=[0.5], gates={"accuracy_min": 0.8})
        await place.turn(begun.id)
        await place.ask(100)
        assert "right" in (await place.turn(begun.id)).reason
        for _ in range(30):
            await place.deployments.traffic.feedback("vision", "reader", Feedback("digits", 2, ["a"], ["b"]))
        ended = await place.turn(begun.id)
        assert (ended.state, ended.code) == (RolloutState.ROLLED_BACK, "accuracy")
        with pytest.raises(Conflict):
            await place.deployments.traffic.feedback("vision", "reader", Feedback("digits", 4, ["a"], ["b"]))

    async def test_one_whose_server_does_not_come_up_never_gets_a_request(self, place: Place) -> None:
        place.serving.unhealthy = {2}
        begun = await place.begin()
        ended = await place.turn(begun.id)
        assert (ended.state, ended.code) == (RolloutState.FAILED, "endpoint_unhealthy")
        assert (await place.ask(20)) == {1: 20} and place.serving.asked[2] == 0

    async def test_one_whose_server_dies_while_nobody_asks_is_started_again_and_one_that_keeps_dying_goes_back(self, place: Place) -> None:
        begun = await place.begin()
        await place.turn(begun.id)
        states = []
        for _ in range(3):
            place.serving.kill(2)
            states.append((await place.turn(begun.id)).state)
        assert states == [RolloutState.RUNNING, RolloutState.RUNNING, RolloutState.ROLLED_BACK]

    async def test_one_whose_server_does_not_come_up_again_goes_back(self, place: Place) -> None:
        begun = await place.begin()
        await place.turn(begun.id)
        place.serving.kill(2)
        place.serving.unhealthy = {2}
        ended = await place.turn(begun.id)
        assert (ended.state, ended.code) == (RolloutState.ROLLED_BACK, "endpoint_unhealthy")

    async def test_too_few_requests_decide_nothing_until_patience_ends(self, place: Place) -> None:
        begun = await place.begin(shares=[0.5])
        await place.turn(begun.id)
        waiting = await place.turn(begun.id)
        assert waiting.state is RolloutState.RUNNING and "of 20 requests" in waiting.reason
        short = await place.rollouts.abort(begun.id, "vision")
        assert short.state is RolloutState.ABORTED
        again = await place.begin(key="plan-2/rollout", shares=[0.5], patience_seconds=600)
        await place.turn(again.id)
        async with place.database.transaction() as session:
            await session.execute(update(RolloutRow).values(step_at=utcnow() - timedelta(hours=1)))
        ended = await place.turn(again.id)
        assert (ended.state, ended.code) == (RolloutState.ROLLED_BACK, "undecided")


class TestBlueGreen:
    async def test_all_requests_move_at_once_and_back_at_once(self, place: Place) -> None:
        begun = await place.begin(strategy="blue_green", requests_min=100)
        await place.turn(begun.id)
        assert (await place.ask(30)) == {2: 30} and await place.live_version() == 1
        starts = place.serving.starts
        place.serving.fails = {2}
        ended = await place.until_ended(begun.id, 30)
        assert ended.state is RolloutState.ROLLED_BACK and (await place.ask(10)) == {1: 10}
        assert place.serving.starts == starts  # what was live stood by: nothing had to be started

    async def test_it_is_promoted_where_it_held(self, place: Place) -> None:
        begun = await place.begin(strategy="blue_green")
        assert (await place.until_ended(begun.id)).state is RolloutState.PROMOTED
        assert await place.live_version() == 2


class TestShadow:
    async def test_its_answers_are_compared_and_never_returned(self, place: Place) -> None:
        place.serving.wrong = {2}
        begun = await place.begin(strategy="shadow", gates={"agreement_min": 0.9}, promote=False)
        await place.turn(begun.id)
        answers = [await place.deployments.predict("vision", "reader", [[1.0]]) for _ in range(60)]
        assert {(each.version, each.labels[0]) for each in answers} == {(1, "right")}
        await asyncio.sleep(0)
        assert place.serving.asked[2] > 20
        ended = await place.until_ended(begun.id)
        assert (ended.state, ended.code) == (RolloutState.ROLLED_BACK, "agreement")

    async def test_one_that_agrees_ends_as_asked(self, place: Place) -> None:
        compared = await place.begin(strategy="shadow", gates={"agreement_min": 0.9}, promote=False)
        assert (await place.until_ended(compared.id)).state is RolloutState.FINISHED
        assert await place.live_version() == 1
        promoted = await place.begin(2, "plan-2/rollout", strategy="shadow", gates={"agreement_min": 0.9})
        assert (await place.until_ended(promoted.id)).state is RolloutState.PROMOTED

    async def test_a_shadow_that_fails_or_hangs_holds_nobody_up(self, place: Place) -> None:
        place.serving.slow = {2: 30.0}
        begun = await place.begin(strategy="shadow")
        await place.turn(begun.id)
        async with asyncio.timeout(10):
            assert (await place.ask(100)) == {1: 100}
        place.serving.slow = {}
        await place.deployments.traffic.abandon()


class TestHands:
    async def test_the_same_key_is_the_same_rollout_and_another_one_is_refused(self, place: Place) -> None:
        begun = await place.begin()
        assert (await place.begin()).id == begun.id
        with pytest.raises(Conflict) as raised:
            await place.begin(key="plan-2/rollout")
        assert raised.value.error_code == "rollout_open"
        with pytest.raises(Conflict) as raised:
            await place.begin(3)
        assert raised.value.error_code == "key_reused"
        with pytest.raises(Conflict) as raised:
            await place.deployments.deploy("vision", "reader", "digits", 3, "deploy/3")
        assert raised.value.error_code == "rollout_open"

    async def test_what_cannot_be_rolled_out_is_said(self, place: Place) -> None:
        with pytest.raises(Conflict) as raised:
            await place.begin(1)
        assert raised.value.error_code == "rollout_same"
        with pytest.raises(NotFound):
            await place.begin(99)
        with pytest.raises(NotFound):
            await place.rollouts.get("ro-none", "vision")

    async def test_another_team_does_not_find_it(self, place: Place) -> None:
        begun = await place.begin()
        for act in (place.rollouts.get, place.rollouts.report, place.rollouts.pause, place.rollouts.abort):
            with pytest.raises(NotFound):
                await act(begun.id, "language")
        assert await place.rollouts.list("language") == [] and [each.id for each in await place.rollouts.list("vision")] == [begun.id]

    async def test_a_held_one_goes_no_further_but_back(self, place: Place) -> None:
        begun = await place.begin(shares=[0.3, 0.6])
        await place.turn(begun.id)
        await place.rollouts.pause(begun.id, "vision")
        await place.ask(200)
        assert (await place.turn(begun.id)).step == 0
        place.serving.fails = {2}
        assert (await place.until_ended(begun.id)).state is RolloutState.ROLLED_BACK
        with pytest.raises(Conflict):
            await place.rollouts.resume(begun.id, "vision")

    async def test_while_effects_are_stopped_it_may_only_go_back(self, place: Place) -> None:
        begun = await place.begin(shares=[0.3])
        for _ in range(4):
            assert (await place.rollouts.turn(begun.id, may_advance=False)).state is RolloutState.PREPARING
        await place.turn(begun.id)
        await place.ask(200)
        await place.deployments.traffic.tally.write()
        assert (await place.rollouts.turn(begun.id, may_advance=False)).state is RolloutState.RUNNING
        assert (await place.rollouts.turn(begun.id)).state is RolloutState.PROMOTED

    async def test_retiring_the_endpoint_ends_it_and_stops_both(self, place: Place) -> None:
        begun = await place.begin()
        await place.turn(begun.id)
        await place.deployments.retire("vision", "reader", "plan-3/retire")
        assert (await place.rollouts.get(begun.id, "vision")).state is RolloutState.ABORTED and place.serving.up == {}

    async def test_a_promoted_one_can_be_rolled_back(self, place: Place) -> None:
        begun = await place.begin(strategy="blue_green")
        await place.until_ended(begun.id)
        back = await place.deployments.rollback("vision", "reader", "plan-1/undo")
        assert back is not None and back.version == 1 and (await place.ask(10)) == {1: 10}


class TestProcesses:
    async def test_many_processes_take_turns_at_once_and_each_step_is_taken_once(self, place: Place) -> None:
        begun = await place.begin(shares=[0.2, 0.4, 0.6])
        others = [Rollouts(place.database, place.another()) for _ in range(4)]
        for _ in range(12):
            place.deployments.traffic.routes.forget("vision", "reader")
            await place.ask(150)
            await place.deployments.traffic.tally.write()
            turned = await asyncio.gather(*(each.turn(begun.id) for each in others))
            if turned[0].state.ended:
                break
        moves = (await place.rollouts.report(begun.id, "vision")).moves
        assert [(move.number, move.step) for move in moves] == [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3)]
        assert moves[-1].state is RolloutState.PROMOTED

    async def test_a_process_that_has_not_heard_of_a_switch_is_answered_all_the_same(self, place: Place) -> None:
        other = place.another()
        await other.predict("vision", "reader", [[1.0]])
        begun = await place.begin(strategy="blue_green")
        await place.until_ended(begun.id)
        place.serving.up = {job: version for job, version in place.serving.up.items() if version == 2}
        assert (await other.predict("vision", "reader", [[1.0]])).version == 2
        await other.close()

    async def test_one_that_was_cut_off_while_it_started_is_started_once_more_under_the_same_id(self, place: Place) -> None:
        begun = await place.begin()
        place.serving.start_seconds = 30
        cut = asyncio.create_task(place.rollouts.turn(begun.id))
        while place.serving.starts < 2:  # noqa: ASYNC110 - it is being started
            await asyncio.sleep(0.005)
        cut.cancel()
        await asyncio.wait({cut})
        place.serving.start_seconds = 0
        assert (await Rollouts(place.database, place.another()).turn(begun.id)).state is RolloutState.RUNNING
        assert list(place.serving.up.values()).count(2) == 1
