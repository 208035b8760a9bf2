"""The price book: what a unit costs, by a dated version."""

from decimal import Decimal
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.models import Charge

SHIPPED = Path(__file__).with_name("price_book.yaml")
SECONDS_PER_HOUR = Decimal(3600)
MILLION = Decimal(1_000_000)


class TokenPrice(BaseModel):
    """Price of a million tokens in each direction."""

    model_config = ConfigDict(extra="forbid")

    into: Decimal = Field(alias="in", ge=0)
    out: Decimal = Field(ge=0)


class PriceBook(BaseModel):
    """Prices by subject. Money is Decimal throughout."""

    model_config = ConfigDict(extra="forbid")

    version: str
    currency: str
    slot_hour: dict[str, Decimal]
    million_tokens: dict[str, TokenPrice]

    @field_validator("million_tokens")
    @classmethod
    def _default_is_there(cls, value: dict[str, TokenPrice]) -> dict[str, TokenPrice]:
        if "default" not in value:
            raise ValueError("'default' is missing: what a model costs that is not named")
        return value

    @classmethod
    def load(cls, path: Path | None = None) -> "PriceBook":
        """Read a price book, the one that ships without a path. Raises InvalidInput that names the file and the field."""
        source = path or SHIPPED
        try:
            return cls.model_validate(yaml.safe_load(source.read_text()))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise InvalidInput(f"The price book {source} cannot be read: {error}", remedy="Compare it with the one that ships.") from error

    def price(self, charge: Charge) -> Decimal:
        """Return what a charge costs. Raises InvalidInput for a kind of slot without a price."""
        if charge.unit == "tokens":
            rate = self.million_tokens.get(charge.subject) or self.million_tokens.get(charge.subject.split(":")[0])
            rate = rate or self.million_tokens["default"]
            return (charge.quantity * rate.into + charge.quantity_out * rate.out) / MILLION
        if charge.subject not in self.slot_hour:
            raise InvalidInput(f"A slot of kind '{charge.subject}' has no price.", remedy="Add it to the price book's slot_hour.")
        return charge.quantity * self.slot_hour[charge.subject] / SECONDS_PER_HOUR
