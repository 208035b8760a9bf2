"""What an installation says of its scheduling: read anew when it changes, and refused by pool, field, file and line."""

import os
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.iaas.scheduling.policy import read_quotas
from factory_infra.iaas.scheduling.rules import SchedulingRules, policy_of, queue_of

TREE = read_quotas("queues: [{name: org}, {name: org/vision}, {name: org/vision/labels}, {name: org/language}, {name: vision-old}]")


class TestPolicy:
    @pytest.mark.parametrize(
        ("section", "named"),
        [
            ({"order": "luck"}, "order"),
            ({"colour": "red"}, "colour"),
            ({"reservations": 0}, "reservations"),
            ({"placement": "magic"}, "magic"),
        ],
    )
    def test_what_cannot_be_is_refused_by_pool_and_field(self, section: dict[str, object], named: str) -> None:
        spec = LocalPool.model_validate({"name": "a", "scheduling": section})
        with pytest.raises(InvalidInput, match=f"pool 'a'.*{named}") as raised:
            policy_of(spec)
        assert (raised.value.error_code, bool(raised.value.remedy)) == ("scheduling_invalid", True)

    def test_a_section_is_read_from_the_file_of_pools(self, tmp_path: Path) -> None:
        book = PoolBook(tmp_path / "pools.yaml")
        (tmp_path / "pools.yaml").write_text("pools: [{name: a, provider: local, scheduling: {order: fifo}}]", encoding="utf-8")
        rules = SchedulingRules(book, tmp_path / "quotas.yaml")
        assert (rules.policy("a").order, rules.policy("gone").order, rules.pools()) == ("fifo", "fair", ["a"])


class TestQuotas:
    def test_the_file_is_read_again_when_it_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "quotas.yaml"
        rules = SchedulingRules(None, path)
        assert rules.quotas().queues == ()
        path.write_text("queues: [{name: org, limit: {gpus: 4}}]", encoding="utf-8")
        assert [spec.name for spec in rules.quotas().queues] == ["org"]
        path.write_text("queues: [{name: org, limit: {gpus: 4}}, {name: org/vision}]", encoding="utf-8")
        os.utime(path, (1, 1))
        assert len(rules.quotas().queues) == 2

    def test_a_file_that_cannot_be_is_refused_with_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "quotas.yaml"
        path.write_text("queues:\n  - name: a\n    parent: b\n  - name: b\n    parent: a\n", encoding="utf-8")
        with pytest.raises(InvalidInput, match=r"quotas.yaml, line \d") as raised:
            SchedulingRules(None, path).quotas()
        assert (raised.value.error_code, bool(raised.value.remedy)) == ("quotas_invalid", True)


class TestQueues:
    @pytest.mark.parametrize(
        ("team", "asked", "queue"),
        [
            ("vision", "", "org/vision"),
            ("vision", "vision", "org/vision"),
            ("vision", "org/vision", "org/vision"),
            ("vision", "org/vision/labels", "org/vision/labels"),
            ("speech", "", "speech"),
            ("speech", "speech", "speech"),
        ],
    )
    def test_a_team_is_charged_by_its_own_queue_or_one_below(self, team: str, asked: str, queue: str) -> None:
        assert queue_of(team, asked, TREE) == queue

    @pytest.mark.parametrize(
        ("team", "asked"),
        [("vision", "org/language"), ("vision", "org"), ("vision", "org/vision/none"), ("vision", "vision-old"), ("speech", "org/vision")],
    )
    def test_anothers_queue_and_one_that_is_not_there_look_alike(self, team: str, asked: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            queue_of(team, asked, TREE)
        assert raised.value.error_code == "queue_unknown"
        assert asked in raised.value.reason and "org/language" not in raised.value.remedy
