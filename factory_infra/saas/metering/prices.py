"""The price book: what a unit costs, by dated versions."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Annotated, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.models import Charge, Exact, Usage

SHIPPED = Path(__file__).with_name("price_book.yaml")
SECONDS_PER_HOUR = Decimal(3600)
SECONDS_PER_MINUTE = Decimal(60)
MILLION = Decimal(1_000_000)
ONE = Decimal(1)
SMALLEST = Decimal("0.000000000001")
"""The smallest amount that the ledger keeps: every price is rounded to it, so that sums of entries are exact."""
MICRO = Decimal("0.000001")
Money = Annotated[Exact, Field(ge=0)]
Each = TypeVar("Each")


class TokenPrice(BaseModel):
    """Price of a million tokens in each direction."""

    model_config = ConfigDict(extra="forbid")

    into: Money = Field(alias="in")
    out: Money
    cached: Money | None = Field(default=None, description="Tokens in that came from a cache; as the others without.")
    cache_write: Money | None = Field(default=None, description="Tokens in that a cache keeps; as the others without.")
    batch: Money = Field(default=ONE, description="The factor on all of them for work that is done in a batch.")


class AudioPrice(BaseModel):
    """Price of speech: of what is listened to by the minute, of what is spoken by the million characters."""

    model_config = ConfigDict(extra="forbid")

    minute: Money = Decimal(0)
    million_characters: Money = Decimal(0)


AUDIO_DEFAULT = AudioPrice(minute=Decimal("0.024"), million_characters=Decimal(16))
"""For a book that does not speak of audio: never nothing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one model costs under one version: a price per single token, second and character, to be kept where calls are many."""

    version: str
    subject: str
    into: Decimal
    out: Decimal
    cached: Decimal
    cache_written: Decimal
    audio_second: Decimal
    character: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """What a call costs, rounded to what the ledger keeps."""
        fresh = max(usage.tokens_in - usage.tokens_cached - usage.tokens_cache_written, 0)
        total = fresh * self.into + usage.tokens_out * self.out
        if usage.tokens_cached or usage.tokens_cache_written:
            total += usage.tokens_cached * self.cached + usage.tokens_cache_written * self.cache_written
        if usage.audio_seconds or usage.characters:
            total += seconds(usage.audio_seconds) * self.audio_second + usage.characters * self.character
        return total.quantize(SMALLEST)

    def worst(self, tokens_in_max: int, tokens_out_max: int) -> Decimal:
        """The most that so many tokens may cost, whether a cache serves them, keeps them, or neither."""
        dearest = max(self.into, self.cached, self.cache_written)
        return (tokens_in_max * dearest + tokens_out_max * self.out).quantize(SMALLEST, rounding=ROUND_CEILING)


class Prices(BaseModel):
    """One version of the book: prices by subject. Money is Decimal throughout."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    version: str = Field(min_length=1, max_length=32)
    since: date = Field(default=date.min, alias="from", description="The first day (UTC) on which it holds.")
    currency: str
    slot_hour: dict[str, Money]
    million_tokens: dict[str, TokenPrice]
    audio: dict[str, AudioPrice] = Field(default={"default": AUDIO_DEFAULT})

    @field_validator("million_tokens", "audio")
    @classmethod
    def _default_is_there(cls, value: dict[str, Each]) -> dict[str, Each]:
        if "default" not in value:
            raise ValueError("'default' is missing: what a model costs that is not named")
        return value

    def rate(self, subject: str, *, batch: bool = False) -> Rate:
        """Return what a model costs: under its own name, that of its family (before the colon), or as the default."""
        tokens, audio = named(self.million_tokens, subject), named(self.audio, subject)
        factor = (tokens.batch if batch else ONE) / MILLION
        cached, cache_write = tokens.cached, tokens.cache_write
        return Rate(
            version=self.version,
            subject=subject,
            into=tokens.into * factor,
            out=tokens.out * factor,
            cached=(tokens.into if cached is None else cached) * factor,
            cache_written=(tokens.into if cache_write is None else cache_write) * factor,
            audio_second=audio.minute / SECONDS_PER_MINUTE,
            character=audio.million_characters / MILLION,
        )

    def hour(self, subject: str) -> Decimal:
        """Return what an hour of a slot costs: of `gpu:H100:spot`, else of `gpu:H100`, else of `gpu`. Raises InvalidInput."""
        name = subject
        while name not in self.slot_hour:
            name, colon, _ = name.rpartition(":")
            if not colon:
                raise InvalidInput(f"A slot of kind '{subject}' has no price.", remedy="Add it to the price book's slot_hour.")
        return self.slot_hour[name]

    def price(self, charge: Charge) -> Decimal:
        """Return what a charge costs, rounded to what the ledger keeps. Raises InvalidInput for a kind of slot without a price."""
        if charge.unit == "slot_seconds":
            return (charge.quantity * self.hour(charge.subject) / SECONDS_PER_HOUR).quantize(SMALLEST)
        rate = self.rate(charge.subject, batch=charge.batch)
        if charge.unit == "audio_seconds":
            return (charge.quantity * rate.audio_second).quantize(SMALLEST)
        if charge.unit == "characters":
            return (charge.quantity * rate.character).quantize(SMALLEST)
        fresh = max(charge.quantity - charge.quantity_cached - charge.quantity_cache_written, Decimal(0))
        into = fresh * rate.into + charge.quantity_cached * rate.cached + charge.quantity_cache_written * rate.cache_written
        return (into + charge.quantity_out * rate.out).quantize(SMALLEST)


