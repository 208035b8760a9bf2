"""Costs: exact to the ledger on books by chance, exports that conform, findings, forecasts against the naive one, mixes.

`python -m benchmarks.control_plane.optimization [--seed N]` starts a PostgreSQL of its own; a seed gives books, a month and demands.
"""

import argparse
import asyncio
import csv
import io
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from sqlalchemy import case as case_when
from sqlalchemy import func, select

from benchmarks.groups import FAULTS
from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.database import Database, utcnow
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.paas.optimization.capacity import Capacity, CapacityAsk
from factory_infra.paas.optimization.finding_book import Findings
from factory_infra.paas.optimization.focus import csv_lines, parquet_bytes, rows
from factory_infra.paas.optimization.focus_check import check, check_file
from factory_infra.paas.optimization.forecast_models import Ask
from factory_infra.paas.optimization.forecasting import MODELS, go_on
from factory_infra.paas.optimization.mix import Mixes
from factory_infra.paas.optimization.mix_models import Load, MixAsk
from factory_infra.paas.optimization.models import DIMENSIONS
from factory_infra.paas.optimization.service import Optimization, Owner
from factory_infra.paas.optimization.tables import CapacityRow
from factory_infra.paas.tenants.structure_tables import OrganisationRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.saas.metering.invoices import Period
from factory_infra.saas.metering.models import Attribution, Charge, Transfer
from factory_infra.saas.metering.posting import Reservation, correcting, post, reserving, settling
from factory_infra.saas.metering.prices import SMALLEST, PriceBook
from factory_infra.saas.metering.spent import SpentBook
from factory_infra.saas.metering.tables import EntryRow

CALLS, LEASES = 30_000, 3_000
TEAMS = tuple(f"team-{number}" for number in range(12))
POOLS = ("local", "h100", "spot-twin")
MODELS_CALLED = ("scripted", "qwen2.5-coder-0.5b", "another")
SLOTS = ("cpu", "gpu", "gpu:H100", "gpu:H100:spot")
SECONDS_MAX, EXPORT_SECONDS_MAX = 2.0, 30.0
SERIES, HORIZON = 40, 14
ZERO = Decimal(0)
BOOK = PriceBook.load()


class Case(NamedTuple):
    """What one seed makes of it."""

    chance: random.Random
    month: Period
    seed: int


def case_of(seed: int) -> Case:
    """A month by chance, and what everything else is drawn from."""
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    year, month = chance.randrange(2024, 2027), chance.randrange(1, 13)
    return Case(chance, Period.month(f"{year}-{month:02d}"), seed)


def moment(case: Case) -> datetime:
    """A moment in the month, or up to five days about it."""
    begin = datetime.combine(case.month.since, datetime.min.time(), tzinfo=UTC)
    days = (case.month.until - case.month.since).days
    return begin + timedelta(seconds=case.chance.uniform(-5, days + 5) * 86_400)


def whose(case: Case) -> Attribution:
    """Some team, project, key, agent and plan; words that a spreadsheet would carry out are among them."""
    chance = case.chance
    return Attribution(
        tenant=chance.choice(TEAMS),
        project=chance.choice(("", "maps", "=cmd|' /C calc'!A0", "проект")),
        key_id=chance.choice(("", "k1", "k2")),
        agent=chance.choice(("", "trainer", "+agent")),
        plan_id=chance.choice(("", "plan-1", "plan-2")),
    )


def posted(case: Case, name: str, charge: Charge, backend: str) -> list[Transfer]:
    """One charge: reserved, settled for less, as much or more, and sometimes corrected, in this month or a later one."""
    chance, amount = case.chance, BOOK.price(charge)
    if chance.random() < 0.1:
        amount = (amount / 2).quantize(SMALLEST)  # done in a batch: no price of the book explains it
    held = Reservation(name, (amount * chance.choice((1, 2, Decimal("0.7")))).quantize(SMALLEST), whose(case), BOOK.version, backend)
    at = moment(case)
    found = [reserving(held, charge, at), *settling(held, charge, amount, at + timedelta(minutes=chance.randrange(600)), "done")]
    if chance.random() < 0.03 and amount:
        found.append(
            correcting(held, charge, -(amount / 3).quantize(SMALLEST), at + timedelta(days=chance.choice((0, 20))), (1, "a refund"))
        )
    return found


