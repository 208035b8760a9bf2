"""A price book of one's own: a copy of the one in use with a further version, written whole or not at all."""

import os
import secrets
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import yaml
from pydantic import ValidationError

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.saas.metering.prices import PriceBook, Prices

FILE = "price_book.yaml"
"""Its name in the home."""
HEAD = """# The price book of this installation; LINESHAFT_PRICE_BOOK names it.
# A version holds from its date (UTC) until the next one begins. Never change a version that was in use: add one.
"""


def extended(book: PriceBook, entries: Mapping[str, Mapping[str, str]], since: date, version: str) -> PriceBook:
    """Return a book with a further version: the one before it, with the entries in its prices of tokens.

    Raises InvalidInput for entries or a name that cannot be, Conflict where a version begins on that day or bears that name already.
    """
    taken = next((each for each in book.versions if each.since == since or each.version == version), None)
    if taken is not None:
        raise Conflict(
            f"Version {taken.version} holds from {taken.since}.",
            remedy="Name another day and version: one that may have been in use is never changed.",
            code="price_version_taken",
        )
    before = [each for each in book.versions if each.since < since] or book.versions[:1]
    known = before[-1].model_dump(mode="json", by_alias=True, exclude_none=True)
    tokens = {**known["million_tokens"], **{name: dict(entry) for name, entry in entries.items()}}
    try:
        added = Prices.model_validate({**known, "version": version, "from": since, "million_tokens": tokens})
    except ValidationError as error:
        raise InvalidInput(f"Version {version} cannot be: {error}", remedy="Correct what is named.") from error
    return PriceBook(versions=[*book.versions, added])


def write(book: PriceBook, path: Path) -> None:
    """Write a book to a file that PriceBook.load reads."""
    dumped = book.model_dump(mode="json", by_alias=True, exclude_none=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(HEAD + yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True, width=140))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
