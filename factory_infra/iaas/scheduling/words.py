"""What the scheduler says, in the words of leases: slots in place of members, and nobody's lease by name but one's own."""

import re
from collections.abc import Collection

from factory_infra.iaas.scheduling.fleet import words
from factory_infra.iaas.scheduling.models import Advice, Binding, Wait, Workload
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.reasons import duration

NAMED = re.compile(r"'([^']+)'")
ROOM = {Binding.CAPACITY, Binding.GANG, Binding.FRAGMENTATION}


def reason_of(scheduler: Scheduler, wait: Wait, own: Collection[str]) -> str:
    """Why a lease waits. Leases that are not the reader's own are named as that only.

    Args:
        scheduler: what found it, in the state in which it did.
        wait: what it found.
        own: the ids that the reader may see.
    """
    entry = scheduler.state.entries.get(wait.workload)
    if entry is None:
        return hidden(wait.detail, own)
    workload = entry.workload
    if wait.binding in ROOM and workload.pools:
        rooms = [(scheduler.fleets[pool].room(workload.shape).total, pool) for pool in workload.pools if pool in scheduler.fleets]
        free, pool = max(rooms, key=lambda each: each[0])
        there, rest = int(scheduler.fleets[pool].slots_when_empty(workload.shape).sum()), wait.detail.partition("; ")[2]
        told = f"{free} of the {there} slots of pool {pool} that would do are free, and it needs {entry.members_least}"
        return hidden(f"{told}; {rest}" if rest else told, own)
    return hidden(in_slots(wait.detail, workload), own)


def in_slots(text: str, workload: Workload) -> str:
    """A text in which the shape of a member is a slot."""
    shape = re.escape(words(workload.shape))
    return re.sub(shape, "1 slot", re.sub(rf"(\d+) times {shape}", r"\1 slots", text))


def hidden(text: str, own: Collection[str]) -> str:
    """A text in which only one's own leases are named."""
    return NAMED.sub(lambda found: found[1] if found[1] in own else "another lease", text)


def advice_words(advice: Advice, workload: Workload, now: float) -> str:
    """A change as somebody would ask for it, and when the lease would begin."""
    change = advice.change
    when = "now" if advice.starts_at <= now + 1 else f"in {duration(advice.starts_at - now)}"
    if "members" in change:
        seconds = float(str(change.get("seconds", workload.seconds)))
        longer = f", for {duration(seconds)}" if seconds > workload.seconds else ""
        return f"{change['members']} instead of {workload.members} slots{longer}: {when}"
    if "members_min" in change:
        return f"begin with as few as {change['members_min']} of {workload.members} slots: {when}"
    return f"{advice.words.rpartition(': ')[0]}: {when}"
