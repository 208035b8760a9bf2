"""Training sets: features as they were known at each row's moment, kept under the digest of their rows."""

import asyncio
import builtins
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue
from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound, TooLarge
from factory_infra.paas.features.interface import Ask, Joined, PointInTime, Sources, Wanted
from factory_infra.paas.features.models import EVENT, KeyValue, StoredView, TrainingSet, TrainingSetSpec
from factory_infra.paas.features.rows import EARLIEST, entity_of, moment
from factory_infra.paas.features.service import Features, lacks
from factory_infra.paas.features.tables import TrainingSetRow

ASKS_MAX = 200_000
COLUMNS_MAX = 2_000


class TrainingSets:
    """Makes and keeps training sets.

    Args:
        database: where they are listed.
        features: the views that they are joined from.
        folder: where their files lie.
    """

    def __init__(self, database: Database, features: Features, folder: Path) -> None:
        self._database = database
        self._features = features
        self._folder = folder

    async def forget(self, tenant: str) -> None:
        """Remove the files of a team's sets; what they were made of stays written down. Idempotent."""
        await asyncio.to_thread(shutil.rmtree, self._folder / tenant, ignore_errors=True)

    async def make(self, tenant: str, spec: TrainingSetSpec, key: str, by: str) -> TrainingSet:
        """Join a training set; the same key gives the same set again.

        Raises NotFound for a view, InvalidInput for a feature or a row, Conflict `key_reused`, and what the store's join raises.
        """
        request: dict[str, JsonValue] = spec.model_dump(mode="json")
        known = await self.of_key(tenant, key)
        if known is not None:
            if known.request != request:
                raise Conflict("This key made another training set.", remedy="Use a key once.", code="key_reused")
            return known
        sources, columns = await self._columns(tenant, spec.features)
        asks = await self._asks(tenant, spec, [each.view for each in sources])
        name = f"set-{hashlib.sha256(f'{tenant}/{key}'.encode()).hexdigest()[:32]}"
        path = self._folder / tenant / f"{name}.parquet"
        wanted = Wanted(columns=columns, asks=asks, label="label" if spec.label else "", as_served=spec.as_served)
        joined = await self._join(sources, wanted, path)
        made = TrainingSet(
            id=name,
            tenant=tenant,
            digest=joined.digest,
            rows=joined.rows,
            features=[f"{title.partition('@')[0]}__{feature}" for title, names in columns.items() for feature in names],
            label=spec.label or "",
            views=[each.view.title for each in sources],
            complete=joined.complete,
            request=request,
            path=str(path),
            created_by=by[:128],
            created_at=utcnow(),
        )
        kept = await self._keep(key, made)
        if self._features.shelf is not None:
            await self._features.shelf.joined(kept)
        return kept

    async def foresee(self, tenant: str, spec: TrainingSetSpec) -> None:
        """Raise what `make` would of views, features and label; nothing is joined."""
        await self._columns(tenant, spec.features)
        if spec.spine is not None:
            view, _ = await self._referred(tenant, spec.spine.view)
            await self._label(tenant, spec, view)

    async def get(self, tenant: str, set_id: str) -> TrainingSet:
        """Return a set. Raises NotFound, also for another team's."""
        async with self._database.transaction() as session:
            row = await session.get(TrainingSetRow, set_id)
        if row is None or row.tenant != tenant:
            raise NotFound(
                f"Team {tenant} has no training set {set_id[:64]}.", remedy="List the training sets.", code="training_set_unknown"
            )
        return shaped(row)

    async def list(self, tenant: str | None, limit: int = 100, offset: int = 0) -> list[TrainingSet]:
        """Return sets, newest first."""
        query = select(TrainingSetRow).order_by(TrainingSetRow.created_at.desc(), TrainingSetRow.id).limit(limit).offset(offset)
        if tenant is not None:
            query = query.where(TrainingSetRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [shaped(row) for row in await session.scalars(query)]

    async def of_key(self, tenant: str, key: str) -> TrainingSet | None:
        """The set that a key made, None where it made none."""
        query = select(TrainingSetRow).where(TrainingSetRow.key == f"{tenant}/{key}")
        async with self._database.transaction() as session:
            row = await session.scalar(query)
        return shaped(row) if row is not None else None

    async def _keep(self, key: str, made: TrainingSet) -> TrainingSet:
        async with self._database.transaction(lock=f"feature-set:{made.id}") as session:
            row = await session.get(TrainingSetRow, made.id)
            if row is None:
                session.add(TrainingSetRow(key=f"{made.tenant}/{key}", path=made.path, **made.model_dump(exclude={"path"})))
                return made
            return shaped(row)

    async def _columns(self, tenant: str, wanted: Sequence[str]) -> tuple[builtins.list[Sources], dict[str, builtins.list[str]]]:
        """The views with their writes, and by view the features, in the order of the request."""
        views: dict[str, StoredView] = {}
        columns: dict[str, builtins.list[str]] = {}
        for text in wanted:
            view, feature = await self._referred(tenant, text)
            names = [feature] if feature else [each.name for each in view.features]
            views[view.title] = view
            taken = columns.setdefault(view.title, [])
            taken += [name for name in names if name not in taken]
        if len({view.name for view in views.values()}) < len(views):
            raise InvalidInput("Two versions of one view cannot be in one training set.", remedy="Name one of them.")
        if sum(len(names) for names in columns.values()) > COLUMNS_MAX:
            raise TooLarge(f"A training set has at most {COLUMNS_MAX} features.", remedy="Ask for fewer.", code="training_set_too_large")
        return [await self._features.sources(view) for view in views.values()], columns

    async def _referred(self, tenant: str, text: str) -> tuple[StoredView, str]:
        """The view and the feature that a reference names; no feature for all of them."""
        title, _, feature = text.partition(":")
        name, _, version = title.partition("@")
        view = await self._features.get(tenant, name, int(version) if version else None)
        if feature and view.feature(feature) is None:
            known = ", ".join(each.name for each in view.features[:20])
            raise InvalidInput(f"{view.title} has no feature {feature}.", remedy=f"It has: {known}.", code="feature_unknown")
        return view, feature

    async def _asks(self, tenant: str, spec: TrainingSetSpec, views: Sequence[StoredView]) -> builtins.list[Ask]:
        """The rows before their features."""
        if (spec.spine is None) == (not spec.rows):
            raise InvalidInput("A training set takes its rows from a spine or from a list.", remedy="Give one of 'spine' and 'rows'.")
        needed = {key.name for view in views for key in view.keys}
        asks = await self._from_spine(tenant, spec) if spec.spine is not None else self._from_rows(spec, views)
        if not asks:
            raise InvalidInput("The training set has no rows: nothing happened in that window.", remedy="Widen it.")
        missing = sorted(needed - set(asks[0].keys))
        if missing:
            raise InvalidInput(f"The rows have no {missing[0]}, which a view's rows are named by.", remedy="Take a spine that has it.")
        return asks

    async def _from_spine(self, tenant: str, spec: TrainingSetSpec) -> builtins.list[Ask]:
        """One row for each event of a view in the window; its label is what that very event says."""
        spine = spec.spine
        if spine is None:
            return []
        view, _ = await self._referred(tenant, spine.view)
        label = await self._label(tenant, spec, view)
        start, end = spine.start or EARLIEST, min(spine.end or utcnow(), utcnow())
        rows = await self._features.history(view, start, end, ASKS_MAX + 1)
        if len(rows) > ASKS_MAX:
            raise TooLarge(f"A training set has at most {ASKS_MAX} rows.", remedy="Take a shorter window.", code="training_set_too_large")
        names = [key.name for key in view.keys]
        return [
            Ask(keys=dict(zip(names, row.entity, strict=True)), event_at=row.event_at, label=row.values[label] if label else None)
            for row in rows
            if not label or row.values[label] is not None
        ]

    async def _label(self, tenant: str, spec: TrainingSetSpec, spine: StoredView) -> str:
        if spec.label is None:
            return ""
        view, feature = await self._referred(tenant, spec.label)
        if view.title != spine.title or not feature:
            raise InvalidInput(
                f"The label {spec.label} is not a feature of the spine {spine.title}.", remedy="Take the labels' view as the spine."
            )
        return feature

    def _from_rows(self, spec: TrainingSetSpec, views: Sequence[StoredView]) -> builtins.list[Ask]:
        """The rows as they are named."""
        if spec.label is not None:
            raise InvalidInput("Rows that are named have no label of a view.", remedy="Take the labels' view as the spine.")
        keys = {key.name: key for view in views for key in view.keys}
        asks = []
        for number, row in enumerate(spec.rows, 1):
            at = moment(row.get(EVENT))
            if at is None:
                raise InvalidInput(f"Row {number}: {EVENT} is not a moment with its zone.", remedy="Say as of when.", code="rows_invalid")
            values: tuple[KeyValue, ...] = entity_of(list(keys.values()), row, number)
            asks.append(Ask(keys=dict(zip(keys, values, strict=True)), event_at=at))
        return asks

    async def _join(self, sources: builtins.list[Sources], wanted: Wanted, path: Path) -> Joined:
        view = sources[0].view
        store = self._features.store(view)
        if not isinstance(store, PointInTime) or any(each.view.provider != view.provider for each in sources):
            raise lacks(view, "joins with these views")
        return await store.join(sources, wanted, path)


def shaped(row: TrainingSetRow) -> TrainingSet:
    """Shape a row for callers."""
    return TrainingSet(**{name: getattr(row, name) for name in TrainingSet.model_fields})
