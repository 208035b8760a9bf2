"""What-if questions in plain words, read by patterns: each part must be understood wholly, or it is asked again. Nothing is guessed."""

import re
from collections.abc import Callable, Mapping
from re import Match

from pydantic import ValidationError

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.book import told
from factory_infra.iaas.twin.questions import Change, MoreNodes, MoreWork, NodeFails, OtherLimit, OtherPolicy, Without

EXAMPLES = (
    "add 2 nodes to POOL",
    "remove 1 node from POOL",
    "node NAME fails",
    "order shortest",
    "placement fgd",
    "no backfill",
    "preemption any",
    "team a asks for 8 slots for 2 hours, 3 times",
    "without lease-1a2b",
    "limit of team-a 16 gpus",
)
UNITS = {"s": 1, "second": 1, "minute": 60, "min": 60, "hour": 3600, "h": 3600, "day": 86400, "d": 86400}
SWITCHES = ("backfill", "borrowing", "reclaim", "elastic")
NAME = r"[A-Za-z0-9][\w./-]*"
_POOL = rf"(?: (?:to|in|from|of)(?: pool)? (?P<pool>{NAME}))?"
_SPLIT = re.compile(r"\s*(?:;|,(?!\s*\d+ times\b)|\band then\b|\band\b)\s*", re.IGNORECASE)


def pattern(text: str) -> re.Pattern[str]:
    """A pattern for a whole part."""
    return re.compile(rf"^(?:{text})$", re.IGNORECASE)


def _nodes(found: Match[str]) -> Change:
    count = int(found["count"])
    fewer = (found["verb"] or "").lower() in {"remove", "take away"} or (found["fewer"] or "").lower() in {"fewer", "less"}
    return MoreNodes(pool=found["pool"] or "", more=-count if fewer else count)


def _fails(found: Match[str]) -> Change:
    return NodeFails(node=found["node"], pool=found["pool"] or "")


def _field(found: Match[str]) -> Change:
    return OtherPolicy(fields={found["field"].lower(): found["value"].lower()})


def _switch(found: Match[str]) -> Change:
    field, on = found["field"].lower(), not found["no"]
    if field == "preemption":
        return OtherPolicy(fields={field: "any" if on else "off"})
    return OtherPolicy(fields={field: on})


def _work(found: Match[str]) -> Change:
    unit = found["unit"].lower()
    seconds = float(found["length"]) * UNITS[unit if unit in UNITS else unit.removesuffix("s")]
    return MoreWork(
        team=found["team"] or "",
        slots=int(found["slots"]),
        seconds=round(seconds),
        pool=found["pool"] or "",
        times=int(found["times"] or 1),
        topology="node" if found["node"] else "any",
    )


def _without(found: Match[str]) -> Change:
    return Without(lease_id=found["lease"] or found["ends"])


def _limit(found: Match[str]) -> Change:
    resource = "cpus" if found["resource"].lower().startswith(("cpu", "core")) else "gpus"
    return OtherLimit(queue=found["queue"], amount=float(found["amount"]), resource=resource)


_UNIT = "|".join(f"{unit}s?" for unit in UNITS)
READERS: Mapping[re.Pattern[str], Callable[[Match[str]], Change]] = {
    pattern(
        rf"(?:(?P<verb>add|remove|take away) )?(?P<count>\d{{1,5}}) (?:(?P<fewer>more|fewer|less) )?(?:nodes?|machines?){_POOL}"
    ): _nodes,
    pattern(rf"(?:node|machine) (?P<node>{NAME})(?: (?:in|of)(?: pool)? (?P<pool>{NAME}))? (?:fails|failed|is gone|breaks)"): _fails,
    pattern(r"(?P<field>order|placement|preemption) (?:by )?(?P<value>[a-z_0-9]+?)(?: first)?"): _field,
    pattern(rf"(?P<no>no |without )?(?P<field>{'|'.join((*SWITCHES, 'preemption'))})"): _switch,
    pattern(
        rf"(?:team (?P<team>{NAME}) (?:asks for|wants|gets) |asks? for |add )?(?P<slots>\d{{1,6}}) (?:slots?|gpus?|cores?)"
        rf"(?P<node> (?:in|on) one node)?(?: in(?: pool)? (?P<pool>{NAME}))? for (?P<length>\d+(?:\.\d+)?) ?(?P<unit>{_UNIT})"
        r"(?:,? (?P<times>\d{1,4}) times)?"
    ): _work,
    pattern(rf"without (?P<lease>lease-{NAME})|(?P<ends>lease-{NAME}) (?:ends|is released)(?: now)?"): _without,
    pattern(rf"limit of (?P<queue>{NAME}) (?:to |is )?(?P<amount>\d+(?:\.\d+)?) (?P<resource>gpus?|cpus?|cores?|slots?)"): _limit,
}
"""In this order: the first pattern that a part matches wholly reads it."""


def read(words: str) -> list[Change]:
    """The changes that a question names. Raises InvalidInput `what_if_unclear` that names the part which cannot be read."""
    text = re.sub(r"^\s*what (?:happens )?if\s+(?:i |we |you )?", "", " ".join(words.split()), flags=re.IGNORECASE).strip(" ?.!")
    parts = [part for part in _SPLIT.split(text) if part]
    if not parts:
        raise unclear(words)
    return [read_part(part) for part in parts]


def read_part(part: str) -> Change:
    """One change."""
    for each, reader in READERS.items():
        found = each.match(part)
        if found is not None:
            return within_bounds(part, found, reader)
    raise unclear(part)


def within_bounds(part: str, found: Match[str], reader: Callable[[Match[str]], Change]) -> Change:
    """The change, where its names and amounts can be. Raises InvalidInput that says which cannot."""
    try:
        return reader(found)
    except ValidationError as error:
        wrong = f"'{part[:80]}' cannot be asked: {told(error)}."
        raise InvalidInput(wrong, remedy="Name it as it is listed; ask for less.", code="what_if_unclear") from error


def unclear(part: str) -> InvalidInput:
    """The refusal of a part."""
    return InvalidInput(
        f"The twin cannot read '{part[:80]}'.", remedy=f"Write it like one of: {'; '.join(EXAMPLES)}.", code="what_if_unclear"
    )
