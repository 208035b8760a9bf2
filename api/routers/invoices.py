"""Invoices: what a team spent in a month."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.deps import HouseDep, ScopeDep
from api.schemas.invoices import InvoiceQuery
from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.invoices import Invoice, Invoices

router = APIRouter(prefix="/v1", tags=["invoices"])
QueryDep = Annotated[InvoiceQuery, Depends()]


async def invoice_of(held: HouseDep, tenant: ScopeDep, wanted: QueryDep) -> Invoice:
    """The invoice that the query names. Raises NotFound for an unknown team, InvalidInput where an administrator names none."""
    if tenant is None:
        raise InvalidInput(
            "An invoice is a team's.", remedy="Name one: ?tenant=… over HTTP, --team on the command line.", code="tenant_missing"
        )
    await held.factory.tenants.get(tenant)
    return await held.factory.invoices.invoice(tenant, wanted.period, wanted.by)


InvoiceDep = Annotated[Invoice, Depends(invoice_of)]


@router.get("/invoices", response_model=Invoice)
async def get_invoice(request: Request, invoice: InvoiceDep) -> Invoice | Response:
    """Show what a team spent in a month, broken down as `by` says: as JSON, or as CSV where the client accepts that."""
    return as_csv(invoice) if "text/csv" in request.headers.get("accept", "") else invoice


@router.get("/invoices.csv", response_class=Response)
async def get_invoice_csv(invoice: InvoiceDep) -> Response:
    """The same as CSV; its column `amount` adds up to the total, to the last digit."""
    return as_csv(invoice)


def as_csv(invoice: Invoice) -> Response:
    """The invoice as a file."""
    name = f"invoice-{invoice.tenant}-{invoice.since:%Y-%m}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(Invoices.csv(invoice), media_type="text/csv; charset=utf-8", headers=headers)
