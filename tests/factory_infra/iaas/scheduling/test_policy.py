"""The files of policies and quotas: what is refused names file, line and remedy."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, read_policy, read_quotas

BAD_TREES = {
    "queues:\n  - name: a\n    parent: b\n  - name: b\n    parent: a\n": (2, "lies below itself: a > b > a"),
    "queues:\n  - name: a\n    parent: nobody\n": (2, "has the parent 'nobody', which is not in this file"),
    "queues:\n  - name: a\n    guaranteed: {gpus: 4}\n  - name: a/b\n    guaranteed: {gpus: 5}\n": (
        4,
        "takes the children of 'a' to 5 gpus",
    ),
    "queues:\n  - name: a\n    limit: {gpus: 4}\n  - name: a/b\n    limit: {gpus: 5}\n": (4, "above that of its parent 'a': 4"),
    "queues:\n  - name: a\n    guaranteed:\n      gpus: -4\n": (4, "greater than or equal to 0"),
    "queues:\n  - name: a\n    guaranteed: {gpus: 4}\n    limit: {gpus: 3}\n": (2, "is guaranteed 4 gpus, and limited to 3"),
    "queues:\n  - name: a\n    color: red\n": (3, "Extra inputs"),
    "queues:\n  - name: a\n  - name: a\n": (3, "is given twice"),
    "queues:\n  - name: a\n    name: b\n": (3, "'name' is given twice"),
    "queues: [": (1, "quotas.yaml"),
    "queues:\n  - name: a\n    borrowing: false\n    borrowing_limit: {gpus: 1}\n": (2, "borrows nothing"),
    "queues:\n  - name: a\n    guaranteed: {bananas: 1}\n": (3, "pattern"),
}


class TestQuotaTree:
    @pytest.mark.parametrize("text", BAD_TREES)
    def test_a_mistake_is_refused_with_its_line(self, text: str) -> None:
        line, reason = BAD_TREES[text]
        with pytest.raises(InvalidInput) as refused:
            read_quotas(text)
        assert f"quotas.yaml, line {line}" in refused.value.reason
        assert reason in refused.value.reason
        assert refused.value.remedy
        assert refused.value.error_code == "quotas_invalid"

    def test_a_parent_is_the_longest_prefix_that_is_named(self) -> None:
        tree = QuotaTree(queues=(QuotaSpec(name="org"), QuotaSpec(name="org/a/b"), QuotaSpec(name="free", parent="org")))
        assert [tree.parent_of(spec) for spec in tree.queues] == [None, "org", "org"]

    def test_an_empty_file_has_no_quotas(self) -> None:
        assert read_quotas("").queues == ()


class TestSchedulingPolicy:
    def test_an_unknown_key_is_refused_with_its_line(self) -> None:
        with pytest.raises(InvalidInput, match=r"scheduling.yaml, line 2, at orders: Extra inputs"):
            read_policy("order: fair\norders: fifo\n")

    def test_every_field_has_a_default(self) -> None:
        assert read_policy("").order == "fair"
