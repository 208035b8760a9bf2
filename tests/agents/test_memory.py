"""What a thread keeps over hundreds of turns: bounded, and every identifier that still means something."""

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from agents.memory import IDENTIFIERS_MAX, SUMMARY_NAMES_MAX, remember, still_open
from agents.planning.identifiers import SUMMARY, names_of
from agents.planning.interface import Facts, LeaseFact, Pending, Ranking, Turn
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from agents.state import RECENT_MAX, Memory, Situation, TurnResult
from agents.supervisor import OUTCOME
from tests.agents.planning.factory_facts import facts
from tests.agents.ports import FACTS, ScriptedPorts, draft, foreseen, planning, run, step, turn
from tools.plan import DryRun, Effect
from tools.ports import JsonObject

TURNS = 500
MEMORY_BYTES_MAX = 16_000
EARLY = "lease-00000000000000e1"


def state() -> Facts:
    """Team vision with three leases, the early one in the middle."""
    known = facts()
    leases = [LeaseFact(id=name, slots=1) for name in ("lease-aaaa000000000001", EARLY, "lease-bbbb000000000002")]
    return known.model_copy(update={"teams": [known.teams[0].model_copy(update={"leases": leases, "jobs": []})]})


class Thinking(ScriptedPorts):
    """Plans with the product's planner where it matters; elsewhere each message is a reading that fails."""

    def __init__(self) -> None:
        super().__init__(**planning(draft(step("x", "jobs.list", "scheduler", Effect.READ))).answers)
        self.planner = PlaybookPlanner(load_playbooks())
        self.thinks = False
        self.answers["read_situation"] = lambda _: Situation(facts=state()).model_dump(mode="json")
        self.answers["call_tool"] = lambda _: {"outcome": "failed", "reason": "Not now.", "remedy": ""}

    async def call(self, activity: str, argument: Mapping[str, JsonValue]) -> JsonObject:
        """Rank and settle for real."""
        if self.thinks and activity == "rank_request":
            ranking = await self.planner.rank(Turn.model_validate(argument["turn"]), Facts.model_validate(argument["facts"]))
            return ranking.model_dump(mode="json")
        if self.thinks and activity == "settle_request":
            ranking, known = Ranking.model_validate(argument["ranking"]), Facts.model_validate(argument["facts"])
            return {"outcome": OUTCOME.dump_python(self.planner.settle(ranking, {}, known), mode="json")}
        return await super().call(activity, argument)


async def talk(first: str | None) -> tuple[TurnResult, int]:
    """A long thread that names one lease in its third turn, and asks for 'the lease from the beginning' in its last but one."""
    ports, memory, largest = Thinking(), Memory(), 0
    result = TurnResult(memory=memory)
    for number in range(TURNS):
        text = f"what is job-{number:016x} doing, and plan-{number:08x}-1? " + "please " * 40
        if number == 3 and first is not None:
            text = f"we will use {first} for now, which leases do we have?"
        if number == TURNS - 1:
            text = "release the lease from the beginning"
        ports.thinks = number in {3, TURNS - 1}
        result = await run(ports, turn(text, memory))
        memory = result.memory
        largest = max(largest, len(memory.model_dump_json()))
    return result, largest


class TestLongThread:
    async def test_an_identifier_of_the_third_turn_is_resolved_in_the_last_and_the_memory_stays_small(self) -> None:
        result, largest = await talk(EARLY)
        assert largest < MEMORY_BYTES_MAX
        assert result.plan is not None
        assert [(each.tool, each.arguments) for each in result.plan.steps] == [("leases.release", {"lease_id": EARLY})]
        assert EARLY in result.memory.identifiers
        assert len(result.memory.identifiers) == IDENTIFIERS_MAX

    async def test_the_control_names_none_and_is_asked_which(self) -> None:
        result, _ = await talk(None)
        assert result.plan is None
        assert result.memory.pending is not None
        assert result.memory.pending.asked == "lease_id"


class Talk:
    """A thread with the product's planner, whose plans are where the test says."""

    def __init__(self) -> None:
        self.ports, self.memory, self.turns = Thinking(), Memory(), 0
        self.ports.thinks = True
        self.known, self.plan_state = state(), "proposed"
        self.ports.answers["read_situation"] = self._situation

    def _situation(self, argument: JsonObject) -> JsonObject:
        plan_state = self.plan_state if argument["plan_id"] else ""
        return Situation(facts=self.known, plan_state=plan_state).model_dump(mode="json")

    def one_lease(self) -> None:
        """The team holds one lease."""
        team = self.known.teams[0].model_copy(update={"leases": [LeaseFact(id=EARLY, slots=1)]})
        self.known = self.known.model_copy(update={"teams": [team]})

    async def say(self, text: str) -> TurnResult:
        """One message; the ports keep what was said to it."""
        self.turns += 1
        self.ports.events.clear()
        message = turn(text, self.memory).model_copy(update={"plan_id": f"plan-1-{self.turns}"})
        result = await run(self.ports, message)
        self.memory = result.memory
        return result

    def heard(self) -> str:
        """What the factory said last."""
        return str((self.ports.emitted("message.assistant") + self.ports.emitted("question"))[-1]["text"])


