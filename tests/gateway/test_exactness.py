"""The ledger is exact: 2,000 calls with disconnects, faults and two SIGKILLs, and a trace replayed. The long forms: make prove-gateway."""

import random
from pathlib import Path

import pytest

from benchmarks.gateway import exactness, replay
from benchmarks.gateway.exactness import Plan, judged, weather
from benchmarks.gateway.ground import Ground

pytestmark = [pytest.mark.stack, pytest.mark.chaos]


class TestExactness:
    def test_every_attempt_is_charged_as_the_upstream_produced_it(self, ground: Ground) -> None:
        plan = Plan(calls=exactness.SHORT_CALLS)
        assert [f"{check.name}: {check.figure}" for check in judged(weather(ground, plan), plan) if not check.held] == []

    def test_the_control_without_settlement_on_disconnect_differs(self, ground: Ground) -> None:
        found = weather(ground, Plan(calls=120, kills=0, settle=False))
        assert found.difference.tokens_wrong > 0


class TestReplay:
    def test_the_ledger_sums_up_to_the_trace(self, ground: Ground, tmp_path: Path) -> None:
        dice = random.Random(4)  # noqa: S311 - not a secret
        lines = [
            f"2023-11-16 18:{15 + number // 60}:{number % 60:02}.1234567,{dice.randint(1, 3000)},{dice.randint(1, 300)}"
            for number in range(150)
        ]
        (tmp_path / "trace.csv").write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
        rows = replay.rows(tmp_path)
        assert len(rows) == 150
        assert [f"{check.name}: {check.figure}" for check in replay.checks_on(ground, rows, speed=600) if not check.held] == []
