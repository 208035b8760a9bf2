"""The history in Parquet files, one a write, in a folder or a bucket."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from factory_infra.errors import Conflict, EffectFailed, StorageFull, Unavailable
from factory_infra.paas.features.interface import Sources
from factory_infra.paas.features.models import EVENT, WRITTEN, Batch, FeatureRow, FeatureView, Kind, StoredView
from factory_infra.paas.features.online import entity_from
from factory_infra.paas.features.rows import entity_text

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

ENTITY = "entity"
NO_SPACE = 28


class OfflineFiles:
    """Parts of views under one address; a part counts once its batch is kept, so one that a crash left is never read.

    Args:
        address: a folder, or `s3://BUCKET/PREFIX`, with `?region=` and `?endpoint_override=` where they are needed.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    @cached_property
    def _place(self) -> "tuple[fs.FileSystem, str]":
        from pyarrow import fs  # noqa: PLC0415 - heavy: only where files are read or written

        if "://" not in self._address:
            return fs.LocalFileSystem(), str(Path(self._address).absolute())
        system, base = fs.FileSystem.from_uri(self._address)
        return system, base

    def write(self, view: StoredView, rows: Sequence[FeatureRow], batch: Batch) -> tuple[str, str]:
        """Write a part, whole or not at all, and return its name and digest. The same batch again replaces it. Raises EffectFailed."""
        name, data = part_of(view, rows, batch)
        self.store(name, data)
        return name, hashlib.sha256(data).hexdigest()

    def store(self, name: str, data: bytes) -> None:
        """Keep a part's bytes under its name, whole or not at all."""
        system, base = self._place
        path, draft = f"{base}/{name}", f"{base}/{name}.new"
        local = "://" not in self._address
        try:
            if local:
                system.create_dir(path.rpartition("/")[0], recursive=True)
            with system.open_output_stream(draft if local else path) as stream:
                stream.write(data)
            if local:
                system.move(draft, path)
        except OSError as error:
            raise _failed(error, self._address) from error

    def forget(self, tenant: str) -> None:
        """Remove every part of a team. Idempotent. Raises EffectFailed, Unavailable."""
        from pyarrow import fs  # noqa: PLC0415 - heavy

        system, base = self._place
        path = f"{base}/{tenant}"
        try:
            if system.get_file_info(path).type is not fs.FileType.NotFound:
                system.delete_dir(path)
        except OSError as error:
            raise _failed(error, self._address) from error

    def read(self, batch: Batch) -> bytes:
        """A part's bytes. Raises Conflict where they are not those that were written, Unavailable where they cannot be read."""
        system, base = self._place
        try:
            with system.open_input_stream(f"{base}/{batch.part}") as stream:
                data: bytes = stream.read()
        except FileNotFoundError as error:
            raise _changed(batch, "is gone") from error
        except OSError as error:
            raise _failed(error, self._address) from error
        if hashlib.sha256(data).hexdigest() != batch.part_digest:
            raise _changed(batch, "has changed since it was written")
        return data

    def tables(self, batches: Iterable[Batch]) -> "Iterable[tuple[Batch, pa.Table]]":
        """The parts as tables, in the order of the batches."""
        import pyarrow as pa  # noqa: PLC0415 - heavy
        import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

        for batch in batches:
            if batch.part:
                yield batch, pq.read_table(pa.BufferReader(self.read(batch)))

    def history(self, sources: Sources, start: datetime, end: datetime, rows_max: int) -> list[FeatureRow]:
        """Rows of (start, end], the newest `rows_max`, oldest first; of one entity and moment the one that was written last."""
        wanted = [batch for batch in sources.batches if batch.last_event_at > start and batch.first_event_at <= end]
        newest: dict[tuple[str, datetime], FeatureRow] = {}
        for _, table in self.tables(wanted):
            for row in table.to_pylist():
                event_at = row[EVENT].astimezone(UTC)
                if start < event_at <= end:
                    values = {each.name: row[each.name] for each in sources.view.features}
                    newest[row[ENTITY], event_at] = FeatureRow(entity=entity_from(row[ENTITY]), event_at=event_at, values=values)
        ordered = sorted(newest.values(), key=lambda row: row.event_at)
        return ordered[-rows_max:]


def part_of(view: StoredView, rows: Sequence[FeatureRow], batch: Batch) -> tuple[str, bytes]:
    """The name and the bytes of a part."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    sink = pa.BufferOutputStream()
    pq.write_table(table_of(view, rows, batch.written_at), sink, compression="zstd")
    return f"{view.tenant}/{view.name}/{view.version}/{batch.id}.parquet", sink.getvalue().to_pybytes()


def table_of(view: FeatureView, rows: Sequence[FeatureRow], written_at: datetime) -> "pa.Table":
    """Rows as a table: the entity, its keys, the moments, the features."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    moments = pa.timestamp("us", tz="UTC")
    columns = {ENTITY: pa.array([entity_text(row.entity) for row in rows], pa.string())}
    for number, key in enumerate(view.keys):
        columns[f"key__{key.name}"] = pa.array([row.entity[number] for row in rows], pa.int64() if key.kind == "int" else pa.string())
    columns[EVENT] = pa.array([row.event_at for row in rows], moments)
    columns[WRITTEN] = pa.array([written_at] * len(rows), moments)
    for each in view.features:
        columns[each.name] = pa.array([row.values[each.name] for row in rows], arrow_type(each.kind))
    return pa.table(columns)


def arrow_type(kind: Kind) -> "pa.DataType":
    """How a kind of feature lies in a file."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "flag": pa.bool_(), "vector": pa.list_(pa.float64())}
    return types[kind]


def _changed(batch: Batch, what: str) -> Conflict:
    return Conflict(
        f"A file of feature view {batch.view}@{batch.version} {what}: {batch.part}.",
        remedy="Restore it from a backup; until then nothing is trained on this view.",
        code="feature_part_changed",
    )


def _failed(error: OSError, address: str) -> EffectFailed | StorageFull | Unavailable:
    place = address.partition("?")[0]
    if error.errno == NO_SPACE:
        return StorageFull(f"No space is left for features at {place}.", remedy="Make room there.")
    if "://" in address:
        return Unavailable(f"{place} does not answer: {str(error)[:200]}", remedy="Check the bucket, its region and the credentials.")
    return EffectFailed(f"Features could not be stored at {place}: {str(error)[:200]}", remedy="Check the folder.")
