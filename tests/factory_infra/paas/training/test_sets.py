"""Training on a training set: its rows as numbers, split as any data, under the digest that it was kept by."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.paas.features.models import TrainingSet
from factory_infra.paas.features.set_files import digest_of, numeric_rows
from factory_infra.paas.training.programs.data import of_set

AT = datetime(2026, 11, 25, tzinfo=UTC)


def kept(folder: Path, **columns: list[object]) -> TrainingSet:
    """A set as it is kept: a file, and what is known of it."""
    rows = len(next(iter(columns.values())))
    moments = pa.array([AT] * rows, pa.timestamp("us", tz="UTC"))
    table = pa.table({"plant": list(range(rows)), "event_at": moments, **columns})
    path = folder / "set.parquet"
    pq.write_table(table, path)
    features = [name for name in columns if "__" in name]
    known = {"id": "set-1", "tenant": "vision", "rows": rows, "features": features, "label": "names:species", "views": []}
    more = {"complete": 1.0, "request": {}, "path": str(path), "created_by": "alice", "created_at": AT}
    return TrainingSet.model_validate({**known, **more, "digest": digest_of(table)})


def test_flags_and_vectors_become_numbers_and_rows_with_gaps_are_left_out(tmp_path: Path) -> None:
    made = kept(tmp_path, v__a=[1.5, None, 2.5], v__b=[True, True, False], v__c=[[1.0, 2.0]] * 3, label=["x", "y", "z"])
    told = json.loads(numeric_rows(made))
    assert told == {"digest": made.digest, "rows": [[1.5, 1.0, 1.0, 2.0], [2.5, 0.0, 1.0, 2.0]], "labels": ["x", "z"]}


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"v__a": ["red", "blue"], "label": ["x", "y"]}, "feature_not_numeric"),
        ({"v__a": [1.0, 2.0]}, "training_set_unlabelled"),
        ({"v__a": [None, None], "label": ["x", "y"]}, "invalid_input"),
    ],
)
def test_what_cannot_be_trained_on_is_said(tmp_path: Path, columns: dict[str, list[object]], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        numeric_rows(kept(tmp_path, **columns))
    assert refused.value.error_code == code


def test_a_file_that_changed_is_not_trained_on(tmp_path: Path) -> None:
    made = kept(tmp_path, v__a=[1.0, 2.0], label=["x", "y"])
    kept(tmp_path, v__a=[1.0, 3.0], label=["x", "y"])
    with pytest.raises(Conflict) as refused:
        numeric_rows(made)
    assert refused.value.error_code == "training_set_changed"


def test_the_rows_are_split_as_any_data_is(tmp_path: Path) -> None:
    labels = ["cat", "dog"] * 50
    made = kept(tmp_path, v__a=[float(n) for n in range(100)], v__b=[0.5] * 100, label=[*labels])
    file = tmp_path / "dataset.json"
    file.write_text(numeric_rows(made))
    data, again = of_set(file, 3), of_set(file, 3)
    assert (data.digest, data.class_names) == (made.digest, ["cat", "dog"])
    assert [len(part.labels) for part in (data.fit, data.validate, data.held_out)] == [60, 20, 20]
    assert (data.fit.rows == again.fit.rows).all()
    for row, label in zip(data.fit.rows, data.fit.labels, strict=True):
        assert data.class_names[label] == labels[int(row[0])]


def test_a_class_with_few_rows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"digest": "d", "rows": [[1.0]] * 12, "labels": ["cat"] * 9 + ["dog"] * 3}))
    with pytest.raises(InvalidInput) as refused:
        of_set(file, 0)
    assert refused.value.error_code == "classes_too_few"
