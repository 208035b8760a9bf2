"""Which machines hold which accelerators, and for what price."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import HouseDep, PrincipalDep
from factory_infra.foundation.accelerators.offer_books import OfferBooks
from factory_infra.foundation.accelerators.offers import FoundOffers, OfferQuery
from factory_infra.foundation.pools.spec import Name

router = APIRouter(prefix="/v1/accelerators", tags=["accelerators"])


class OffersQuery(OfferQuery):
    """What kind of machine is wanted, and with which pool's prices."""

    pool: Name | None = None


@router.get("/offers")
async def offers(asker: PrincipalDep, held: HouseDep, wanted: Annotated[OffersQuery, Query()]) -> FoundOffers:
    """Find machines, the cheapest accelerator first; the answer says of when and whence its prices are."""
    query = OfferQuery(**wanted.model_dump(exclude={"pool"}))
    return await OfferBooks(held.factory.settings.home).find(query, wanted.pool or "")
