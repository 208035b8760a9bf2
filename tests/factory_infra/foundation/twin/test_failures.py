"""Failures come at the published rates, and the same ones from the same seed."""

from itertools import islice, pairwise

import pytest
from pydantic import ValidationError

from factory_infra.foundation.twin.failures import DAY, PER_1000_NODE_DAYS, FailureModel, failures

NODES = 200
DAYS = 500


class TestFailures:
    def test_come_at_the_rate_of_the_fleet(self) -> None:
        model = FailureModel(fleet="rsc-1")
        found = 0
        for node in range(NODES):
            for failure in failures(model, 1, f"n{node}"):
                if failure.at > DAYS * DAY:
                    break
                found += 1
        expected = PER_1000_NODE_DAYS["rsc-1"] * NODES * DAYS / 1000
        assert found == pytest.approx(expected, rel=0.15)

    def test_are_the_same_from_one_seed_and_differ_by_node_and_seed(self) -> None:
        model = FailureModel(fleet="llama-3")
        first, again = (list(islice(failures(model, 7, "n"), 20)) for _ in range(2))
        assert first == again
        assert first != list(islice(failures(model, 7, "m"), 20))
        assert first != list(islice(failures(model, 8, "n"), 20))

    def test_a_node_fails_only_when_it_is_back(self) -> None:
        found = list(islice(failures(FailureModel(fleet="rsc-1", scale=500), 1, "n"), 200))
        assert all(before.at < before.back_at <= after.at for before, after in pairwise(found))

    def test_scale_multiplies_the_rate(self) -> None:
        assert FailureModel(fleet="rsc-2", scale=3).per_node_second == pytest.approx(3 * FailureModel(fleet="rsc-2").per_node_second)

    def test_none_fail_where_none_are_asked_for(self) -> None:
        assert list(failures(FailureModel(), 1, "n")) == []

    def test_kinds_make_a_whole(self) -> None:
        assert sum(kind.share for kind in FailureModel().kinds) == pytest.approx(1)

    def test_an_unknown_fleet_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            FailureModel.model_validate({"fleet": "mine"})