class PriceBook(BaseModel):
    """The versions of the prices, oldest first. One that ends is followed by the next, so at each moment exactly one holds.

    What is asked of the book itself is answered by the version that holds now.
    """

    model_config = ConfigDict(extra="forbid")

    versions: list[Prices] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one_version(cls, value: object) -> object:
        """A book may be a single version without a list."""
        return {"versions": [value]} if isinstance(value, dict) and value and "versions" not in value else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        self.versions.sort(key=lambda each: each.since)
        for older, newer in zip(self.versions, self.versions[1:], strict=False):
            if older.since == newer.since:
                raise ValueError(f"'from' of versions {older.version} and {newer.version} is the same day: they overlap")
        if len({each.version for each in self.versions}) < len(self.versions):
            raise ValueError("'version' is the same twice: each has a name of its own")
        if len({each.currency for each in self.versions}) > 1:
            raise ValueError("'currency' differs between versions: the ledger has one")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> "PriceBook":
        """Read a price book, the one that ships without a path. Raises InvalidInput that names the file and the field."""
        source = path or SHIPPED
        try:
            return cls.model_validate(yaml.safe_load(source.read_text()))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise InvalidInput(f"The price book {source} cannot be read: {error}", remedy="Compare it with the one that ships.") from error

    def at(self, moment: datetime) -> Prices:
        """Return the version that holds at a moment. The first one holds before its date as well."""
        day = moment.astimezone(UTC).date()
        return self.versions[max(bisect_right(self.versions, day, key=lambda each: each.since) - 1, 0)]

    def named(self, version: str) -> Prices:
        """Return a version by its name: what was reserved by it is settled by it. One that is no longer in the book: what holds now."""
        return next((each for each in self.versions if each.version == version), self.now)

    @property
    def now(self) -> Prices:
        """The version that holds now."""
        return self.at(utcnow())

    @property
    def version(self) -> str:
        """The name of the version that holds now."""
        return self.now.version

    @property
    def currency(self) -> str:
        """The currency of all versions."""
        return self.versions[0].currency

    @property
    def slot_hour(self) -> dict[str, Decimal]:
        """Prices of an hour of a slot, by its kind."""
        return self.now.slot_hour

    def rate(self, subject: str, *, batch: bool = False) -> Rate:
        """What a model costs now."""
        return self.now.rate(subject, batch=batch)

    def price(self, charge: Charge) -> Decimal:
        """Return what a charge costs now. Raises InvalidInput for a kind of slot without a price."""
        return self.now.price(charge)


def seconds(of_audio: float) -> Decimal:
    """Seconds of sound as the ledger keeps them, to the microsecond."""
    return Decimal(str(of_audio)).quantize(MICRO)


def named(prices: Mapping[str, Each], subject: str) -> Each:
    """The entry of a model, of its family, or the default."""
    found = prices.get(subject) or prices.get(subject.split(":")[0])
    return prices["default"] if found is None else found
