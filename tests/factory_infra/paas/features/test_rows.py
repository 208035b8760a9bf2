"""What may be defined and written: every refusal names row and column."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.paas.features.models import Feature, FeatureView, Key
from factory_infra.paas.features.rows import checked_rows, checked_view, entity_text, stored_value

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
VIEW = FeatureView(
    name="customers",
    keys=(Key(name="customer", kind="int"),),
    features=(
        Feature(name="orders", kind="int"),
        Feature(name="spent", kind="float"),
        Feature(name="city", kind="text"),
        Feature(name="member", kind="flag"),
        Feature(name="taste", kind="vector", dimensions=2),
    ),
    timestamp="seen_at",
)
ROW: dict[str, JsonValue] = {
    "customer": 7,
    "seen_at": "2026-11-25T11:00:00+01:00",
    "orders": 3,
    "spent": 2,
    "city": "Zürich",
    "member": True,
    "taste": [0, -0.0],
}


class TestViews:
    def test_one_without_a_timestamp_is_refused_by_name(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            checked_view(VIEW.model_copy(update={"timestamp": ""}))
        assert refused.value.error_code == "feature_view_without_timestamp"
        assert "customers" in refused.value.reason
        assert "timestamp" in refused.value.remedy

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"timestamp": "customer"}, "two columns"),
            ({"features": (Feature(name="customer"),)}, "two columns"),
            ({"features": (Feature(name="written_at"),)}, "a name of ours"),
            ({"features": (Feature(name="taste", kind="vector"),)}, "without dimensions"),
            ({"features": (Feature(name="spent", dimensions=3),)}, "no vector"),
            ({"timestamp": "when; DROP"}, "not a column's name"),
        ],
    )
    def test_what_cannot_be_is_refused(self, change: dict[str, object], word: str) -> None:
        with pytest.raises(InvalidInput, match=word):
            checked_view(VIEW.model_copy(update=change))

    def test_words_do_not_make_another_version(self) -> None:
        assert VIEW.digest() == VIEW.model_copy(update={"description": "who buys"}).digest()
        assert VIEW.digest() != VIEW.model_copy(update={"ttl_seconds": 60}).digest()


class TestRows:
    def test_values_are_what_the_view_declares(self) -> None:
        [row] = checked_rows(VIEW, [ROW], NOW)
        assert row.entity == (7,)
        assert row.event_at == datetime(2026, 11, 25, 10, tzinfo=UTC)
        assert row.values == {"orders": 3, "spent": 2.0, "city": "Zürich", "member": True, "taste": [0.0, 0.0]}
        assert isinstance(row.values["spent"], float)
        assert str(row.values["taste"]) == "[0.0, 0.0]"

    def test_what_is_left_out_is_null(self) -> None:
        [row] = checked_rows(VIEW, [{"customer": 7, "seen_at": "2026-11-25T10:00:00Z"}], NOW)
        assert set(row.values.values()) == {None}

    @pytest.mark.parametrize(
        ("change", "column", "word"),
        [
            ({"seen_at": None}, "seen_at", "missing"),
            ({"seen_at": "2026-11-25T10:00:00"}, "seen_at", "zone"),
            ({"seen_at": "yesterday"}, "seen_at", "zone"),
            ({"seen_at": 1764064800}, "seen_at", "zone"),
            ({"seen_at": (NOW + timedelta(minutes=1)).isoformat()}, "seen_at", "future"),
            ({"customer": None}, "customer", "key"),
            ({"customer": "7"}, "customer", "key"),
            ({"customer": True}, "customer", "key"),
            ({"orders": 3.5}, "orders", "whole number"),
            ({"orders": 2**53 + 1}, "orders", "whole number"),
            ({"orders": True}, "orders", "whole number"),
            ({"spent": float("nan")}, "spent", "finite"),
            ({"spent": 10**400}, "spent", "finite"),
            ({"spent": "2"}, "spent", "finite"),
            ({"city": "a\x00b"}, "city", "text"),
            ({"city": 4}, "city", "text"),
            ({"member": 1}, "member", "true or false"),
            ({"taste": [1.0]}, "taste", "2 finite"),
            ({"taste": [1.0, None]}, "taste", "2 finite"),
            ({"surprise": 1}, "surprise", "no column"),
        ],
    )
    def test_a_wrong_row_is_named_with_its_column(self, change: dict[str, JsonValue], column: str, word: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            checked_rows(VIEW, [ROW, {**ROW, **change}], NOW)
        assert refused.value.error_code == "rows_invalid"
        assert refused.value.reason.startswith(f"Row 2: {column} ")
        assert word in refused.value.reason

    def test_no_rows_are_no_write(self) -> None:
        with pytest.raises(InvalidInput):
            checked_rows(VIEW, [], NOW)


def test_entities_have_one_text_each() -> None:
    assert entity_text((1,)) != entity_text(("1",))
    assert entity_text(("a", "b")) != entity_text(('a","b',))


def test_a_store_may_forget_that_two_was_two_point_nought() -> None:
    back = stored_value(Feature(name="spent", kind="float"), 2)
    assert back == 2.0
    assert isinstance(back, float)
    assert stored_value(Feature(name="taste", kind="vector", dimensions=2), [1, 0.5]) == [1.0, 0.5]
