"""From what a caller sends to rows that can be stored: every value is checked against the view, and every refusal names row and column."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.paas.features.models import (
    EVENT,
    INTEGER_MAX,
    RESERVED,
    ROWS_MAX,
    TEXT_MAX,
    Entity,
    Feature,
    FeatureRow,
    FeatureView,
    Key,
    KeyValue,
    Value,
)

AHEAD = timedelta(seconds=2)
"""Clocks differ by so much. A row from further ahead would be served before it may be trained on."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
COLUMN = re.compile(r"[a-z][a-z0-9_]{0,39}")


def checked_view(view: FeatureView) -> FeatureView:
    """Return a definition that can be kept. Raises InvalidInput, `feature_view_without_timestamp` where no column says since when."""
    if not view.timestamp:
        raise InvalidInput(
            f"Feature view {view.name} has no timestamp: nobody could say what was known when.",
            remedy=f"Name the column that says when a row became true, such as timestamp: {EVENT}.",
            code="feature_view_without_timestamp",
        )
    names = [*(key.name for key in view.keys), *(each.name for each in view.features), view.timestamp]
    twice = sorted({name for name in names if names.count(name) > 1})
    reserved = sorted({*RESERVED} & {*names[:-1]})
    wrong = _view_wrong(view, twice, reserved)
    if wrong:
        raise InvalidInput(f"Feature view {view.name}: {wrong}.", remedy="Correct the definition.", code="feature_view_invalid")
    return view


def _view_wrong(view: FeatureView, twice: Sequence[str], reserved: Sequence[str]) -> str:
    if twice:
        return f"two columns are called {twice[0]}"
    if reserved:
        return f"{reserved[0]} is a name of ours"
    if not COLUMN.fullmatch(view.timestamp):
        return f"{view.timestamp!r} is not a column's name"
    for each in view.features:
        if (each.kind == "vector") != (each.dimensions is not None):
            return f"{each.name} is {'a vector without' if each.kind == 'vector' else 'no vector but has'} dimensions"
    return ""


def checked_rows(view: FeatureView, rows: Sequence[Mapping[str, JsonValue]], now: datetime) -> list[FeatureRow]:
    """Return rows as they are stored, in their order. Raises InvalidInput that names the first row and column that cannot be."""
    if not 1 <= len(rows) <= ROWS_MAX:
        raise InvalidInput(f"A write has 1 to {ROWS_MAX} rows, not {len(rows)}.", remedy="Write in several batches.", code="rows_invalid")
    return [_row(view, row, number, now) for number, row in enumerate(rows, 1)]


def _row(view: FeatureView, row: Mapping[str, JsonValue], number: int, now: datetime) -> FeatureRow:
    known = {view.timestamp, *(key.name for key in view.keys), *(each.name for each in view.features)}
    strangers = sorted(set(row) - known)
    if strangers:
        raise _wrong(number, strangers[0], f"is no column of {view.name}")
    if row.get(view.timestamp) is None:
        raise _wrong(number, view.timestamp, "is missing: every row needs the moment from which on it is true")
    event_at = moment(row[view.timestamp])
    if event_at is None or event_at < EARLIEST:
        raise _wrong(number, view.timestamp, "is not a moment with its zone, such as 2026-11-25T08:00:00Z")
    if event_at > now + AHEAD:
        raise _wrong(number, view.timestamp, "lies in the future: it would be served before it may be trained on")
    values = {each.name: _value(each, row.get(each.name), number) for each in view.features}
    return FeatureRow(entity=entity_of(view.keys, row, number), event_at=event_at, values=values)


def moment(value: JsonValue) -> datetime | None:
    """A moment of ISO 8601 with its zone, in UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.astimezone(UTC) if read.tzinfo is not None else None


def entity_of(keys: Sequence[Key], row: Mapping[str, JsonValue], number: int) -> Entity:
    """Whom a row is about. Raises InvalidInput where a key is missing or of another kind."""
    return tuple(_key(key, row.get(key.name), number) for key in keys)


def _key(key: Key, value: JsonValue, number: int) -> KeyValue:
    if key.kind == "int" and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INTEGER_MAX:
        return value
    if key.kind == "text" and isinstance(value, str) and 1 <= len(value) <= 200 and "\x00" not in value:
        return value
    what = f"a whole number up to {INTEGER_MAX}" if key.kind == "int" else "a text of 1 to 200 characters"
    raise _wrong(number, key.name, f"must be {what}, for it is a key")


def _value(feature: Feature, value: JsonValue, number: int) -> Value:
    if value is None:
        return None
    read = READERS[feature.kind](feature, value)
    if read is None:
        raise _wrong(number, feature.name, f"must be {WANTED[feature.kind].format(dimensions=feature.dimensions)} or null")
    return read


def _int(feature: Feature, value: JsonValue) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= INTEGER_MAX else None


def _float(feature: Feature, value: JsonValue) -> Value:
    """A finite number; a negative zero becomes zero, for stores differ in keeping it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        read = float(value)
    except OverflowError:
        return None
    return read + 0.0 if math.isfinite(read) else None


def _text(feature: Feature, value: JsonValue) -> Value:
    return value if isinstance(value, str) and len(value) <= TEXT_MAX and "\x00" not in value else None


def _flag(feature: Feature, value: JsonValue) -> Value:
    return value if isinstance(value, bool) else None


def _vector(feature: Feature, value: JsonValue) -> Value:
    if not isinstance(value, list) or len(value) != feature.dimensions:
        return None
    read = [_float(feature, each) for each in value]
    return [each for each in read if isinstance(each, float)] if all(isinstance(each, float) for each in read) else None


READERS: dict[str, Callable[[Feature, JsonValue], Value]] = {
    "int": _int,
    "float": _float,
    "text": _text,
    "flag": _flag,
    "vector": _vector,
}
WANTED = {
    "int": f"a whole number up to {INTEGER_MAX}",
    "float": "a finite number",
    "text": f"a text of at most {TEXT_MAX} characters",
    "flag": "true or false",
    "vector": "a list of {dimensions} finite numbers",
}


def _wrong(number: int, column: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"Row {number}: {column} {what}.", remedy="Correct the row and write again: nothing was written.", code="rows_invalid"
    )


def entity_text(entity: Entity) -> str:
    """An entity as stores name it: the same text for the same keys, and for no others."""
    return json.dumps(list(entity), ensure_ascii=False, separators=(",", ":"))


def stored_value(feature: Feature, value: JsonValue) -> Value:
    """A value as it was written, from a store's JSON, which may have lost that 2 was 2.0."""
    if feature.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if feature.kind == "vector" and isinstance(value, list):
        return [float(each) for each in value if isinstance(each, int | float)]
    return None if isinstance(value, dict | list) else value