def books(case: Case) -> list[Transfer]:
    """The transfers of a month."""
    chance, found = case.chance, list[Transfer]()
    for number in range(CALLS):
        tokens = {"quantity": Decimal(chance.randrange(9000)), "quantity_out": Decimal(chance.randrange(3000))}
        charge = Charge(unit="tokens", subject=chance.choice(MODELS_CALLED), quantity_cached=Decimal(chance.randrange(50)), **tokens)
        found += posted(case, f"call-{number}/1~p.{number}", charge, chance.choice(("here", "there")))
    for number in range(LEASES):
        charge = Charge(unit="slot_seconds", subject=chance.choice(SLOTS), quantity=Decimal(chance.randrange(10**9)) / 1000)
        found += posted(case, f"lease/lease-{number}", charge, "")
    return found


async def filled(case: Case, database: Database) -> None:
    """Teams, leases and the ledger."""
    chance = case.chance
    async with database.transaction() as session:
        session.add_all([OrganisationRow(name=name, title=name) for name in ("acme", "umbrella")])
        await session.flush()
        for name in TEAMS:
            session.add(
                TenantRow(name=name, budget=Decimal(10**6), organisation=chance.choice((None, "acme", "umbrella")), title=f"={name}")
            )
            session.add(QuotaRow(tenant=name, slots_max=chance.randrange(1, 9)))
        for number in range(LEASES):
            session.add(lease_of(case, f"lease-{number}", chance.choice(TEAMS), Term(moment(case), chance.uniform(0.1, 30))))
    transfers = books(case)
    for start in range(0, len(transfers), 5000):
        async with database.transaction() as session:
            await post(session, transfers[start : start + 5000])


class Term(NamedTuple):
    """When a lease began, how long it lasted, and what it held."""

    begin: datetime
    hours: float
    slots: Sequence[int] = ()
    state: str = "released"


def lease_of(case: Case, name: str, team: str, term: Term) -> LeaseRow:
    """A lease in some pool."""
    held = [*term.slots] or sorted(case.chance.sample(range(8), case.chance.randrange(1, 5)))
    end = term.begin + timedelta(hours=term.hours)
    told = {"id": name, "key": name, "tenant": team, "pool": case.chance.choice(POOLS), "slot_kind": "gpu", "purpose": "", "plan_id": ""}
    ended = None if term.state == "active" else end
    return LeaseRow(**told, accelerator="H100", slots=held, state=term.state, granted_at=term.begin, expires_at=end, ended_at=ended)


async def exactness(case: Case, database: Database, folder: Path) -> list[Check]:
    """Every breakdown of every team against the entries."""
    book, wrong, breakdowns, slowest = SpentBook(database, BOOK), 0, 0, 0.0
    signed = case_when((EntryRow.credit == "spent", EntryRow.amount), (EntryRow.debit == "spent", -EntryRow.amount), else_=ZERO)
    begin, end = (datetime.combine(day, datetime.min.time(), tzinfo=UTC) for day in (case.month.since, case.month.until))
    for team in (None, *TEAMS[:3]):
        query = select(func.coalesce(func.sum(signed), 0)).where(EntryRow.at >= begin, EntryRow.at < end)
        async with database.transaction() as session:
            ought = Decimal(await session.scalar(query if team is None else query.where(EntryRow.tenant == team)) or 0)
        for size in range(len(DIMENSIONS) + 1):
            by = case.chance.sample(DIMENSIONS, size)
            began = time.perf_counter()
            told = await book.allocated(case.month, by, team)
            slowest = max(slowest, time.perf_counter() - began)
            breakdowns += 1
            wrong += not (told.exact and told.total == ought and sum((line.amount for line in told.lines), ZERO) == ought)
    entries = 2 * CALLS + 2 * LEASES
    return [
        Check(
            f"breakdowns equal to the ledger, {case.month.since:%Y-%m}", f"{breakdowns - wrong} of {breakdowns}", "all, to 1e-12", not wrong
        ),
        Check(f"slowest breakdown of {entries:,} entries", f"{slowest:.2f} s", f"<= {SECONDS_MAX:g} s", slowest <= SECONDS_MAX),
    ]


