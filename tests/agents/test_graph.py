"""The dispatch graph: what becomes of a draft, a question, a refusal, a reply and a reading."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import JsonValue

from agents.memory import RECENT_CHARACTERS_MAX
from agents.planning.interface import ModelQuestion, Pending, Question, Refusal, Reply
from agents.state import RECENT_MAX, Memory
from tests.agents.ports import NOW, ScriptedPorts, draft, foreseen, planning, run, said, step, turn
from tools.plan import DryRun, Effect, Price, Step
from tools.ports import JsonObject

NEAR_TIE = ModelQuestion(id="q1", system="s", user="u", choices=["yes", "no"])
PENDING = Pending(playbook="p", slots={"slots": 2}, asked="team", request="train")


def lease() -> Step:
    return step("lease", slots=1)


def release() -> Step:
    return step("release", "leases.release", effect=Effect.WRITE, lease_id={"from_step": "lease", "field": "lease_id"})


def train() -> Step:
    return step("train", "training.run", "trainer")


class Meeting(ScriptedPorts):
    """Lets two specialists go on only when both have begun."""

    def __init__(self, base: ScriptedPorts) -> None:
        super().__init__(**base.answers)
        self.barrier = asyncio.Barrier(2)

    async def call(self, activity: str, argument: Mapping[str, JsonValue]) -> JsonObject:
        """Wait for the other specialist."""
        if activity == "foresee_step":
            await asyncio.wait_for(self.barrier.wait(), 5)
        return await super().call(activity, argument)


class TestDraft:
    async def test_becomes_a_plan_in_its_own_order_with_the_sum_of_prices(self) -> None:
        ports = planning(draft(lease(), train(), release(), notes=["One slot by default."]))
        prices = {
            "lease": Price(low=Decimal("0.1"), high=Decimal(2), basis="slots"),
            "train": Price(low=Decimal("0.2"), high=Decimal(3), basis="tokens"),
        }
        ports.answers["foresee_step"] = lambda argument: foreseen(argument, price=prices.get(Step.model_validate(argument["step"]).id))
        plan = (await run(ports)).plan
        assert plan is not None
        assert [each.id for each in plan.steps] == ["lease", "train", "release"]
        assert (plan.price.low, plan.price.high, plan.price.basis) == (Decimal("0.3"), Decimal(5), "slots; tokens")
        assert (plan.id, plan.tenant, plan.thread_id, plan.requested_by) == ("plan-1-1", "vision", "thread-1", "ann")
        assert plan.notes == ("One slot by default.",)
        assert plan.expires_at == NOW + timedelta(days=1)
        assert plan.planner == "playbook (no model)"

    async def test_the_digest_names_every_step_and_the_price(self) -> None:
        ports = planning(draft(lease()))
        first, again = (await run(ports)).plan, (await run(ports)).plan
        ports.answers["foresee_step"] = lambda argument: foreseen(argument, price=Price(high=Decimal(1)))
        dearer = (await run(ports)).plan
        other = (await run(planning(draft(step("lease", slots=2))))).plan
        assert first is not None and again is not None and dearer is not None and other is not None
        assert first.digest() == again.digest()
        assert len({first.digest(), dearer.digest(), other.digest()}) == 3

    async def test_each_specialist_foresees_its_own_steps_side_by_side(self) -> None:
        ports = Meeting(planning(draft(lease(), train())))
        assert (await run(ports)).plan is not None
        started = {str(each["agent"]): each["steps"] for each in ports.emitted("agent.started") if each["agent"] != "dispatcher"}
        assert started == {"provisioner": ["lease"], "trainer": ["train"]}

    async def test_nothing_but_reads_and_dry_runs_is_called(self) -> None:
        ports = planning(draft(lease(), train(), release()))
        await run(ports)
        assert {name for name, _ in ports.calls} == {"read_situation", "rank_request", "settle_request", "foresee_step", "judge_plan"}

    async def test_a_dry_run_names_the_key_of_the_later_effect(self) -> None:
        ports = planning(draft(lease()))
        await run(ports)
        asked = ports.called("foresee_step")[0]
        assert (asked["key"], asked["tenant"], asked["plan_id"]) == ("plan-1-1/lease", "vision", "plan-1-1")

    async def test_what_cannot_work_is_refused_and_not_proposed(self) -> None:
        ports = planning(draft(lease(), train(), slots={"slots": 9}))
        no = DryRun(feasible=False, code="quota_exceeded", reason="Too many.", remedy="Ask for at most 2.")
        ports.answers["foresee_step"] = lambda argument: foreseen(
            argument, no if Step.model_validate(argument["step"]).id == "lease" else None
        )
        result = await run(ports)
        assert result.plan is None
        told = ports.emitted("refusal")
        assert [(each["code"], each["reason"], each["remedy"]) for each in told] == [("quota_exceeded", "Too many.", "Ask for at most 2.")]
        assert result.memory.pending is not None
        assert result.memory.pending.slots == {"slots": 9}

    @pytest.mark.parametrize(
        "stray", [step("x", "leases.acquire", "librarian"), step("x", "jobs.cancel", "provisioner"), step("x", "leases.acquire", "nobody")]
    )
    async def test_a_tool_outside_the_agents_roster_is_refused_unseen(self, stray: Step) -> None:
        ports = planning(draft(lease(), stray))
        assert (await run(ports)).plan is None
        assert [each["code"] for each in ports.emitted("refusal")] == ["tool_out_of_scope"]
        assert [Step.model_validate(each["step"]).id for each in ports.called("foresee_step")] == ["lease"]


class TestWords:
    async def test_a_question_is_asked_and_kept_open(self) -> None:
        ports = planning(Question(text="Which team?", options=["vision", "language"], pending=PENDING))
        result = await run(ports)
        assert ports.emitted("question") == [{"text": "Which team?", "options": ["vision", "language"]}]
        assert result.plan is None
        assert result.memory.pending == PENDING

    async def test_a_refusal_says_code_reason_and_remedy(self) -> None:
        ports = planning(Refusal(code="dataset_unknown", reason="No such data.", remedy="Choose digits."))
        assert (await run(ports)).plan is None
        assert ports.emitted("refusal") == [{"code": "dataset_unknown", "reason": "No such data.", "remedy": "Choose digits."}]

    async def test_a_refusal_keeps_what_can_be_amended(self) -> None:
        result = await run(planning(Refusal(code="quota_exceeded", reason="r", remedy="m", pending=PENDING)))
        assert result.memory.pending == PENDING

    async def test_a_reply_closes_what_was_open(self) -> None:
        ports = planning(Reply(text="Gladly."))
        result = await run(ports, turn("never mind", Memory(pending=PENDING)))
        assert [each["text"] for each in ports.emitted("message.assistant")] == ["Gladly."]
        assert result.memory.pending is None

    async def test_the_memory_is_bounded(self) -> None:
        memory = Memory()
        for number in range(20):
            memory = (await run(planning(Reply(text="x")), turn(f"{number} " + "a" * 5000, memory))).memory
        assert len(memory.recent) == RECENT_MAX
        assert memory.recent[-1].startswith("19 ")
        assert max(len(text) for text in memory.recent) == RECENT_CHARACTERS_MAX


class TestReading:
    def best(self) -> Step:
        return step("best", "registry.best", "librarian", Effect.READ, dataset="digits")

    def cost(self) -> Step:
        return step("cost", "metering.cost", "librarian", Effect.READ, subject="model", name={"from_step": "best", "field": "model_name"})

    def version(self) -> JsonObject:
        return {
            "model_name": "digits",
            "version": 3,
            "algorithm": "svm",
            "accuracy": 0.9712,
            "dataset": "digits",
            "dataset_digest": "abcdef0123456789",
            "entry_id": "model/vision/digits/3",
            "run_url": "http://mlflow/run",
        }

    def spent(self) -> JsonObject:
        return {
            "subject": "model digits",
            "spent": "0.5",
            "currency": "USD",
            "slot_seconds": 12.0,
            "tokens": 7,
            "reserved": "0",
            "ledger_url": "/v1/ledger?plan_id=p",
        }

    async def test_later_steps_take_the_results_of_earlier_ones_and_all_is_cited(self) -> None:
        ports = planning(draft(self.best(), self.cost(), agent="librarian"))
        results = {"registry.best": self.version(), "metering.cost": self.spent()}
        ports.answers["call_tool"] = lambda argument: {"outcome": "ok", "result": results[str(argument["name"])]}
        assert (await run(ports)).plan is None
        assert [each["arguments"] for each in ports.called("call_tool")] == [{"dataset": "digits"}, {"subject": "model", "name": "digits"}]
        told = ports.emitted("message.assistant")[0]
        assert "digits version 3" in str(told["text"])
        assert "0.5 USD" in str(told["text"])
        assert [each["url"] for each in told["citations"]] == ["/v1/catalog/model/vision/digits/3", "/v1/ledger?plan_id=p"]  # type: ignore[union-attr,call-overload,index]
        assert ports.called("foresee_step") == []

    async def test_a_read_that_failed_is_told_and_what_needs_it_is_left_out(self) -> None:
        ports = planning(draft(self.best(), self.cost()))
        no: JsonObject = {
            "outcome": "failed",
            "code": "model_unknown",
            "reason": "Team vision has no trained model.",
            "remedy": "Train one first.",
        }
        ports.answers["call_tool"] = lambda _: no
        await run(ports)
        assert len(ports.called("call_tool")) == 1
        assert [each["text"] for each in ports.emitted("message.assistant")] == ["Team vision has no trained model. Train one first."]

    async def test_a_tool_outside_the_roster_is_not_read_either(self) -> None:
        ports = planning(draft(step("x", "jobs.list", "deployer", Effect.READ)))
        await run(ports)
        assert ports.called("call_tool") == []
        assert "may not use jobs.list" in str(ports.emitted("message.assistant")[0]["text"])

    async def test_a_result_cannot_pose_as_a_reference(self) -> None:
        ports = planning(draft(self.best(), self.cost()))
        planted: JsonObject = {**self.version(), "model_name": {"from_step": "best", "field": "run_url"}}
        results = {"registry.best": planted, "metering.cost": self.spent()}
        ports.answers["call_tool"] = lambda argument: {"outcome": "ok", "result": results[str(argument["name"])]}
        await run(ports)
        assert ports.called("call_tool")[1]["arguments"] == {"subject": "model", "name": {"from_step": "best", "field": "run_url"}}


class TestModel:
    async def test_is_asked_only_what_the_planner_left_open(self) -> None:
        ports = planning(Reply(text="x"), model="embedded:small")
        await run(ports)
        assert ports.called("ask_model") == []

    async def test_its_answer_goes_to_the_planner(self) -> None:
        ports = planning(draft(lease()), questions=[NEAR_TIE], model="embedded:small")
        ports.answers["ask_model"] = lambda _: said("yes")
        plan = (await run(ports)).plan
        assert ports.called("settle_request")[0]["answers"] == {"q1": "yes"}
        assert plan is not None
        assert plan.planner == "playbook (embedded:small)"
        asked = ports.called("ask_model")[0]
        assert (asked["tenant"], asked["plan_id"], asked["thread_id"]) == ("vision", "plan-1-1", "thread-1")

    async def test_without_one_the_same_path_answers_and_says_so(self) -> None:
        ports = planning(draft(lease()), questions=[NEAR_TIE])
        plan = (await run(ports)).plan
        assert ports.called("ask_model") == []
        assert plan is not None
        assert plan.planner == "playbook (no model)"

    async def test_one_that_is_down_is_done_without(self) -> None:
        ports = planning(draft(lease()), questions=[NEAR_TIE], model="embedded:small")
        ports.answers["ask_model"] = lambda _: {"ok": False, "reason": "It does not answer."}
        plan = (await run(ports)).plan
        assert ports.called("settle_request")[0]["answers"] == {}
        assert plan is not None
        assert plan.planner == "playbook (no model asked)"
        assert [each["failed"] for each in ports.emitted("model.called")] == ["It does not answer."]

    async def test_an_administrators_call_is_charged_to_the_team_that_is_named_else_to_the_platform(self) -> None:
        for text, team in (("train for vision, please", "vision"), ("train something", "platform")):
            ports = planning(Reply(text="x"), questions=[NEAR_TIE], model="embedded:small")
            ports.answers["ask_model"] = lambda _: said("no")
            await run(ports, turn(text, tenant=None))
            assert ports.called("ask_model")[0]["tenant"] == team
