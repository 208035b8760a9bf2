"""What stands when the key figures come is told to the log as if it had been told then, under the names that it will have later."""

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from factory_infra.database import driver_url
from factory_infra.migrations.run import FOLDER
from factory_infra.records.happenings import subject_of

pytestmark = pytest.mark.stack

STANDS = (
    "INSERT INTO tenants (name, budget, title, created_at, closed_at, revision) VALUES ('vision', 1, '', '2026-01-01Z', NULL, 1), "
    "('gone', 1, '', '2026-01-01Z', '2026-02-01Z', 1)",
    "INSERT INTO leases (id, key, tenant, pool, slot_kind, slots, purpose, plan_id, state, granted_at, expires_at, ended_at, accelerator, "
    "price_class, topology, devices, machine, machines, cluster_id, cluster_gone, terms, renewals, queue, slots_wanted, wanted, "
    "asked_at, waiting) "
    "VALUES ('lease-1', 'k', 'vision', 'p', 'gpu', '[0, 1]', '', '', 'released', '2026-01-02Z', '2026-01-03Z', '2026-01-02 05:00Z', "
    "'', 'on_demand', 'any', '[]', '', '[]', '', true, '[60]', '[]', '', 2, '{}', '2026-01-01 23:59:50Z', '{}')",
    "INSERT INTO nodes (pool, name, health, health_since, reason, report, machine_id, cluster_id, beside, replaced_by, first_seen_at) "
    "VALUES ('p', 'n', 'retired', '2026-01-05Z', '', '{}', '', '', '[]', '', '2026-01-01Z')",
    "INSERT INTO node_incidents (id, pool, node, code, severity, action, reason, opened_at, closed_at, plan_id) "
    "VALUES ('incident-1', 'p', 'n', 'xid_79', 'failure', 'replace', '', '2026-01-03Z', NULL, '')",
    "INSERT INTO isolation_audits (id, pool, attacker, victim, at, holds, asked_by, report) "
    "VALUES ('audit-1', 'p', 'a', 'b', '2026-01-04Z', false, '', "
    """'{"attempts": [{"refused": true}, {"refused": false}]}')""",
)


@pytest.fixture
def old(postgres_url: str) -> Iterator[Connection]:
    """A database as it was before the key figures."""
    outer = create_engine(driver_url(postgres_url), isolation_level="AUTOCOMMIT")
    with outer.connect() as connection:
        connection.execute(text("CREATE DATABASE before_metrics TEMPLATE template0"))
    engine = create_engine(driver_url(postgres_url.replace("/postgres?", "/before_metrics?")))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
    with outer.connect() as connection:
        connection.execute(text("DROP DATABASE before_metrics WITH (FORCE)"))
    outer.dispose()


def migrate(connection: Connection, version: str, *, back: bool = False) -> None:
    """Bring the database to a version."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    (command.downgrade if back else command.upgrade)(config, version)
    connection.commit()


def test_what_stands_is_told_and_taken_back(old: Connection) -> None:
    migrate(old, "0019")
    for statement in STANDS:
        old.exec_driver_sql(statement)
    migrate(old, "0020")
    told = {row.key: row for row in old.execute(text("SELECT key, tenant, kind, payload, tx FROM events"))}
    node = subject_of("node", "p", "n")
    ends = {"lease-1/begun", "lease-1/ended", f"{node}/seen", f"{node}/retired", "incident-1/failed", "audit-1/audited"}
    assert set(told) == ends | {"team-vision/made", "team-gone/made", "team-gone/closed"}
    begun = told["lease-1/begun"].payload
    assert (begun["slots"], begun["provision_ms"], begun["kind"]) == (2, 10_000, "gpu")
    assert (told["audit-1/audited"].payload["attempts"], told["audit-1/audited"].payload["refused"]) == (2, 1)
    assert all(row.tx > 0 for row in told.values())
    migrate(old, "0019", back=True)
    assert old.execute(text("SELECT count(*) FROM events")).scalar() == 0
    migrate(old, "0020")
    assert old.execute(text("SELECT count(*) FROM events")).scalar() == len(told)
