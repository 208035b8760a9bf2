"""Who may approve, how many, for how long, and what exactly: each protection with a control that takes it away."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError

from factory_infra.errors import NotFound, Unavailable
from tests.workflows.line import ADMIN, ANN, BOB, EVE, STRANGER, JsonObject, Line, plan, step
from tools.plan import Plan, PlanState, Verdict
from workflows.definitions import ballot as ballot_module
from workflows.definitions.ballot import Ballot
from workflows.messages import Decision, Who

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TWO = Verdict(decision="approve", approvals=2, expires_seconds=600)


def judged(verdict: Verdict, **fields: object) -> Plan:
    return plan(step("a"), verdict=verdict, **{"requested_by": "eve (3)", **fields})


def word(made: Plan, who: Who, *, approve: bool = True, **changed: object) -> Decision:
    return Decision.model_validate({"approve": approve, "digest": made.digest(), "who": who, **changed})


def refused(ballot: Ballot, decision: Decision, at: datetime = NOW) -> str:
    """The code with which a decision is refused."""
    with pytest.raises(ApplicationError) as raised:
        ballot.check(decision, at)
    return raised.value.type or ""


def given(ballot: Ballot, decision: Decision, at: datetime = NOW) -> None:
    ballot.check(decision, at)
    ballot.add(decision, at)


class TestBallot:
    def test_two_different_people_are_two(self) -> None:
        made = judged(TWO)
        ballot = Ballot(made)
        given(ballot, word(made, ANN))
        assert not ballot.complete(NOW)
        given(ballot, word(made, BOB))
        assert ballot.complete(NOW)
        assert ballot.approvers(NOW) == ["ann (1)", "bob (2)"]

    @pytest.mark.parametrize("actor", ["ann (1)", "ann (9)", "Ann (1)", "ANN"])
    def test_the_same_person_is_one_whichever_key_is_used(self, actor: str) -> None:
        made = judged(TWO)
        ballot = Ballot(made)
        given(ballot, word(made, ANN))
        assert refused(ballot, word(made, ANN.model_copy(update={"actor": actor}))) == "approval_refused"

    @pytest.mark.parametrize("may", [True, False])
    def test_the_requester_may_only_where_policy_says_so(self, may: bool) -> None:
        made = judged(TWO.model_copy(update={"approvals": 1, "requester_may_approve": may}), requested_by="Ann (7)")
        ballot = Ballot(made)
        if may:
            given(ballot, word(made, ANN))
        else:
            assert refused(ballot, word(made, ANN)) == "approval_refused"
        assert ballot.complete(NOW) is may

    @pytest.mark.parametrize(
        ("needed", "role", "may"),
        [("approver", "user", False), ("approver", "approver", True), ("admin", "approver", False), ("admin", "admin", True)],
    )
    def test_a_role_below_the_policys_does_not_count(self, needed: str, role: str, may: bool) -> None:
        made = judged(Verdict(decision="approve", approvals=1, role=needed))
        ballot, decision = Ballot(made), word(made, ANN.model_copy(update={"role": role}))
        if may:
            given(ballot, decision)
        else:
            assert refused(ballot, decision) == "approval_refused"
        assert ballot.complete(NOW) is may

    def test_an_approval_runs_out(self) -> None:
        made = judged(TWO)
        ballot, late = Ballot(made), NOW + timedelta(seconds=600)
        given(ballot, word(made, ANN))
        given(ballot, word(made, BOB), late)
        assert not ballot.complete(late)
        assert ballot.approvers(late) == ["bob (2)"]
        given(ballot, word(made, ANN), late)
        assert ballot.complete(late)

    def test_another_teams_sees_no_plan_whatever_digest_it_names(self) -> None:
        made = judged(TWO)
        assert refused(Ballot(made), word(made, STRANGER)) == "not_found"
        assert refused(Ballot(made), word(made, STRANGER, digest="0" * 64)) == "not_found"
        given(Ballot(made), word(made, ADMIN))

    @pytest.mark.parametrize("change", [{"title": "U"}, {"tenant": "language"}, {"revision": 2}, {"scope": {"tools": ["x"]}}])
    def test_whatever_is_altered_alters_the_digest(self, change: dict[str, object]) -> None:
        made = judged(TWO)
        altered = Plan.model_validate({**made.model_dump(), **change})
        assert refused(Ballot(made), word(made, ANN, digest=altered.digest())) == "digest_mismatch"

    def test_what_policy_refuses_nobody_may_approve(self) -> None:
        made = judged(Verdict(decision="refuse"))
        assert refused(Ballot(made), word(made, ADMIN)) == "approval_refused"

    def test_control_without_the_check_one_low_requester_is_a_crowd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ballot_module, "may_approve", lambda *_, **__: None)
        made = judged(TWO.model_copy(update={"requester_may_approve": False}))
        ballot = Ballot(made)
        for _ in range(2):
            given(ballot, word(made, EVE))
        assert ballot.complete(NOW)
        assert set(ballot.approvers(NOW)) == {"eve (3)"}

    def test_control_without_the_digest_another_plan_is_approved(self) -> None:
        made = judged(TWO.model_copy(update={"approvals": 1}))
        altered = made.model_copy(update={"steps": (step("a", arguments={"slots": 99}),)})
        careless = Ballot(altered)
        careless.digest = made.digest()
        given(careless, word(made, ANN))
        assert careless.complete(NOW)


@pytest.mark.stack
class TestWorkflow:
    async def test_two_people_and_then_it_runs(self, line: Line) -> None:
        made = judged(TWO)
        handle = await line.start(made)
        told = await line.decide(made, who=ANN)
        assert (told.state, told.approvals, told.approvals_needed) == (PlanState.PROPOSED, ["ann (1)"], 2)
        assert line.script.effects() == []
        with pytest.raises(ApplicationError) as raised:
            await line.decide(made, who=ANN)
        assert raised.value.type == "approval_refused"
        await line.decide(made, who=BOB)
        assert (await handle.result()).state is PlanState.DONE
        kept = [argument for name, argument in line.script.calls if name == "save_approval"]
        assert [(each["actor"], each["digest"], each["approve"]) for each in kept] == [
            ("ann (1)", made.digest(), True),
            ("bob (2)", made.digest(), True),
        ]
        assert line.script.event("approval.given") == {"actor": "ann (1)", "digest": made.digest(), "needed": 2, "given": 1}
        assert line.script.event("plan.approved")["actor"] == "ann (1), bob (2)"
        started = next(argument for name, argument in line.script.calls if name == "move_plan")
        assert (started["state"], started["digest"]) == ("running", made.digest())

    async def test_side_by_side_they_count_once_each(self, line: Line) -> None:
        made = judged(TWO)
        handle = await line.start(made)
        words = [line.decide(made, who=who) for who in (ANN, ANN, BOB, BOB)]
        answers = await asyncio.gather(*words, return_exceptions=True)
        assert len([each for each in answers if isinstance(each, ApplicationError)]) == 2
        assert (await handle.result()).state is PlanState.DONE
        assert line.script.effects() == ["run_step a"]

    async def test_a_refusal_of_the_second_is_a_refusal(self, line: Line) -> None:
        made = judged(TWO)
        handle = await line.start(made)
        await line.decide(made, who=ANN)
        await line.decide(made, who=BOB, approve=False, reason="No.")
        assert (await handle.result()).state is PlanState.REFUSED
        assert line.script.effects() == []

    async def test_one_that_ran_out_does_not_count(self, line: Line) -> None:
        made = judged(TWO.model_copy(update={"expires_seconds": 1.0}))
        handle = await line.start(made)
        await line.decide(made, who=ANN)
        await asyncio.sleep(1.1)
        told = await line.decide(made, who=BOB)
        assert (told.state, told.approvals) == (PlanState.PROPOSED, ["bob (2)"])
        await line.decide(made, who=ANN)
        assert (await handle.result()).state is PlanState.DONE

    async def test_a_replayed_one_counts_once(self, line: Line) -> None:
        made = judged(TWO.model_copy(update={"approvals": 1}))
        handle = await line.start(made)
        running = asyncio.Event()

        async def replay(_: JsonObject) -> JsonObject:
            try:
                await line.decide(made, who=ANN)
            except ApplicationError as error:
                assert error.type == "conflict"
                running.set()
            return {}

        line.script.on("run_step", "a", replay)
        await line.decide(made, who=ANN)
        assert (await handle.result()).state is PlanState.DONE
        assert running.is_set()
        assert line.script.called("save_approval") == [""]
        assert line.script.effects() == ["run_step a"]

    async def test_what_policy_lets_run_needs_nobody(self, line: Line) -> None:
        made = judged(Verdict(decision="run", policy="v1"))
        outcome = await (await line.start(made)).result()
        assert outcome.state is PlanState.DONE
        assert line.script.called("save_approval") == []
        assert line.script.event("plan.approved")["actor"] == "policy v1"


@pytest.mark.stack
class TestJudgedAnew:
    @pytest.mark.parametrize(
        ("now", "code"),
        [
            (Verdict(decision="refuse", code="too_much", reasons=("No more today.",)), "too_much"),
            (Verdict(decision="refuse"), "policy_refused"),
            (Verdict(decision="approve", approvals=2), "policy_changed"),
        ],
    )
    async def test_a_policy_that_became_stricter_counts(self, line: Line, now: Verdict, code: str) -> None:
        line.script.on("judge_plan", "", {"verdict": now.model_dump(mode="json")})
        outcome = await line.approved(judged(TWO.model_copy(update={"approvals": 1})))
        assert (outcome.state, outcome.code) == (PlanState.REFUSED, code)
        assert line.script.effects() == []
        assert "plan.refused" in line.script.events()

    async def test_what_ran_at_once_and_may_not_now_does_not(self, line: Line) -> None:
        line.script.on("judge_plan", "", {"verdict": Verdict(decision="approve", approvals=1).model_dump(mode="json")})
        outcome = await (await line.start(judged(Verdict(decision="run")))).result()
        assert (outcome.state, outcome.code) == (PlanState.REFUSED, "policy_changed")
        assert line.script.effects() == []

    async def test_what_nobody_can_judge_does_not_run(self, line: Line) -> None:
        line.script.on("judge_plan", "", NotFound("The policy cannot be read.", code="policy_invalid"))
        outcome = await line.approved(judged(TWO.model_copy(update={"approvals": 1})))
        assert (outcome.state, outcome.code) == (PlanState.REFUSED, "policy_invalid")
        assert line.script.effects() == []

    async def test_a_part_that_is_away_is_waited_for(self, line: Line) -> None:
        allowed: JsonObject = {"verdict": Verdict(decision="approve", approvals=1).model_dump(mode="json")}
        line.script.on("judge_plan", "", Unavailable("Away."), allowed)
        assert (await line.approved(judged(TWO.model_copy(update={"approvals": 1})))).state is PlanState.DONE
