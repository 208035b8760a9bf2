"""Idle time against a count of every slot and every minute: the code under test has no part in it."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from factory_infra.paas.optimization.idle import (
    DAY,
    Held,
    Span,
    Standing,
    by_day,
    clipped,
    covered,
    held_by_team,
    joined,
    micros,
    moment,
    unleased,
    unused,
)

MINUTE = 60_000_000
WINDOW = Span(0, 3 * DAY)
TIMES = st.integers(-200, 3 * 1440 + 200)


def span_at_random(chance: random.Random) -> Span:
    begin = chance.randrange(-100, 3 * 1440)
    return Span(begin * MINUTE, (begin + chance.randrange(0, 900)) * MINUTE)


def held_at_random(chance: random.Random, number: int) -> Held:
    slots = frozenset(chance.sample(range(6), chance.randrange(1, 5)))
    return Held(
        f"lease-{number}", chance.choice(("vision", "language")), "", chance.choice(("a", "b")), "gpu", slots, span_at_random(chance)
    )


def minutes_in(span: Span) -> set[int]:
    return {minute for minute in range(3 * 1440) if span.begin <= minute * MINUTE < span.end}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_idle_is_what_stood_and_nobody_held(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    held = [held_at_random(chance, number) for number in range(chance.randrange(6))]
    first, gap = chance.randrange(1, 2000), chance.randrange(0, 300)
    parts = (Span(-50 * MINUTE, first * MINUTE), Span((first + gap) * MINUTE, 5000 * MINUTE))
    sizes = (frozenset(range(4)), frozenset(range(6)))
    standing = [Standing("a", "gpu", "H100", "on_demand", slots, span) for slots, span in zip(sizes, parts, strict=True)]
    (days,) = unleased(standing, held, WINDOW).values()
    for day in range(3):
        stood = taken = 0
        for slots, span in zip(sizes, parts, strict=True):
            there = {minute for minute in minutes_in(span) if minute // 1440 == day}
            stood += len(slots) * len(there)
            for slot in slots:
                taken += len(there & set().union(*(minutes_in(each.span) for each in held if each.pool == "a" and slot in each.slots)))
        found = days.get(day)
        assert (found.stood, found.leased, found.idle) == (stood * MINUTE, taken * MINUTE, (stood - taken) * MINUTE) if found else not stood


@given(times=st.lists(st.tuples(TIMES, TIMES), max_size=12))
def test_spans_joined_cover_what_they_covered(times: list[tuple[int, int]]) -> None:
    spans = [Span(begin, end) for begin, end in times]
    found = joined(spans)
    assert covered(spans) == len({each for span in spans for each in range(span.begin, span.end)})
    assert all(left.end < right.begin for left, right in pairwise(found))


def test_days_are_cut_at_midnight() -> None:
    assert by_day(Span(DAY - 5, 2 * DAY + 7)) == [(0, Span(DAY - 5, DAY)), (1, Span(DAY, 2 * DAY)), (2, Span(2 * DAY, 2 * DAY + 7))]
    assert clipped(Span(5, 3), WINDOW).length == 0 and clipped(Span(-9, -3), WINDOW) == Span(0, 0)
    assert micros(moment(123_456_789)) == 123_456_789


def test_a_lease_is_unused_while_no_job_runs_on_it() -> None:
    lease = Held("l", "vision", "", "a", "gpu", frozenset({0, 1}), Span(0, 100))
    jobs = [Span(-5, 10), Span(5, 20), Span(90, 200)]
    assert unused(lease, jobs, WINDOW) == (200, 2 * (100 - 20 - 10))
    assert unused(lease, [], Span(50, 60)) == (20, 20)
    assert held_by_team([lease, lease], Span(0, 50)) == {"a": {"vision": held_by_team([lease], Span(0, 100))["a"]["vision"]}}


def test_a_slot_that_two_leases_name_counts_once() -> None:
    """Idle time never falls below zero, whatever the books say."""
    lease = Held("l", "vision", "", "a", "gpu", frozenset({0}), Span(0, 100))
    standing = [Standing("a", "gpu", "", "on_demand", frozenset({0}), Span(0, 100))]
    (days,) = unleased(standing, [lease, lease], WINDOW).values()
    assert days[0].idle == 0
