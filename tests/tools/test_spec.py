"""References between steps, and errors as observations."""

import pytest
from pydantic import JsonValue

from factory_infra.errors import Conflict, Forbidden, NotFound, QuotaExceeded, Unavailable
from tools.spec import observe, reference, refused, resolve, text_argument


class TestReference:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            "lease",
            1,
            [],
            {},
            {"from_step": "a"},
            {"field": "b"},
            {"from_step": "a", "field": "b", "more": 1},
            [{"from_step": "a", "field": "b"}],
        ],
    )
    def test_anything_else_is_a_value(self, value: JsonValue) -> None:
        assert reference(value) is None
        assert resolve({"x": value}, {"a": {"b": 1}}) == {"x": value}

    def test_names_step_and_field(self) -> None:
        assert reference({"from_step": "a", "field": "b"}) == ("a", "b")


class TestResolve:
    def test_fills_from_earlier_results(self) -> None:
        raw: dict[str, JsonValue] = {"lease_id": {"from_step": "lease", "field": "lease_id"}, "dataset": "digits"}
        assert resolve(raw, {"lease": {"lease_id": "lease-1"}}) == {"lease_id": "lease-1", "dataset": "digits"}

    @pytest.mark.parametrize("results", [{}, {"lease": {}}, {"other": {"lease_id": "x"}}])
    def test_what_is_not_there_is_refused_by_name(self, results: dict[str, dict[str, JsonValue]]) -> None:
        with pytest.raises(Conflict) as raised:
            resolve({"lease_id": {"from_step": "lease", "field": "lease_id"}}, results)
        assert "'lease_id' of step 'lease'" in raised.value.reason

    def test_a_result_that_looks_like_a_reference_is_data(self) -> None:
        planted: JsonValue = {"from_step": "secret", "field": "key"}
        raw: dict[str, JsonValue] = {"x": {"from_step": "a", "field": "b"}}
        assert resolve(raw, {"a": {"b": planted}, "secret": {"key": "k"}}) == {"x": planted}


class TestObserve:
    def test_the_outcome_tells_a_model_what_to_do(self) -> None:
        assert observe(Unavailable("x")).outcome == "retry"
        assert observe(NotFound("x")).outcome == "failed"
        assert observe(Forbidden("x")).outcome == "failed"
        assert observe(Forbidden("x", code="needs_approval")).outcome == "needs_approval"

    def test_code_reason_and_remedy_arrive(self) -> None:
        seen = observe(QuotaExceeded("Too many.", remedy="Fewer."))
        assert (seen.code, seen.reason, seen.remedy) == ("quota_exceeded", "Too many.", "Fewer.")
        foreseen = refused(QuotaExceeded("Too many.", remedy="Fewer."))
        assert (foreseen.feasible, foreseen.code, foreseen.reason, foreseen.remedy) == (False, "quota_exceeded", "Too many.", "Fewer.")


def test_a_reference_is_no_text_yet() -> None:
    assert text_argument({"x": {"from_step": "a", "field": "b"}}, "x") is None
    assert text_argument({"x": "y"}, "x") == "y"
