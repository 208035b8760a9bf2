"""What queues use and may use."""

from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree
from factory_infra.iaas.scheduling.quotas import Quotas

ONE = Shape(0, 0, 1000, 1)
TREE = QuotaTree(
    queues=(
        QuotaSpec(name="org", guaranteed={"gpus": 8}, limit={"gpus": 12}),
        QuotaSpec(name="org/a", guaranteed={"gpus": 6}),
        QuotaSpec(name="org/b", guaranteed={"gpus": 2}, borrowing_limit={"gpus": 4}),
        QuotaSpec(name="other", guaranteed={"gpus": 4}, borrowing=False),
    )
)


def used(tree: QuotaTree = TREE, *, borrowing: bool = True, **gpus: int) -> Quotas:
    """Quotas with so many GPUs in use, by the end of the queue's name."""
    made = Quotas(tree, borrowing=borrowing)
    for name, count in gpus.items():
        node = next(node for queue, node in made.index.items() if queue.endswith(name))
        made.charge(node, made.need(ONE, count))
    return made


class TestQuotas:
    def test_a_queue_borrows_up_to_its_own_limit(self) -> None:
        found = used(b=6)
        assert found.blocking(found.node("org/b"), found.need(ONE, 1)) == (found.index["org/b"], 0)

    def test_the_parents_limit_counts_for_all_below_it(self) -> None:
        found = used(a=9, b=3)
        assert found.blocking(found.node("org/b"), found.need(ONE, 1)) == (found.index["org"], 0)

    def test_without_borrowing_the_guarantee_is_the_cap(self) -> None:
        alone, none = used(other=4), used(a=6, borrowing=False)
        assert alone.blocking(alone.node("other"), alone.need(ONE, 1)) is not None
        assert none.blocking(none.node("org/a"), none.need(ONE, 1)) is not None

    def test_an_unknown_queue_is_charged_to_its_nearest_ancestor(self) -> None:
        found = used(a=6)
        node = found.node("org/a/someone")
        found.charge(node, found.need(ONE, 1))
        assert found.usage[found.index["org/a"]][0] == 7000
        assert found.borrows(node, found.need(ONE, 1))

    def test_what_was_borrowed_is_owed_to_its_owner_and_to_nobody_else(self) -> None:
        found = used(a=2, b=6)
        mine, other = found.node("org/a"), found.node("org/b")
        assert found.may_reclaim(mine, found.need(ONE, 4), other)
        assert not found.may_reclaim(mine, found.need(ONE, 5), other), "beyond its own guarantee"
        assert not found.may_reclaim(other, found.need(ONE, 1), mine)
        assert found.debtors(mine, found.need(ONE, 1)) == [other]

    def test_a_branch_within_its_guarantee_owes_nothing(self) -> None:
        found = used(a=1, b=7)
        assert not found.may_reclaim(found.node("other"), found.need(ONE, 1), found.node("org/b"))

    def test_gpu_types_have_quotas_of_their_own(self) -> None:
        tree = QuotaTree(queues=(QuotaSpec(name="a", limit={"gpus:H100": 1}),))
        found = Quotas(tree)
        assert found.blocking(found.node("a"), found.need(ONE, 2, "H100")) == (1, found.models["H100"])
        assert found.blocking(found.node("a"), found.need(ONE, 2, "A100")) is None

    def test_a_copy_goes_its_own_way(self) -> None:
        found = used(a=1)
        other = found.copy()
        other.charge(other.node("new"), other.need(ONE, 3))
        assert found.usage[0][0] == 1000
        assert "new" not in found.index
