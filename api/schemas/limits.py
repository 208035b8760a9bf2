"""Bodies of the routes over limits."""

from decimal import Decimal

from pydantic import Field

from api.schemas.chat import Body
from factory_infra.saas.metering.limits import Cap


class NewLimit(Body):
    """A cap for a team, or for one project or one key of it."""

    tenant: str = Field(max_length=64)
    project: str = Field(default="", max_length=64)
    key_id: str = Field(default="", max_length=24)
    resource: str = Field(max_length=16, description="money, tokens, requests or parallel.")
    window: str = Field(max_length=16, description="minute, day, month or total; now for parallel.")
    cap: Decimal = Field(description="Money in the price book's currency, else a whole number. Zero lets nothing through.")

    @property
    def wanted(self) -> Cap:
        """The cap as the book of limits takes it."""
        return Cap.model_validate(self.model_dump())