async def export(case: Case, database: Database, folder: Path) -> list[Check]:
    """The month as FOCUS, in both forms, checked, and against the ledger; and a broken file."""
    optimization = Optimization(database, SpentBook(database, BOOK))
    began = time.perf_counter()
    charges = await optimization.charges(case.month, Owner(None))
    text = "".join(csv_lines(rows(charges, "USD")))
    taken = time.perf_counter() - began
    (folder / "focus.csv").write_text(text)
    (folder / "focus.parquet").write_bytes(parquet_bytes(rows(charges, "USD")))
    reports = [check_file(folder / name) for name in ("focus.csv", "focus.parquet")]
    total = (await optimization.allocation(case.month, Owner(None))).total
    exact = all(Decimal(report.billed_cost) == total for report in reports)
    found = list(csv.DictReader(io.StringIO(text)))
    formulas = sum(cell.startswith(("=", "+", "@", "\t")) for row in found for cell in row.values())
    listed = sum(charge.basis == "list" for charge in charges) / max(len(charges), 1)
    broken = [{**row, "ChargeCategory": "Use"} for row in found[:50]]
    caught = check(list(found[0]), [{name: cell or None for name, cell in row.items()} for row in broken]).violations
    told = ", ".join(f"{report.violations} violations in {report.rows:,} rows" for report in reports)
    conform = all(report.conforms for report in reports)
    return [
        Check("FOCUS 1.2 as CSV and as Parquet", told, "none", conform),
        Check("BilledCost against the ledger, both files", "equal" if exact else "differs", "equal to 1e-12", exact),
        Check("cells that a spreadsheet would carry out", str(formulas), "0", not formulas),
        Check("charges that the price book explains", f"{100 * listed:.1f} %", "told", held=True),
        Check("control: a file with a wrong category", f"{caught} violations in 50 rows", ">= 50", caught >= 50),
        Check(f"export of {len(charges):,} charges", f"{taken:.1f} s", f"<= {EXPORT_SECONDS_MAX:g} s", taken <= EXPORT_SECONDS_MAX),
    ]


async def idle(case: Case, database: Database, folder: Path) -> list[Check]:
    """Idle slots against a count of every slot and every minute, and shares that add up."""
    begin = datetime.combine(case.month.since, datetime.min.time(), tzinfo=UTC) + timedelta(days=5)
    end = begin + timedelta(days=3)
    async with database.transaction() as session:
        session.add(CapacityRow(pool="h100", slot_kind="gpu", accelerator="H100", slots=[*range(8)], since=begin, seen_until=end))
        mine = list(await session.scalars(select(LeaseRow).where(LeaseRow.pool == "h100")))
    optimization = Optimization(database, SpentBook(database, BOOK))
    reports = {rule: await optimization.idle(case.month, Owner(None), rule) for rule in ("platform", "use", "quota")}
    line = next(each for each in reports["use"].unleased if each.pool == "h100")
    busy = np.zeros((8, 3 * 24 * 3600), dtype=bool)
    for row in mine:
        first, last = ((at - begin).total_seconds() for at in (row.granted_at, row.ended_at or row.expires_at))
        busy[row.slots, max(int(np.ceil(first)), 0) : max(int(np.ceil(last)), 0)] = True
    counted = float((~busy).sum())
    off = abs(float(line.idle_slot_seconds) - counted) / max(counted, 1.0)
    exact = all(sum(share.amount for share in reports[rule].shares if share.pool == "h100") == line.amount for rule in ("use", "quota"))
    return [
        Check("idle slot-seconds against a count second by second", f"{100 * off:.4f} % apart", "<= 0.1 %", off <= 1e-3),
        Check("shares by use and by quota against the whole", "equal" if exact else "differ", "equal to 1e-12", exact),
    ]


class NoPools:
    """Hardware that nobody asks about."""

    async def pool(self, name: str = "") -> Pool:
        """An empty pool."""
        return Pool(name=name, slots=[])


