"""Who may what: how quick a check is, how soon a role that was taken away is gone, what the second wall costs, and a quota's edge."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
from rich.console import Console
from sqlalchemy import text

from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.database import Database
from factory_infra.errors import Forbidden, QuotaExceeded
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.pool_quotas import PoolQuota, PoolQuotas
from factory_infra.iaas.leases.service import Leases
from factory_infra.notices import Notices
from factory_infra.paas.tenants.directory import Directory
from factory_infra.paas.tenants.members import Members
from factory_infra.paas.tenants.organisations import Organisations
from factory_infra.paas.tenants.permissions import check_granted
from factory_infra.paas.tenants.service import Tenants
from factory_infra.paas.tenants.structure import NewMember, NewRole
from factory_infra.paas.tenants.teams import Naming
from factory_infra.records.audit import AuditLog, NewEntry
from factory_infra.second_wall import seen_by

PEOPLE, TEAMS, LOOKS = 500, 50, 20_000
REVOCATIONS, ASKERS, EDGE, POOL_EDGE = 20, 200, 50, 30
CHECK_MS_MAX, REVOKED_SECONDS_MAX = 1.0, 1.0
WAIT_SECONDS_MAX = 30.0


class Slots:
    """A pool of slots that are always there."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(index=index, kind="cpu", name="core", memory_gib=1) for index in range(count)]

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return Pool(name=name or "local", slots=self._slots)


async def timed(ask: Callable[[int], Awaitable[object]], count: int) -> list[float]:
    """Milliseconds of each of so many."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def shown(taken: list[float]) -> tuple[str, float]:
    """Percentiles in words, and the last of them."""
    p50, p99 = (float(np.percentile(taken, share)) for share in (50, 99))
    return f"p50 {p50:.3f}, p99 {p99:.3f} ms", p99


async def furnished(database: Database, leases: Leases) -> Members:
    """Teams of one organisation, and people with a role of one's own in them."""
    tenants, members = Tenants(database, b"p" * 32), Members(database)
    await Organisations(database).create("acme")
    await members.create_role(NewRole(organisation="acme", name="janitor", permissions=["jobs:*", "*:read"]))
    for number in range(TEAMS):
        await tenants.create(f"team-{number}", quota_slots=EDGE, budget=Decimal(1), naming=Naming(organisation="acme"))
    for number in range(PEOPLE):
        wanted = NewMember(tenant=f"team-{number % TEAMS}", subject=f"oidc:{number}", role="janitor")
        await members.add(wanted, by="benchmark")
    return members


async def permission_checks(url: str, database: Database, members: Members) -> list[Check]:
    """A check that is remembered, one that is not, and how soon another process knows that there is nothing to remember."""

    async def look(directory: Directory, number: int) -> None:
        person = await directory.person(f"oidc:{number % PEOPLE}", None)
        check_granted(person.permissions or frozenset(), "jobs:cancel")

    plain, directory, notices = Directory(database), Directory(database), Notices(url)
    directory.remember(notices)
    await notices.start()
    cold, _ = shown(await timed(lambda number: look(plain, number), PEOPLE))
    await timed(lambda number: look(directory, number), PEOPLE)
    warm, p99 = shown(await timed(lambda number: look(directory, number), LOOKS))
    latest = max([await revoked(directory, members, number) for number in range(REVOCATIONS)])
    await notices.close()
    goal = f"p99 <= {CHECK_MS_MAX:g} ms"
    return [
        Check(f"a permission check of {PEOPLE} people, remembered", warm, goal, p99 <= CHECK_MS_MAX),
        Check("the same, asked of PostgreSQL", cold, "told", held=True),
        Check(
            f"a role that was taken away is gone elsewhere, the latest of {REVOCATIONS}",
            f"{latest * 1000:.1f} ms",
            f"<= {REVOKED_SECONDS_MAX:g} s",
            latest <= REVOKED_SECONDS_MAX,
        ),
    ]


async def revoked(directory: Directory, members: Members, number: int) -> float:
    """Seconds until who remembers a person forgets the role that is taken away now."""
    subject = f"oidc:leaver-{number}"
    member = await members.add(NewMember(tenant="team-0", subject=subject, role="user"), by="benchmark")
    await directory.person(subject, None)
    await members.remove(member.id)
    began = time.perf_counter()
    while time.perf_counter() - began < WAIT_SECONDS_MAX:
        try:
            await directory.person(subject, None)
        except Forbidden:
            return time.perf_counter() - began
        await asyncio.sleep(0)
    return WAIT_SECONDS_MAX


async def wall(database: Database) -> list[Check]:
    """A transaction with one question, of the platform and of a team."""

    async def ask(_: int) -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT count(*) FROM plans WHERE tenant = 'team-1'"))

    await timed(ask, 200)
    whole, _ = shown(await timed(ask, 2_000))
    with seen_by("team-1"):
        narrowed, _ = shown(await timed(ask, 2_000))
    return [
        Check("a transaction of the platform", whole, "told", held=True),
        Check("the same of a team, behind the second wall", narrowed, "told", held=True),
    ]


async def edge(database: Database, leases: Leases) -> list[Check]:
    """Many at one time at the edge of a quota over all pools, and of one in a pool."""
    await PoolQuotas(database).set(PoolQuota(tenant="team-2", pool="local", slots_max=POOL_EDGE))
    found = []
    for team, bound, what in (("team-1", EDGE, "over all pools"), ("team-2", POOL_EDGE, "in one pool")):
        asked = [LeaseRequest(tenant=team, slots=1, purpose="", plan_id="", key=f"{team}/{number}") for number in range(ASKERS)]
        ended = await asyncio.gather(*map(leases.acquire, asked), return_exceptions=True)
        granted = sum(not isinstance(each, BaseException) for each in ended)
        refused = sum(isinstance(each, QuotaExceeded) for each in ended)
        held = granted == bound and refused == ASKERS - bound
        goal = f"{bound} granted, the others refused by the quota"
        found.append(Check(f"{ASKERS} ask at one time for a slot, quota {what}", f"{granted} granted, {refused} refused", goal, held))
    return found


async def log(database: Database) -> list[Check]:
    """How many rows the audit log takes and checks in a second."""
    audit = AuditLog(database)
    began = time.perf_counter()
    for number in range(500):
        await audit.add(NewEntry(action="benchmark:row", object=f"row/{number}"))
    written = 500 / (time.perf_counter() - began)
    began = time.perf_counter()
    verdict = await audit.verify()
    checked = verdict.rows / (time.perf_counter() - began)
    return [
        Check("rows of the audit log written, one after another", f"{written:,.0f} a second", "told", held=True),
        Check(f"the chain of {verdict.rows:,} rows checked", f"{checked:,.0f} a second", "it holds", verdict.holds),
    ]


async def measured(url: str) -> list[Check]:
    """All figures."""
    database = Database(url)
    leases = Leases(database, Slots(2 * EDGE))
    members = await furnished(database, leases)
    found = [*await permission_checks(url, database, members), *await wall(database), *await edge(database, leases), *await log(database)]
    await database.close()
    return found


def checks() -> list[Check]:
    """Measure on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-permissions-") as home, postgres(Path(home) / "pg") as url:
        return asyncio.run(measured(url))


if __name__ == "__main__":
    found = checks()
    print_checks(Console(width=150, highlight=False), found)
    sys.exit(0 if all(check.held for check in found) else 1)
