"""The file of a training set: read only if its rows are those that its digest names."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from factory_infra.errors import Conflict, InvalidInput, TooLarge
from factory_infra.paas.features.models import EVENT, TrainingSet, Value

if TYPE_CHECKING:
    import pyarrow as pa

LABEL = "label"
JOB_BYTES_MAX = 64 * 1024 * 1024


class SetRows(BaseModel):
    """A training set's rows: of each column the values, in the order of the rows."""

    columns: dict[str, list[Value]]
    moments: list[str]
    keys: dict[str, list[int | str]]
    labels: list[Value]

    @property
    def end(self) -> datetime:
        """The last moment of which it knows."""
        return max(datetime.fromisoformat(moment) for moment in self.moments)

    def part(self, offset: int, limit: int) -> "SetRows":
        """So many rows from a position on."""
        some = slice(offset, offset + limit)
        return SetRows(
            columns={name: values[some] for name, values in self.columns.items()},
            moments=self.moments[some],
            keys={name: values[some] for name, values in self.keys.items()},
            labels=self.labels[some],
        )


def read_set(kept: TrainingSet) -> SetRows:
    """Return the rows of a set. Raises Conflict `training_set_changed` where the file holds others, or is gone."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    path = Path(kept.path)
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise _changed(kept, "cannot be read") from error
    if digest_of(table) != kept.digest:
        raise _changed(kept, "has changed since it was made")
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    keys = {name: values for name, values in columns.items() if "__" not in name and name not in {EVENT, LABEL}}
    return SetRows(
        columns={name: columns[name] for name in kept.features},
        moments=[each.isoformat() for each in columns[EVENT]],
        keys=keys,
        labels=columns.get(LABEL, []),
    )


def numeric_rows(kept: TrainingSet) -> str:
    """A set as a training job reads it: `digest`, `rows` of numbers and `labels`, in JSON. Rows with a gap are left out.

    Flags become 0 and 1, vectors one number for each dimension. Raises InvalidInput for words and for a set without labels or rows,
    TooLarge beyond 64 MiB, Conflict where the file changed.
    """
    found = read_set(kept)
    if not found.labels:
        raise InvalidInput(f"Training set {kept.id} has no labels.", remedy="Make one with a label.", code="training_set_unlabelled")
    rows, labels = [], []
    for number, label in enumerate(found.labels):
        values = [flat for name in kept.features for flat in numbers(name, found.columns[name][number])]
        if None not in values and label is not None:
            rows.append(values)
            labels.append(str(label))
    if not rows:
        raise InvalidInput(f"Every row of training set {kept.id} has a gap.", remedy="Ask for features that are known.")
    text = json.dumps({"digest": kept.digest, "rows": rows, "labels": labels})
    if len(text) > JOB_BYTES_MAX:
        raise TooLarge(f"Training set {kept.id} is too large for a job's folder.", remedy="Take fewer rows or features.")
    return text


def numbers(name: str, value: Value) -> list[float | None]:
    """A value as numbers; a gap stays one."""
    if value is None:
        return [None]
    if isinstance(value, str):
        raise InvalidInput(
            f"{name} holds words, which the classifiers here do not read.", remedy="Leave it out.", code="feature_not_numeric"
        )
    return [*value] if isinstance(value, list) else [float(value)]


def _changed(kept: TrainingSet, what: str) -> Conflict:
    return Conflict(
        f"The file of training set {kept.id} {what}.",
        remedy="Make the set again; nothing is trained on this one.",
        code="training_set_changed",
    )


def digest_of(table: "pa.Table") -> str:
    """SHA-256 of the columns' names, kinds, gaps and values: the same for the same rows, however they are stored."""
    import numpy as np  # noqa: PLC0415 - heavy
    import pyarrow as pa  # noqa: PLC0415 - heavy

    told = hashlib.sha256()
    for name in table.column_names:
        values = table.column(name).combine_chunks()
        # A file names the parts of a list otherwise than memory does: what they are is what counts.
        kind = f"list of {values.type.value_type}" if pa.types.is_list(values.type) else str(values.type)
        told.update(f"{name}:{kind}:{len(values)};".encode())
        told.update(np.packbits(values.is_null().to_numpy(zero_copy_only=False)).tobytes())
        told.update(bytes_of(values))
    return told.hexdigest()


def bytes_of(values: "pa.Array") -> bytes:
    """The values of a column that are there, as bytes."""
    import numpy as np  # noqa: PLC0415 - heavy
    import pyarrow as pa  # noqa: PLC0415 - heavy

    there = values.drop_null()
    if pa.types.is_string(there.type) or pa.types.is_null(there.type):
        return b"\x00".join(str(each).encode() for each in there.to_pylist())
    if pa.types.is_list(there.type):
        return bytes_of(there.flatten())
    if pa.types.is_timestamp(there.type):
        there = there.cast(pa.int64())
    return np.ascontiguousarray(there.to_numpy(zero_copy_only=False)).tobytes()
