"""What-if questions in words: read wholly, or refused with examples."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.twin.question_words import EXAMPLES, read
from factory_infra.iaas.twin.questions import Change, MoreNodes, MoreWork, NodeFails, OtherLimit, OtherPolicy, Without


class TestRead:
    @pytest.mark.parametrize("example", EXAMPLES)
    def test_every_example_is_read(self, example: str) -> None:
        assert len(read(example)) == 1

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("add 2 nodes to twin-a", MoreNodes(pool="twin-a", more=2)),
            ("2 more machines", MoreNodes(more=2)),
            ("what happens if we remove 1 node from pool b?", MoreNodes(pool="b", more=-1)),
            ("3 fewer nodes in b", MoreNodes(pool="b", more=-3)),
            ("node n-0007 of a fails", NodeFails(node="n-0007", pool="a")),
            ("order by shortest first", OtherPolicy(fields={"order": "shortest"})),
            ("no preemption", OtherPolicy(fields={"preemption": "off"})),
            ("preemption queue", OtherPolicy(fields={"preemption": "queue"})),
            ("backfill", OtherPolicy(fields={"backfill": True})),
            ("8 GPUs in one node for 90 minutes", MoreWork(slots=8, seconds=5400, topology="node")),
            ("team vision wants 4 slots in pool b for 1.5 h, 3 times", MoreWork(team="vision", slots=4, seconds=5400, pool="b", times=3)),
            ("lease-12ab ends now", Without(lease_id="lease-12ab")),
            ("limit of org/vision to 16 cores", OtherLimit(queue="org/vision", amount=16, resource="cpus")),
        ],
    )
    def test_words_are_changes(self, words: str, expected: Change) -> None:
        assert read(words) == [expected]

    def test_several_are_made_together(self) -> None:
        found = read("What if I add 2 nodes to a and order shortest, without lease-1; team x asks for 1 slot for 30 s, 2 times")
        assert [type(each).__name__ for each in found] == ["MoreNodes", "OtherPolicy", "Without", "MoreWork"]

    @pytest.mark.parametrize("words", ["limit of TEAM 2 gpus", "1 slot for 900 days", "add 99999 nodes", "0 slots for 1 hour"])
    def test_what_cannot_be_is_refused(self, words: str) -> None:
        with pytest.raises(InvalidInput, match="cannot be asked"):
            read(words)

    @pytest.mark.parametrize(
        "words",
        ["", "what if", "delete everything", "add nodes", "8 slots", "add 2 nodes maybe", "do not add 2 nodes", "2 nodes or 3 nodes"],
    )
    def test_what_is_not_understood_wholly_is_refused_with_examples(self, words: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            read(words)
        assert caught.value.error_code == "what_if_unclear"
        assert EXAMPLES[0] in caught.value.remedy
