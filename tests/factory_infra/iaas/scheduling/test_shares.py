"""Fair share with memory."""

import pytest

from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.quotas import Quotas
from factory_infra.iaas.scheduling.shares import Shares


def shares(half_life_seconds: float) -> tuple[Quotas, Shares]:
    quotas = Quotas()
    return quotas, Shares(quotas, (10_000, 100_000, 1_000), half_life_seconds)


class TestShares:
    def test_the_resource_that_is_used_most_counts(self) -> None:
        quotas, found = shares(0)
        node = quotas.node("a")
        quotas.charge(node, quotas.need(Shape(cpu_milli=50_000, gpu_milli=1000, gpus=1), 1))
        assert found.share(node, 0.0) == pytest.approx(0.5)

    def test_what_was_used_a_half_life_ago_counts_half(self) -> None:
        quotas, found = shares(100.0)
        node, need = quotas.node("a"), (10_000, 0, 0)
        quotas.charge(node, need)
        found.settle(node, 10_000.0)
        assert found.share(node, 10_000.0) == pytest.approx(0.5), "all of it now, and no history known"
        found.settle(node, 20_000.0)
        assert found.share(node, 20_000.0) == pytest.approx(1.0), "all of it, and for ever"
        quotas.charge(node, need, -1)
        assert found.share(node, 20_000.0) == pytest.approx(0.5)
        assert found.share(node, 20_100.0) == pytest.approx(0.25)

    def test_the_past_can_be_told(self) -> None:
        quotas, found = shares(100.0)
        node = quotas.node("a")
        found.remember(node, (10_000, 0, 0), (-1e6, 0.0), 100.0)
        assert found.share(node, 100.0) == pytest.approx(0.25)

    def test_the_top_of_the_tree_decides_first(self) -> None:
        quotas, found = shares(0)
        org = quotas.node("org")
        small, large = quotas.node("org/small"), quotas.node("other")
        quotas.charge(org, (5_000, 0, 0))
        quotas.charge(large, (1_000, 0, 0))
        assert found.rank(large, 0.0) < found.rank(small, 0.0)
