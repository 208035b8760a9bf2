"""Reads what the ledger says of calls, straight from its tables, and sets it against the upstream's truth."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from benchmarks.gateway.ground import Ground
from benchmarks.gateway.script import Made

SETTLED = """
SELECT reservation, sum(sign * quantity)::bigint, sum(sign * quantity_out)::bigint, sum(sign * quantity_cached)::bigint,
       sum(sign * quantity_reasoning)::bigint, min(outcome), bool_or(estimated), sum(sign * amount)
FROM (SELECT *, CASE WHEN credit = 'spent' THEN 1 ELSE -1 END AS sign FROM ledger_entries
      WHERE action IN ('settle', 'surplus') OR action LIKE 'correct%') AS e
WHERE unit = 'tokens' GROUP BY reservation
"""
OPEN = """
SELECT count(*) FROM ledger_entries r WHERE r.action = 'reserve'
AND NOT EXISTS (SELECT 1 FROM ledger_entries s WHERE s.reservation = r.reservation AND s.action = 'settle')
"""
UNBALANCED = """
SELECT reservation FROM ledger_entries GROUP BY reservation
HAVING sum(CASE WHEN credit = 'reserved' THEN amount WHEN debit = 'reserved' THEN -amount ELSE 0 END) <> 0
"""
DAILY = """
SELECT (SELECT coalesce(sum(amount), 0) FROM ledger_daily),
       (SELECT coalesce(sum(CASE WHEN credit = 'spent' THEN amount WHEN debit = 'spent' THEN -amount ELSE 0 END), 0) FROM ledger_entries),
       (SELECT coalesce(sum(quantity + quantity_out), 0) FROM ledger_daily),
       (SELECT coalesce(sum(quantity + quantity_out), 0) FROM ledger_entries WHERE action = 'settle')
"""
SPENT = """
SELECT coalesce(sum(CASE WHEN credit = 'spent' THEN amount WHEN debit = 'spent' THEN -amount ELSE 0 END), 0)
FROM ledger_entries WHERE tenant = %s
"""


@dataclass(frozen=True)
class Settled:
    """What the ledger says that one attempt used."""

    tokens_in: int
    tokens_out: int
    cached: int
    reasoning: int
    outcome: str
    estimated: bool
    amount: Decimal

    def counts(self) -> tuple[int, int, int, int]:
        """In the order of `Difference`'s figures."""
        return self.tokens_in, self.tokens_out, self.cached, self.reasoning


@dataclass
class Difference:
    """The ledger against the truth."""

    attempts: int = 0
    tokens_true: int = 0
    tokens_charged: int = 0
    wrong: list[str] = field(default_factory=list)
    tokens_wrong: int = 0
    estimated: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)


def settled(ground: Ground) -> dict[str, Settled]:
    """Every attempt that the ledger has settled, by its name."""
    return {str(row[0]): Settled(*row[1:]) for row in ground.query(SETTLED)}  # type: ignore[arg-type]  # as the query says


def open_reservations(ground: Ground) -> int:
    """How many reservations are not settled."""
    return cast(int, ground.query(OPEN)[0][0])


def difference(made: Mapping[str, Made], charged: Mapping[str, Settled]) -> Difference:
    """Set each attempt's charge against what the upstream produced; an attempt that one of them does not know counts in full."""
    found = Difference()
    for name in made.keys() | charged.keys():
        said = charged.get(name, Settled(0, 0, 0, 0, "missing", False, Decimal(0)))
        truth = made.get(name, Made(end="kept answer" if said.outcome == "cached" else "never came"))
        true = (truth.prompt, truth.out, truth.cached, truth.reasoning)
        found.attempts += 1
        found.tokens_true += true[0] + true[1]
        found.tokens_charged += said.tokens_in + said.tokens_out
        found.estimated += said.estimated
        found.outcomes[said.outcome] += 1
        found.ends[truth.end] += 1
        if true != said.counts():
            found.tokens_wrong += sum(abs(one - other) for one, other in zip(true[:2], said.counts()[:2], strict=True))
            found.wrong.append(
                f"{name} ({truth.end}, {said.outcome}{', estimated' * said.estimated}): true {true}, charged {said.counts()}"
            )
    return found


def faults(ground: Ground, teams: tuple[str, ...]) -> list[str]:
    """What does not add up in the books once all is settled and every block is back; empty where all does."""
    found = [f"reservation {row[0]} does not end at zero" for row in ground.query(UNBALANCED)[:3]]
    day_money, money, day_tokens, tokens = ground.query(DAILY)[0]
    found += [f"sums by day: {day_money} of {money} money, {day_tokens} of {tokens} tokens"] * ((day_money, day_tokens) != (money, tokens))
    for team in teams:
        spent = cast(Decimal, ground.query(SPENT, team)[0][0])
        rows = ground.query("SELECT used FROM ledger_uses WHERE limit_id = %s", f"budget/{team}")
        used = cast(Decimal, rows[0][0]) if rows else Decimal(0)
        held = cast(
            Decimal, ground.query("SELECT coalesce(sum(drawn - charged), 0) FROM ledger_blocks WHERE limit_id = %s", f"budget/{team}")[0][0]
        )
        found += [f"team {team}: used {used} less blocks {held} is not spent {spent}"] * (used - held != spent)
    return found
