"""What the routes over prices answer."""

from pydantic import BaseModel, Field

from factory_infra.saas.metering.prices import Prices


class PriceList(BaseModel):
    """The price book: what holds now, and every dated version, oldest first."""

    version: str = Field(description="The version that holds now.")
    currency: str
    versions: list[Prices]
