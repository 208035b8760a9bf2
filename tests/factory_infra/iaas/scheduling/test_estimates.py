"""How far estimates were off."""

import pytest

from factory_infra.iaas.scheduling.estimates import ASSUMED, Errors


class TestErrors:
    def test_a_spread_is_assumed_until_enough_is_known(self) -> None:
        found = Errors()
        found.add(100.0, 50.0)
        assert found.interval() == ASSUMED
        assert found.typical() == 1.0
        assert (min(found.factors()), max(found.factors())) == ASSUMED

    def test_then_the_spread_of_what_was_seen(self) -> None:
        found = Errors()
        for tenths in range(1, 12):
            found.add(tenths * 10.0, 100.0)
        assert found.interval() == pytest.approx((0.2, 1.0))
        assert found.typical() == pytest.approx(0.6)
        assert found.factors()[0] == pytest.approx(0.1)

    def test_what_says_nothing_is_left_out(self) -> None:
        found = Errors()
        found.add(0.0, 10.0)
        found.add(10.0, 0.0)
        assert not found.seen
