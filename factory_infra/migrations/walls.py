"""Raises the second wall: which rows of which table a team's transactions may see, as policies of PostgreSQL."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import ProgrammingError

from factory_infra.errors import InvalidInput
from factory_infra.schema import METADATA
from factory_infra.second_wall import TEAM_ROLE, TEAM_SETTING

COLUMN = "tenant"
TEAM = f"(SELECT current_setting('{TEAM_SETTING}', true))"
"""The team, asked for once a statement and not once a row."""


@dataclass(frozen=True)
class Wall:
    """What a team may do in a table. Conditions are SQL, with `{team}` for the team."""

    own: str = f"{COLUMN} = {{team}}"
    """The rows that it may read and write."""
    shown: str = ""
    """Rows that it may read besides."""
    writes: str = "INSERT, UPDATE, DELETE"
    """Its rights beside SELECT."""


READ_ONLY = Wall(writes="")
WALLS = {
    "tenants": Wall(own="name = {team}", writes=""),
    "slot_quotas": READ_ONLY,
    "ledger_entries": READ_ONLY,
    "ledger_daily": READ_ONLY,
    "ledger_limits": READ_ONLY,
    "api_keys": Wall(writes="INSERT, UPDATE"),
    "pool_quotas": READ_ONLY,
    "organisations": Wall(own="name = (SELECT organisation FROM tenants WHERE name = {team})", writes=""),
    "custom_roles": Wall(shown="tenant IS NULL AND organisation = (SELECT organisation FROM tenants WHERE name = {team})"),
    "audit_log": READ_ONLY,
    "catalog_entries": Wall(
        shown="tenant = 'shared' OR visibility = 'shared' "
        "OR (visibility = 'organisation' AND organisation = (SELECT organisation FROM tenants WHERE name = {team})) "
        "OR id IN (SELECT entry_id FROM catalog_requests WHERE tenant = {team} AND state = 'granted' AND expires_at > now())"
    ),
    "catalog_documents": Wall(
        shown="entry_id IN (SELECT id FROM catalog_entries WHERE access = 'open') "
        "OR entry_id IN (SELECT entry_id FROM catalog_requests WHERE tenant = {team} AND state = 'granted' AND expires_at > now())"
    ),
    "catalog_requests": Wall(own="tenant = {team} OR owner_tenant = {team}", writes=""),
    "tool_servers": Wall(shown="tenant IS NULL"),
    "isolation_audits": Wall(own="attacker = {team} OR victim = {team}"),
    "ledger_uses": Wall(
        own="limit_id = 'budget/' || {team} OR limit_id IN (SELECT id FROM ledger_limits WHERE tenant = {team})", writes=""
    ),
}
"""Where the wall is another than `Wall()`, which every table with the column `tenant` has."""
OF_NO_TEAM = frozenset({"nodes", "node_events", "node_moves", "node_incidents", "switch", "validation_nodes"})
"""Tables that know no team: every team may read them, none may write them."""
KPIS = ("kpi_sums", "kpi_read", "kpi_pools", "kpi_alerts", "kpi_shown")
HIDDEN = frozenset({"ledger_blocks", "ledger_processes", "pool_capacity", "slot_activity", "capacity_forecasts", *KPIS})
"""Tables that the platform keeps for itself: no team's transaction can even read them."""


def wall_of(table: Table) -> Wall | None:
    """The wall of a table; None for one that has none."""
    return WALLS.get(table.name) or (Wall() if COLUMN in table.columns else None)


def unjudged() -> list[str]:
    """Tables of which nobody said what teams may see of them: there must be none."""
    return [name for name, table in METADATA.tables.items() if wall_of(table) is None and name not in OF_NO_TEAM | HIDDEN]


def raise_walls(connection: Connection) -> None:
    """Make the teams' role, and every table's policies and rights. Idempotent: a wall that stands as it should is not touched.

    Raises InvalidInput where the role is missing and may not be made.
    """
    ensure_role(connection)
    there = set(connection.execute(_TABLES).scalars())
    for table in [each for each in METADATA.sorted_tables if each.name in there]:
        statements = list(orders(table))
        mark = hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]
        if connection.execute(_MARK, {"name": table.name}).scalar() == mark:
            continue
        for statement in statements:
            connection.execute(text(statement))
        if table.autoincrement_column is not None:
            counter = connection.execute(_COUNTER, {"name": table.name, "column": table.autoincrement_column.name}).scalar()
            if counter is not None:
                connection.execute(text(f"GRANT USAGE ON SEQUENCE {counter} TO {TEAM_ROLE}"))
        connection.execute(text(f"COMMENT ON POLICY lineshaft_own ON {table.name} IS '{mark}'"))


def orders(table: Table) -> Iterator[str]:
    """The statements that put one table's wall up, from whatever stands there now."""
    wall, name = wall_of(table), table.name
    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
    yield f"DROP POLICY IF EXISTS lineshaft_own ON {name}"
    yield f"DROP POLICY IF EXISTS lineshaft_shown ON {name}"
    yield f"REVOKE ALL ON {name} FROM {TEAM_ROLE}"
    if wall is None:
        yield f"CREATE POLICY lineshaft_own ON {name} FOR SELECT TO {TEAM_ROLE} USING ({str(name not in HIDDEN).lower()})"
        if name not in HIDDEN:
            yield f"GRANT SELECT ON {name} TO {TEAM_ROLE}"
        return
    own = wall.own.format(team=TEAM)
    yield f"CREATE POLICY lineshaft_own ON {name} FOR ALL TO {TEAM_ROLE} USING ({own}) WITH CHECK ({own})"
    if wall.shown:
        yield f"CREATE POLICY lineshaft_shown ON {name} FOR SELECT TO {TEAM_ROLE} USING ({wall.shown.format(team=TEAM)})"
    yield f"GRANT {', '.join(filter(None, ('SELECT', wall.writes)))} ON {name} TO {TEAM_ROLE}"


def ensure_role(connection: Connection) -> None:
    """Make the role that teams' transactions run under, and let this login take it on. It is one for all databases of a server."""
    if connection.execute(_MEMBER, {"role": TEAM_ROLE}).scalar():
        return
    try:
        with connection.begin_nested():
            connection.execute(text(_MAKE_ROLE))
            connection.execute(text(f"GRANT {TEAM_ROLE} TO CURRENT_USER"))
    except ProgrammingError as error:
        raise InvalidInput(
            f"The database's role may not make the role {TEAM_ROLE}, under which teams' requests run.",
            remedy=f"Once, as the server's administrator: CREATE ROLE {TEAM_ROLE} NOLOGIN; GRANT {TEAM_ROLE} TO (the address's role).",
            code="team_role_missing",
        ) from error


_MARK = text(
    "SELECT obj_description(oid, 'pg_policy') FROM pg_policy WHERE polname = 'lineshaft_own' AND polrelid = to_regclass(:name) "
    "AND EXISTS (SELECT FROM pg_class WHERE pg_class.oid = polrelid AND relrowsecurity)"
)
_COUNTER = text("SELECT pg_get_serial_sequence(:name, :column)")
_TABLES = text("SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')")
_MEMBER = text("SELECT count(*) > 0 FROM pg_roles WHERE rolname = :role AND pg_has_role(current_user, oid, 'MEMBER')")
# Two installations may begin on one server at the same moment.
_MAKE_ROLE = (
    f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{TEAM_ROLE}') THEN CREATE ROLE {TEAM_ROLE} NOLOGIN; END IF; "
    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
)