async def findings(case: Case, database: Database, folder: Path) -> list[Check]:
    """Leases of which it is known whether they are idle: each must be found, and no other."""
    now, wanted = utcnow(), set[str]()
    async with database.transaction() as session:
        for number in range(60):
            age, left = case.chance.uniform(0, 120), case.chance.uniform(0, 120)
            if abs(age - 30) < 2 or abs(left - 30) < 2:
                continue
            begin = now - timedelta(minutes=age)
            row = lease_of(case, f"live-{number}", case.chance.choice(TEAMS), Term(begin, (age + left) / 60, state="active"))
            session.add(row)
            wanted |= {row.id} if age > 30 and left > 30 else set()
    found = {each.subject for each in await Findings(database, SpentBook(database, BOOK), NoPools()).list(Owner(None))}
    told = f"{len(found & wanted)} of {len(wanted)}, {len(found - wanted)} others"
    return [Check("idle leases found", told, "all of them and no other", found == wanted)]


def demand(chance: np.random.Generator, days: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Daily demand as teams make it: a week, a trend, noise, days without any, and a step."""
    time_ = np.arange(days)
    base, week, trend = chance.uniform(4, 40), chance.uniform(0, 0.5), chance.uniform(-0.02, 0.08)
    level = base * (1 + week * np.sin(2 * np.pi * (time_ + chance.integers(7)) / 7)) + trend * time_
    level = level * np.where(time_ > chance.integers(days // 3, days), chance.uniform(0.8, 1.5), 1.0)
    return np.maximum(level + chance.normal(scale=base * chance.uniform(0.05, 0.3), size=days), 0.0)


async def forecasts(case: Case, database: Database, folder: Path) -> list[Check]:
    """Demands by chance: what came after a forecast against it and against the seasonal naive one, and how much lay in the interval."""
    chance = np.random.default_rng(case.seed)
    errors, naive, within, backtests = [], [], [], []
    began = time.perf_counter()
    for _ in range(SERIES):
        values = demand(chance, int(chance.integers(90, 180)) + HORIZON)
        past, came = values[:-HORIZON], values[-HORIZON:]
        line = go_on(past, Ask(series={}, season=7, horizon=HORIZON, level=0.8), MODELS)
        scale = float(np.abs(past[7:] - past[:-7]).mean())
        errors.append(float(np.abs(np.array(line.mean) - came).mean()) / scale)
        naive.append(float(np.abs(np.resize(past[-7:], HORIZON) - came).mean()) / scale)
        within.append(float(np.mean((came >= np.array(line.low)) & (came <= np.array(line.high)))))
        backtests += [line.backtest.ratio] if line.backtest and line.backtest.ratio is not None else []
    taken = time.perf_counter() - began
    ratio, coverage = float(np.mean(errors) / np.mean(naive)), float(np.mean(within))
    shown = f"MASE {np.mean(errors):.3f} against {np.mean(naive):.3f}, {100 * (1 - ratio):.0f} % less"
    return [
        Check(f"forecasts of {SERIES} demands, {HORIZON} days ahead, unseen", shown, "10 % less than seasonal naive", ratio <= 0.9),
        Check("what came lay in the 80 % interval", f"{100 * coverage:.0f} %", "70 to 92 %", 0.70 <= coverage <= 0.92),
        Check("what the backtests had promised", f"{float(np.mean(backtests)):.3f} of the naive error", "told", held=True),
        Check("a forecast with its backtest", f"{taken / SERIES:.2f} s", "told", held=True),
    ]


async def filling(case: Case, database: Database, folder: Path) -> list[Check]:
    """A pool whose demand grows by a known slope: the day when it is full, as the plan tells it, against the day when it is."""
    chance, now = case.chance, utcnow().replace(minute=0, second=0, microsecond=0)
    slope, base, capacity = chance.uniform(0.15, 0.4), chance.uniform(6, 12), 0
    capacity = int(base + slope * 90 + chance.uniform(4, 8))
    async with database.transaction() as session:
        for day in range(90):
            asked = max(round(base + slope * day + chance.gauss(0, 0.7)), 1)
            begin = now - timedelta(days=90 - day)
            for number, slots in enumerate(parts_of(asked, chance)):
                row = lease_of(case, f"grow-{day}-{number}", chance.choice(TEAMS[:4]), Term(begin, 20, range(slots)))
                row.pool = "local"
                session.add(row)
        session.add(
            CapacityRow(pool="local", slot_kind="gpu", accelerator="H100", slots=[*range(capacity)], since=now, seen_until=utcnow())
        )
    plans = Capacity(database, PoolBook(folder / "none.yaml"), SpentBook(database, BOOK))
    began = time.perf_counter()
    plan = await plans.plan(CapacityAsk(bucket="day", horizon=60, reserved_share=0.6), Owner(None))
    taken = time.perf_counter() - began
    truth = now + timedelta(days=(capacity - base) / slope - 90)
    fills = plan.fills
    if fills is None or fills.expected is None or fills.earliest is None:
        return [Check("when a pool is full", plan.words, "a day", held=False)]
    off = abs((fills.expected - truth).total_seconds()) / 86_400
    best = plan.reserving
    sound = best is not None and best.hourly_cost <= min(best.hourly_cost_on_demand, best.hourly_cost_peak)
    shown = f"{fills.expected:%m-%d}, from {fills.earliest:%m-%d} on; true {truth:%m-%d}"
    reserved = f"{best.slots} slots: {best.hourly_cost:.2f} an hour, {best.hourly_cost_on_demand:.2f} with none" if best else "none"
    return [
        Check(f"when a pool is full ({capacity} slots)", shown, "within 10 days of the truth", off <= 10),
        Check("best reserved", reserved, "cheaper than none and than the peak", sound),
        Check("a capacity plan, in a process of its own", f"{taken:.1f} s", "<= 60 s", taken <= 60),
    ]


def parts_of(slots: int, chance: random.Random) -> list[int]:
    """So many slots as leases of up to eight."""
    found = list[int]()
    while slots:
        found.append(min(chance.randrange(1, 9), slots))
        slots -= found[-1]
    return found


async def mixing(case: Case, database: Database, folder: Path) -> list[Check]:
    """Ways to buy machines for made-up work, simulated; and the control in which spot machines are hardly ever there for long."""
    mixes = Mixes(database, PoolBook(folder / "none.yaml"), SpentBook(database, BOOK))
    load = Load(jobs_an_hour=case.chance.uniform(0.5, 1.5), slots=8, hours=case.chance.uniform(1, 3))
    ask = MixAsk(load=load, days=2, seeds=1, on_demand_hourly=2.5)
    found = await mixes.compare(ask, Owner(None))
    best = next(line for line in found.lines if line.name == found.best)
    cheapest = best.cost <= min(line.cost for line in found.lines if line.good_enough)
    harsh = ask.model_copy(update={"interruptions_hourly": 6.0, "checkpoint_seconds": 0.0, "seeds": 1})
    wild = await mixes.compare(harsh, Owner(None))
    spot = next(line for line in wild.lines if line.name == "spot")
    slower = f"{spot.slower_percent:.0f}"
    shown = f"{best.name}: {best.saved_percent:.0f} % less, {best.slower_percent:.0f} % slower, {best.lost_slot_hours:.1f} slot-hours lost"
    return [
        Check("simulated: the best of the mixes", shown, "cheaper than on demand, and good enough", cheapest and best.saved_percent > 0),
        Check("simulated control: six interruptions an hour", f"spot {slower} % slower", "not good enough", not spot.good_enough),
    ]


async def measured(seed: int, url: str, folder: Path) -> list[Check]:
    """All figures."""
    case, database = case_of(seed), Database(url)
    await filled(case, database)
    found = [Check("seed of the costs", f"{seed}, {date.isoformat(case.month.since)}", "told", held=True)]
    for part in (exactness, export, idle, findings, forecasts, filling, mixing):
        try:
            found += await part(case, database, folder)
        except FAULTS as error:  # the other parts are measured still
            found.append(Check(part.__name__, f"broke: {type(error).__name__}: {str(error)[:200]}", "a figure", held=False))
    await database.close()
    return found


def checks(seed: int | None = None) -> list[Check]:
    """Measure on a server of its own; without a seed by that of today."""
    chosen = seed if seed is not None else int(utcnow().strftime("%Y%m%d"))
    with tempfile.TemporaryDirectory(prefix="lineshaft-costs-") as home, postgres(Path(home) / "pg") as url:
        return asyncio.run(measured(chosen, url, Path(home)))


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--seed", type=int, default=None)
    told = checks(reader.parse_args().seed)
    print_checks(Console(width=150, highlight=False), told)
    sys.exit(0 if all(each.held for each in told) else 1)
