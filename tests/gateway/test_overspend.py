"""Limits are hard: eight processes at one shared limit. The long form: make prove-gateway ARGS='--only overspend'."""

from dataclasses import replace
from decimal import Decimal

import pytest

from benchmarks.gateway.ground import Ground
from benchmarks.gateway.overspend import MONEY, PARALLEL, TOKENS, checks_on

pytestmark = pytest.mark.stack


class TestOverspend:
    def test_never_above_a_limit_and_up_to_it(self, ground: Ground) -> None:
        short = (
            replace(MONEY, cap=Decimal("0.50")),
            replace(TOKENS, cap=Decimal(500_000)),
            replace(PARALLEL, seconds=1.5),
        )
        found = checks_on(ground, short)
        assert len(found) == 7
        assert [f"{check.name}: {check.figure}" for check in found if not check.held] == []
