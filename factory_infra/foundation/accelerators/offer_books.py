"""The books of offers of an installation: what a pool's account told last, else the snapshot that ships. Both are dated."""

import asyncio
from functools import cache
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from factory_infra.errors import StorageFull
from factory_infra.foundation.accelerators.offers import FoundOffers, OfferBook, OfferQuery, search

SHIPPED = Path(__file__).with_name("offers.json")


class OfferSource(Protocol):
    """Reads the offers of one account and region."""

    async def read(self) -> OfferBook:
        """Ask the provider for machines, zones and prices. Raises Unavailable, Forbidden, InvalidInput in the provider's words."""
        ...


class OfferBooks:
    """Reads and keeps books under the home; nothing is held open.

    Args:
        home: the installation's folder; the books of pools lie in `accelerators/` below it.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "accelerators"

    async def find(self, query: OfferQuery, pool: str = "") -> FoundOffers:
        """Return what fits, from the pool's own book if it has one. Raises InvalidInput for unknown names."""
        return search(await asyncio.to_thread(self.book, pool), query)

    def book(self, pool: str = "") -> OfferBook:
        """The pool's book as last refreshed, else the shipped one; a damaged file counts as none."""
        if pool:
            try:
                return OfferBook.model_validate_json(self._file(pool).read_bytes())
            except (FileNotFoundError, ValidationError):
                shipped = shipped_book()
                doubt = (
                    f"Pool {pool} was never asked: these are the shipped prices. 'lineshaft accelerators refresh --pool {pool}' asks it."
                )
                return shipped.model_copy(update={"doubts": (doubt, *shipped.doubts)})
        return shipped_book()

    async def refresh(self, pool: str, source: OfferSource) -> OfferBook:
        """Ask the pool's account and keep its answer. What was kept before stays if the account does not answer."""
        read = await source.read()
        await asyncio.to_thread(self._keep, pool, read)
        return read

    def _keep(self, pool: str, book: OfferBook) -> None:
        file = self._file(pool)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = file.with_suffix(".new")
            draft.write_text(book.model_dump_json(indent=1), encoding="utf-8")
            draft.replace(file)
        except OSError as error:
            raise StorageFull(f"The offers of pool {pool} cannot be kept: {error.strerror}.", remedy="Free space on the disk.") from error

    def _file(self, pool: str) -> Path:
        return self._folder / f"{pool}.json"


@cache
def shipped_book() -> OfferBook:
    """The snapshot that ships."""
    return OfferBook.model_validate_json(SHIPPED.read_bytes())
