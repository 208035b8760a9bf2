"""Who sees which entry: one condition, which every read of the catalog bears; PostgreSQL's policies behind it say the same of teams."""

from collections.abc import Sequence

from sqlalchemy import BindParameter, ColumnElement, Select, and_, func, literal, or_, select, true

from factory_infra.paas.catalog.models import SHARED, Viewer
from factory_infra.paas.catalog.tables import AccessRow, CatalogRow
from factory_infra.paas.tenants.tables import TenantRow

GRANTED = "granted"
Teams = Sequence[str] | BindParameter[Sequence[str]]


def granted_to(viewer: Viewer) -> Select[str]:
    """Ids of entries that these teams were granted, now."""
    return granted_among(viewer.teams or ())


def granted_among(teams: Teams) -> Select[str]:
    """The same of teams, or of a parameter that names them."""
    return select(AccessRow.entry_id).where(AccessRow.tenant.in_(teams), AccessRow.state == GRANTED, AccessRow.expires_at > func.now())


def visible(viewer: Viewer) -> ColumnElement[bool]:
    """Whether a viewer sees that an entry is there."""
    if viewer.teams is None:
        return CatalogRow.removed_at.is_(None)
    return seen(viewer.teams, literal(viewer.actor))


def seen(teams: Teams, actor: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether teams, or a parameter that names them, see that an entry is there. Nobody's name is empty."""
    own_groups = select(TenantRow.organisation).where(TenantRow.name.in_(teams), TenantRow.organisation.is_not(None))
    mine, known = CatalogRow.tenant.in_(teams), and_(CatalogRow.owner == actor, actor != "")
    return and_(
        CatalogRow.removed_at.is_(None),
        or_(
            and_(mine, or_(CatalogRow.visibility != "private", known)),
            CatalogRow.tenant == SHARED,
            CatalogRow.visibility == "shared",
            and_(CatalogRow.visibility == "organisation", CatalogRow.organisation.in_(own_groups)),
            CatalogRow.id.in_(granted_among(teams)),
        ),
    )


def usable(viewer: Viewer) -> ColumnElement[bool]:
    """Whether a viewer that sees an entry may also look into it and use it."""
    if viewer.teams is None:
        return true()
    return or_(CatalogRow.access == "open", CatalogRow.tenant.in_(viewer.teams), CatalogRow.id.in_(granted_to(viewer)))
