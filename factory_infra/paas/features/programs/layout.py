"""Lays a view's history out so that Feast's join has one right answer. Loaded by Feast's process alone."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from factory_infra.errors import TooLarge
from factory_infra.paas.features.interface import Sources
from factory_infra.paas.features.models import EVENT, WRITTEN
from factory_infra.paas.features.offline import ENTITY, OfflineFiles, table_of

CORRECTIONS_MAX = 998
NEXT = 999
"""Nanoseconds. Feast sorts by the event's moment alone and keeps any of those that are equal, so rows of one entity and moment are told
apart by a nanosecond each, in the order in which they were written; a question is asked as of the last nanosecond of its microsecond."""


def history(sources: Sources, files: OfflineFiles) -> pd.DataFrame:
    """All rows of a view in the order in which they were written, no two of an entity at one moment.

    Raises TooLarge where more than 998 rows say something of one entity at one moment.
    """
    tables = [table for _, table in files.tables(sources.batches)]
    empty = table_of(sources.view, [], sources.view.created_at)
    names = [ENTITY, EVENT, WRITTEN, *(each.name for each in sources.view.features)]
    frame = pa.concat_tables([empty, *tables]).select(names).to_pandas()
    rank = frame.groupby([ENTITY, EVENT]).cumcount()
    if len(rank) and int(rank.max()) > CORRECTIONS_MAX:
        raise TooLarge(
            f"Feature view {sources.view.title} holds more than {CORRECTIONS_MAX + 1} rows of one entity at one moment.",
            remedy="Give events moments of their own.",
        )
    frame[EVENT] = frame[EVENT].astype("datetime64[ns, UTC]") + pd.to_timedelta(rank, unit="ns")
    frame[WRITTEN] = frame[WRITTEN].astype("datetime64[ns, UTC]")
    return frame


@contextmanager
def laid_out(frame: pd.DataFrame, path: Path) -> Iterator[None]:
    """Keep rows where Feast finds them until the block ends; other processes wait meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        frame.to_parquet(path, index=False, coerce_timestamps=None)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
