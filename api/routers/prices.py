"""Prices: what a unit costs now, and when that changes or changed."""

from fastapi import APIRouter

from api.deps import HouseDep, PrincipalDep
from api.schemas.prices import PriceList

router = APIRouter(prefix="/v1/prices", tags=["prices"])


@router.get("")
async def get_prices(asker: PrincipalDep, held: HouseDep) -> PriceList:
    """Show the price book: the version in force, and all dated versions. It is the same for every team."""
    book = held.factory.metering.prices
    return PriceList(version=book.version, currency=book.currency, versions=book.versions)
