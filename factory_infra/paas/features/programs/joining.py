"""Training sets by Feast's point-in-time join, a view at a time, one row out for each row in. Loaded by Feast's process alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from factory_infra.errors import TooLarge
from factory_infra.paas.features.interface import Ask, Joined, Sources, Wanted
from factory_infra.paas.features.models import EVENT, KeyValue
from factory_infra.paas.features.offline import ENTITY, OfflineFiles, arrow_type
from factory_infra.paas.features.programs.definitions import Stores
from factory_infra.paas.features.programs.layout import NEXT, history, laid_out
from factory_infra.paas.features.rows import entity_text
from factory_infra.paas.features.set_files import LABEL, digest_of
from factory_infra.paas.features.wire import feast_name

ASKED = "event_timestamp"
"""Feast's name for the moment as of which a row is asked for."""
PAIRS_MAX = 50_000_000
"""Feast joins every question with the whole history of its entity before it drops what came later."""


def join(stores: Stores, files: OfflineFiles, sources: Sequence[Sources], wanted: Wanted, target: Path) -> Joined:
    """Write the training set and say what it holds. Rows are in the order of the questions."""
    columns = asked_columns(wanted.asks)
    for each in sources:
        names = wanted.columns[each.view.title]
        columns |= {f"{each.view.name}__{name}": array for name, array in view_columns(stores, files, each, wanted, names).items()}
    if wanted.label:
        columns[LABEL] = pa.array([ask.label for ask in wanted.asks])
    table = pa.table(columns)
    draft = target.with_suffix(".new")
    pq.write_table(table, draft, compression="zstd")
    draft.replace(target)
    features = [name for name in columns if "__" in name]
    missing = sum(table.column(name).null_count for name in features)
    return Joined(rows=table.num_rows, digest=digest_of(table), complete=1 - missing / max(1, len(features) * table.num_rows))


def asked_columns(asks: Sequence[Ask]) -> dict[str, pa.Array]:
    """Keys and moments as they were asked for."""
    names = sorted({name for ask in asks for name in ask.keys})
    columns = {name: pa.array([ask.keys.get(name) for ask in asks]) for name in names}
    return columns | {EVENT: pa.array([ask.event_at for ask in asks], pa.timestamp("us", tz="UTC"))}


def view_columns(stores: Stores, files: OfflineFiles, sources: Sources, wanted: Wanted, names: list[str]) -> dict[str, pa.Array]:
    """What one view knew of each question: null where it knew nothing, or nothing that it still believed."""
    questions = pd.DataFrame(
        {
            ENTITY: [entity_text(tuple(keys_of(sources, ask))) for ask in wanted.asks],
            ASKED: pd.to_datetime([a.event_at for a in wanted.asks]),
        }
    )
    questions[ASKED] = questions[ASKED].astype("datetime64[ns, UTC]") + pd.Timedelta(NEXT, unit="ns")
    rows = history(sources, files)
    rows = rows[rows[ENTITY].isin(set(questions[ENTITY]))]
    # Feast keeps one of two questions that are equal, and none whose every answer is too old: both are put back by this merge.
    different = questions.drop_duplicates(ignore_index=True)
    check_size(rows, different, sources.view.title)
    store = stores.apply(sources.view)
    with laid_out(rows, stores.laid_out(sources.view)):
        job = store.get_historical_features(
            entity_df=different,
            features=[f"{feast_name(sources.view)}:{name}" for name in names],
            filter_by_created_timestamp=wanted.as_served,
        )
        answers = job.to_df()
    answers[ASKED] = answers[ASKED].astype("datetime64[ns, UTC]")
    whole = questions.merge(answers, on=[ENTITY, ASKED], how="left", validate="many_to_one")
    kinds = {each.name: each.kind for each in sources.view.features}
    return {name: column(whole[name], arrow_type(kinds[name])) for name in names}


def keys_of(sources: Sources, ask: Ask) -> list[KeyValue]:
    """The values of a view's keys in a question."""
    return [ask.keys[key.name] for key in sources.view.keys]


def check_size(rows: pd.DataFrame, questions: pd.DataFrame, title: str) -> None:
    """Refuse a join whose middle would not fit into memory. Raises TooLarge."""
    pairs = int((questions[ENTITY].value_counts() * rows[ENTITY].value_counts()).sum())
    if pairs > PAIRS_MAX:
        raise TooLarge(
            f"The join with {title} would compare {pairs} pairs of question and row; {PAIRS_MAX} are the most.",
            remedy="Ask for fewer rows, or for a shorter window.",
            code="training_set_too_large",
        )


def column(values: "pd.Series[object]", kind: pa.DataType) -> pa.Array:
    """A column of the kind that the view declares; what is not there is null, not a number that is none."""
    plain = [None if value is None or (not isinstance(value, list | np.ndarray) and pd.isna(value)) else value for value in values]
    if pa.types.is_int64(kind):
        return pa.array([None if value is None else int(value) for value in plain], kind)
    return pa.array(plain, kind)
