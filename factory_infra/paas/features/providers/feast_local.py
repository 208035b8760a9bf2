"""Features by Feast: history in Parquet files, the newest values in PostgreSQL, its registry and its joins in a process of its own."""

import asyncio
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from factory_infra.database import Database
from factory_infra.paas.features.interface import Joined, Sources, Wanted
from factory_infra.paas.features.models import Batch, Entity, FeatureRow, StoredView
from factory_infra.paas.features.offline import OfflineFiles
from factory_infra.paas.features.online import OnlineValues
from factory_infra.paas.features.providers.feast_process import FeastProcess
from factory_infra.paas.features.wire import Order, Setup


class FeastLocal:
    """Writing and reading do without Feast, so they are quick; joining and materialising are Feast's.

    Args:
        database: where the newest values lie.
        database_url: the same, for Feast's registry.
        address: a folder or `s3://BUCKET/PREFIX` for the history.
        scratch: a folder on this machine for what Feast reads.
    """

    def __init__(self, database: Database, database_url: SecretStr, address: str, scratch: Path) -> None:
        self._files = OfflineFiles(address)
        self._scratch = scratch
        self._values = OnlineValues(database)
        self._feast = FeastProcess(Setup(database_url=database_url.get_secret_value(), features_url=address, scratch=str(scratch)))

    async def close(self) -> None:
        """End Feast's process."""
        await self._feast.close()

    async def apply(self, view: StoredView) -> None:
        """Nothing to make: Feast is told of a view when it first joins with it, from our definition."""

    async def write(self, view: StoredView, rows: Sequence[FeatureRow], batch: Batch) -> Batch:
        """Write the part, then the newest values."""
        part, digest = await asyncio.to_thread(self._files.write, view, rows, batch)
        if batch.online:
            await self._values.put(view, rows, batch.written_at)
        return batch.model_copy(update={"part": part, "part_digest": digest})

    async def read(self, view: StoredView, entities: Sequence[Entity]) -> list[FeatureRow | None]:
        """Read the newest rows by one statement."""
        return await self._values.get(view, entities)

    async def remove(self, view: StoredView) -> None:
        """Forget the newest values; the files stay."""
        await self._values.remove(view)

    async def forget(self, tenant: str) -> None:
        """Remove the parts, and what was laid out for Feast."""
        await asyncio.to_thread(self._files.forget, tenant)
        await asyncio.to_thread(shutil.rmtree, self._scratch / tenant, ignore_errors=True)

    async def history(self, sources: Sources, start: datetime, end: datetime, rows_max: int) -> list[FeatureRow]:
        """Read the parts of a window."""
        return await asyncio.to_thread(self._files.history, sources, start, end, rows_max)

    async def join(self, sources: Sequence[Sources], wanted: Wanted, target: Path) -> Joined:
        """Have Feast join."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        reply = await self._feast.ask(Order(kind="join", sources=list(sources), wanted=wanted, target=str(target)))
        return reply.joined or Joined(rows=0, digest="", complete=0.0)

    async def materialise(self, sources: Sources, end: datetime) -> int:
        """Have Feast materialise."""
        return (await self._feast.ask(Order(kind="materialise", sources=[sources], end=end))).entities

    async def by_feast(self, view: StoredView, entities: Sequence[Entity]) -> list[dict[str, object]]:
        """What Feast's own reading tells: for comparisons."""
        sources = Sources(view=view, batches=())
        return (await self._feast.ask(Order(kind="read", sources=[sources], entities=list(entities)))).values
