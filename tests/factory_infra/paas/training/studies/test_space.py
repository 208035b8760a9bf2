"""Spaces of parameters."""

import pytest
from pydantic import ValidationError

from factory_infra.paas.training.studies.models import StudySpec
from factory_infra.paas.training.studies.space import combinations, grid, outside
from tests.factory_infra.paas.training.studies.stand_in import spec_of


class TestSpace:
    @pytest.mark.parametrize(
        "space",
        [
            {"x": {"kind": "float", "low": 2, "high": 1}},
            {"x": {"kind": "float", "low": 0, "high": 1, "log": True}},
            {"x": {"kind": "float", "low": 1, "high": 2, "log": True, "step": 0.5}},
            {"x": {"kind": "float", "low": "NaN", "high": 1}},
            {"x": {"kind": "int", "low": 1, "high": 9, "step": 0}},
            {"x": {"kind": "choice", "choices": []}},
            {"x": {"kind": "choice", "choices": [1, 1.0]}},
            {"x": {"kind": "choice", "choices": [1, True]}},
            {"x": {"kind": "word"}},
            {"x y": {"kind": "int", "low": 1, "high": 2}},
            {},
        ],
    )
    def test_what_holds_nothing_or_cannot_be_told_apart_is_refused(self, space: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            spec_of(space=space)

    def test_combinations_are_counted_and_listed(self) -> None:
        space = spec_of(
            space={
                "a": {"kind": "float", "low": 0, "high": 1, "step": 0.25},
                "b": {"kind": "int", "low": 1, "high": 6, "step": 2},
                "c": {"kind": "choice", "choices": ["x", True]},
            }
        ).space
        assert combinations(space) == 5 * 3 * 2 == len({str(each) for each in grid(space)})
        assert all(not outside(space, each) for each in grid(space))

    def test_a_continuum_and_more_than_a_million_have_no_count(self) -> None:
        assert combinations(spec_of().space) is None
        assert combinations(spec_of(space={"n": {"kind": "int", "low": 0, "high": 10**9}}).space) is None
        with pytest.raises(ValidationError, match="grid"):
            spec_of(sampler="grid")

    def test_first_parameters_must_be_of_the_space(self) -> None:
        for wrong in ({"x": 0.5}, {"x": 2.0, "n": 1}, {"x": 0.5, "n": 1.5}, {"x": True, "n": 1}, {"x": 0.5, "n": 1, "y": 1}):
            with pytest.raises(ValidationError, match="first"):
                spec_of(first=[wrong])
        assert spec_of(first=[{"x": 0.5, "n": 1}]).first

    def test_it_is_the_same_after_a_round_through_json(self) -> None:
        spec = spec_of(space={"c": {"kind": "choice", "choices": ["0", 0.5, 1]}}, first=[{"c": 1}])
        assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