class TestWhatIsOpen:
    async def test_a_card_that_waits_is_spoken_of_however_often_one_says_yes(self) -> None:
        talk = Talk()
        assert (await talk.say("lease one slot")).plan is not None
        for _ in range(2):
            await talk.say("y")
            assert talk.heard() == "The plan waits on its card: approve or refuse it there."

    @pytest.mark.parametrize("ended", ["running", "done", "refused", "expired", "cancelled", "failed"])
    async def test_a_plan_that_was_decided_or_has_ended_holds_nothing_open(self, ended: str) -> None:
        talk = Talk()
        await talk.say("lease one slot")
        talk.one_lease()
        talk.plan_state = ended
        result = await talk.say("und jetzt gib ihn zurück")
        assert result.plan is not None, talk.heard()
        assert [(each.tool, each.arguments) for each in result.plan.steps] == [("leases.release", {"lease_id": EARLY})]
        await talk.say("y")
        assert talk.heard() == "Nothing is waiting for a yes here."

    async def test_a_refusal_can_be_amended_and_stands_in_nobodys_way(self) -> None:
        talk = Talk()
        await talk.say("lease 3 slots")
        assert [each["code"] for each in talk.ports.emitted("refusal")] == ["quota_exceeded"]
        await talk.say("y")
        assert talk.heard() == "Nothing is waiting for a yes here."
        await talk.say("hm, das weiß ich nicht")
        assert "card" not in talk.heard() and "change" not in talk.heard()

    async def test_after_a_refusal_less_may_be_asked_for(self) -> None:
        talk = Talk()
        await talk.say("lease 3 slots")
        await talk.say("y")
        result = await talk.say("then one slot")
        assert result.plan is not None and result.plan.steps[0].arguments["slots"] == 1

    async def test_a_refusal_by_dry_run_names_no_card(self) -> None:
        talk = Talk()
        no = DryRun(feasible=False, code="quota_exceeded", reason="Too many.", remedy="Less.")
        talk.ports.answers["foresee_step"] = lambda argument: foreseen(argument, no)
        assert (await talk.say("lease one slot")).plan is None
        await talk.say("yes")
        assert talk.heard() == "Nothing is waiting for a yes here."

    def test_what_is_not_written_down_yet_closes_nothing(self) -> None:
        memory = Memory(pending=Pending(playbook="p", request="r", plan_id="plan-1"))
        assert still_open(memory, "") == still_open(memory, "proposed") == memory
        assert still_open(memory, "expired").pending is None
        asked = Memory(pending=Pending(playbook="p", request="r", asked="team"))
        assert still_open(asked, "done") == asked


class TestRemember:
    def test_what_is_alive_outlives_what_is_not(self) -> None:
        memory = Memory()
        for number in range(IDENTIFIERS_MAX + 50):
            text = f"about lease-{number:016x}" if number else f"take {EARLY}"
            memory = remember(turn(text, memory), None, state())
        assert len(memory.identifiers) == IDENTIFIERS_MAX
        assert memory.identifiers[0] == f"lease-{IDENTIFIERS_MAX + 49:016x}"
        assert EARLY in memory.identifiers
        assert names_of(memory.summary)[0] == EARLY

    def test_without_facts_the_summary_tells_what_is_alive(self) -> None:
        memory = remember(turn(f"take {EARLY}"), None, state())
        for number in range(IDENTIFIERS_MAX + 50):
            memory = remember(turn(f"about lease-{number:016x}", memory), Pending(playbook="p", request="r"))
        assert EARLY in memory.identifiers
        assert names_of(memory.summary)[0] == EARLY
        assert len(names_of(memory.summary)) <= SUMMARY_NAMES_MAX

    def test_models_and_endpoints_are_known_by_their_names_and_slots(self) -> None:
        memory = remember(turn("Is digits-classifier good?"), None, state())
        pending = Pending(playbook="p", request="r", slots={"endpoint": "flowers-api", "slots": 2})
        memory = remember(turn("and now?", memory), pending, state())
        assert {"digits-classifier", "flowers-api"} <= set(memory.identifiers)

    def test_what_a_tool_told_is_kept_and_never_taken_for_the_askers_words(self) -> None:
        memory = remember(turn("which leases?"), None, state(), [EARLY])
        assert EARLY in memory.identifiers
        assert EARLY not in memory.summary + " ".join(memory.recent)

    def test_one_message_cannot_push_out_everything(self) -> None:
        memory = remember(turn(f"take {EARLY}"), None, FACTS)
        flood = " ".join(f"job-{number:016x}" for number in range(5000))
        assert EARLY in remember(turn(flood, memory), None, FACTS).identifiers

    def test_the_summary_stands_before_the_last_messages_only_when_it_is_needed(self) -> None:
        memory = remember(turn(f"take {EARLY}"), None, state())
        assert memory.recent == [f"take {EARLY}"]
        for number in range(RECENT_MAX):
            memory = remember(turn(f"m{number}", memory), None, state())
        assert memory.recent == [f"{SUMMARY} {EARLY}.", *(f"m{number}" for number in range(1, RECENT_MAX))]
