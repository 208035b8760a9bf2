"""What a thread keeps over hundreds of turns: bounded, and every identifier that still means something."""

from collections.abc import Mapping

from pydantic import JsonValue

from agents.memory import IDENTIFIERS_MAX, SUMMARY_NAMES_MAX, remember
from agents.planning.identifiers import SUMMARY, names_of
from agents.planning.interface import Facts, LeaseFact, Pending, Ranking, Turn
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from agents.state import RECENT_MAX, Memory, Situation, TurnResult
from agents.supervisor import OUTCOME
from tests.agents.planning.factory_facts import facts
from tests.agents.ports import FACTS, ScriptedPorts, draft, planning, run, step, turn
from tools.plan import Effect
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
