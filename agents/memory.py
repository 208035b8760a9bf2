"""What a thread keeps: bounded, every identifier that was named, and never text from outside."""

import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from agents.planning.identifiers import IDENTIFIER, identifiers_in, ids_in, names_of, summary_of
from agents.planning.interface import Facts, Pending
from agents.state import RECENT_MAX, Memory, TurnInput
from tools.plan import PlanState
from tools.ports import JsonObject

RECENT_CHARACTERS_MAX = 500
IDENTIFIERS_MAX = 200
IDENTIFIER_CHARACTERS_MAX = 64
IDENTIFIERS_PER_TURN_MAX = 40
SUMMARY_NAMES_MAX = 60
PLANS_SUMMARISED_MAX = 10
NAMING_SLOTS = ("lease_id", "job_id", "plan_id", "model_name", "endpoint")
NAMING_FIELDS = ("lease_id", "job_id", "plan_id")


def remember(turn: TurnInput, pending: Pending | None, facts: Facts | None = None, named: Iterable[str] = ()) -> Memory:
    """Return the memory after a turn: what is open, the last few messages, and every identifier that the thread named.

    Args:
        facts: tell which identifiers are alive: those are dropped last. Without them, what the summary holds counts as alive.
        named: identifiers that an answer named. They are kept, and stay out of the summary, which is read as the asker's own words:
            what a tool told must not widen what a later request may touch.
    """
    memory = turn.memory
    alive = living(facts) if facts is not None else frozenset(names_of(memory.summary))
    said = [*words_named(turn.text, alive), *slots_named(pending)]
    fresh = [name for name in dict.fromkeys([*said, *named]) if len(name) <= IDENTIFIER_CHARACTERS_MAX][:IDENTIFIERS_PER_TURN_MAX]
    identifiers = kept([*reversed([name for name in fresh if name not in memory.identifiers]), *memory.identifiers], alive)
    own = {*names_of(memory.summary), *said}
    summary = summarised([name for name in identifiers if name in own], alive | set(said))
    return Memory(pending=pending, recent=recent(turn, summary), summary=summary, identifiers=identifiers)


def still_open(memory: Memory, plan_state: str) -> Memory:
    """The memory as a turn finds it: a plan that was decided or has ended holds nothing open any more.

    Args:
        plan_state: where the plan is on whose card the memory waits; empty where that is not known (yet), which closes nothing.
    """
    if memory.pending is None or not memory.pending.plan_id or plan_state in {"", PlanState.PROPOSED}:
        return memory
    return memory.model_copy(update={"pending": None})


def living(facts: Facts) -> frozenset[str]:
    """What the asker's teams have now: leases, jobs that run, models and endpoints."""
    names: set[str] = set()
    for team in facts.teams:
        names |= {lease.id for lease in team.leases} | {job.id for job in team.jobs}
        names |= {model.model_name for model in team.models} | {endpoint.name for endpoint in team.endpoints}
    return frozenset(names)


def words_named(text: str, alive: frozenset[str]) -> list[str]:
    """What a message names: ids by their form, and models and endpoints by their names."""
    lowered = text.lower()
    return [*ids_in(lowered), *(name for name in sorted(alive) if re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", lowered))]


def slots_named(pending: Pending | None) -> list[str]:
    """What the plan or the question that is open names."""
    slots = pending.slots if pending else {}
    return [value for name in NAMING_SLOTS if isinstance(value := slots.get(name), str)]


def results_named(results: Mapping[str, JsonObject]) -> list[str]:
    """Ids in the typed fields of what tools answered; text from outside is in none of them."""
    found: list[str] = []
    for result in results.values():
        tables = [value for value in result.values() if isinstance(value, list)]
        rows: list[JsonValue] = [result, *(row for table in tables for row in table)]
        found += [str(row[field]) for row in rows if isinstance(row, dict) for field in NAMING_FIELDS if row.get(field)]
    return [name for name in dict.fromkeys(found) if IDENTIFIER.fullmatch(name)]


def kept(identifiers: list[str], alive: frozenset[str]) -> list[str]:
    """Cut the list, newest first, to its length: what is not alive goes first, and of that the oldest."""
    over = len(identifiers) - IDENTIFIERS_MAX
    if over <= 0:
        return identifiers
    dropped = set([name for name in reversed(identifiers) if name not in alive][:over])
    return [name for name in identifiers if name not in dropped][:IDENTIFIERS_MAX]


def summarised(identifiers: list[str], alive: set[str] | frozenset[str]) -> str:
    """The line for the older part of the thread: what is alive, and the newest plans, in the order in which they were first named."""
    plans = [name for name in identifiers if name.startswith("plan-")][:PLANS_SUMMARISED_MAX]
    names = [name for name in identifiers if name in alive or name in plans][-SUMMARY_NAMES_MAX:]
    return summary_of(reversed(names)) if names else ""


def recent(turn: TurnInput, summary: str) -> list[str]:
    """The last few messages, shortened; the summary goes before them where it names what they do not."""
    said = [text for text in turn.memory.recent if text != turn.memory.summary]
    said = [*said, turn.text[:RECENT_CHARACTERS_MAX]][-RECENT_MAX:]
    if summary and not set(names_of(summary)) <= set(identifiers_in(said)):
        return [summary, *said[1 - RECENT_MAX :]]
    return said
