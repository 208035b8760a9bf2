"""The ledger: reserve before, settle after, exactly once each."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import BudgetExceeded, InvalidInput, NotFound
from factory_infra.iaas.leases.models import Lease
from factory_infra.iaas.leases.service import Leases
from factory_infra.notices import tell
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.records import happenings
from factory_infra.saas.metering import draws, reading
from factory_infra.saas.metering.models import (
    Attribution,
    Breakdown,
    Charge,
    Cost,
    CostLine,
    Entry,
    EntryFilter,
    Outcome,
    Reconciliation,
    UsageLine,
)
from factory_infra.saas.metering.posting import Reservation, correcting, post, reserving, settling
from factory_infra.saas.metering.prices import SMALLEST, PriceBook
from factory_infra.saas.metering.siblings import ANSWER_SECONDS_MAX, CHANNEL
from factory_infra.saas.metering.tables import EntryRow
from factory_infra.saas.metering.uses import BUDGET_PREFIX, EPOCH, add, budget_limit, take, used

LEASE_PREFIX = "lease/"
PAGE_MAX = 500
ASKER = "ledger"
"""Who asks processes to give back; it is none of them."""
TRIES = 10
EVERY = EntryFilter()


class Metering:
    """Reservations and settlements, in PostgreSQL. A reservation's name is its idempotency key."""

    def __init__(self, database: Database, prices: PriceBook, leases: Leases) -> None:
        self._database = database
        self._leases = leases
        self.prices = prices

    async def reserve(self, name: str, charge: Charge, whose: Attribution) -> Decimal:
        """Set money aside for the worst case and return it; the same name again changes nothing.

        Raises BudgetExceeded when spent and reserved money would pass the team's budget: one statement takes it, or does not. Before it
        is refused, processes that have drawn money to hand out are asked to give back what they do not need.
        """
        prices = self.prices.now
        held = Reservation(name=name, amount=prices.price(charge), whose=whose, price_version=prices.version)
        try:
            return await self._reserve(held, charge)
        except BudgetExceeded as error:
            return await self._reserve_of_returned(held, charge, error)

    async def _reserve_of_returned(self, held: Reservation, charge: Charge, error: BudgetExceeded) -> Decimal:
        limit_id = BUDGET_PREFIX + held.whose.tenant
        async with self._database.transaction() as session:
            if not await draws.others(session, ASKER, (limit_id, 0)):
                raise error
            await tell(session, CHANNEL, f"ask {ASKER} {limit_id}")
        for _ in range(TRIES):
            await asyncio.sleep(ANSWER_SECONDS_MAX / TRIES)
            with contextlib.suppress(BudgetExceeded):
                return await self._reserve(held, charge)
        raise error

    async def _reserve(self, held: Reservation, charge: Charge) -> Decimal:
        name, whose = held.name, held.whose
        async with self._database.transaction(lock=f"reservation/{name}") as session:
            known = (await self._postings(session, name)).get("reserve")
            if known is not None:
                return known.amount
            budget = await session.scalar(select(TenantRow.budget).where(TenantRow.name == whose.tenant))
            if budget is None:
                raise NotFound(f"There is no team '{whose.tenant}'.", code="team_unknown")
            limit = budget_limit(whose.tenant, budget)
            if not await take(session, limit, EPOCH, held.amount):
                left = budget - await used(session, limit.id, EPOCH)
                raise BudgetExceeded(
                    f"Team {whose.tenant} has {left:.4f} {self.prices.currency} left and {held.amount:.4f} would be reserved.",
                    remedy="Have an administrator raise the budget, or ask for less.",
                )
            await post(session, [reserving(held, charge, utcnow())])
        return held.amount

    async def settle(self, name: str, charge: Charge, outcome: Outcome = "done") -> Decimal:
        """Charge what was used under a reservation and free the rest; the same name again changes nothing. Raises NotFound.

        It costs what the version of the price book says by which it was reserved.
        """
        async with self._database.transaction(lock=f"reservation/{name}") as session:
            known = await self._postings(session, name)
            if "settle" in known:
                return known["settle"].amount + (known["surplus"].amount if "surplus" in known else Decimal(0))
            if "reserve" not in known:
                raise NotFound(f"Nothing is reserved under '{name}'.")
            held = reservation_of(known["reserve"])
            amount = self.prices.named(held.price_version).price(charge)
            await post(session, settling(held, charge, amount, utcnow(), outcome))
            await add(session, BUDGET_PREFIX + held.whose.tenant, EPOCH, amount - held.amount)
            await told_of(session, held, charge, (amount, self.prices.currency))
        return amount

    async def release(self, name: str) -> None:
        """Free a reservation under which nothing was used; without one, or settled already, nothing happens."""
        async with self._database.transaction() as session:
            reserved = (await self._postings(session, name)).get("reserve")
        if reserved is not None:
            await self.settle(name, nothing_of(reserved), "failed")

    async def correct(self, name: str, amount: Decimal, reason: str, by: str) -> Entry:
        """Charge a positive amount under a settled reservation, or give a negative one back, as an entry of its own.

        Each call corrects once more. A budget does not hold it up; limits of single windows and keys are left as they are.

        Args:
            name: the reservation.
            amount: money, in the price book's currency.
            reason: why; it stands on the entry with who did it.
            by: the administrator.

        Raises NotFound for what was never settled, InvalidInput without an amount or a reason, or when more would go back than was charged.
        """
        amount = amount.quantize(SMALLEST)
        if not amount or not reason.strip():
            raise InvalidInput("A correction has an amount other than zero, and a reason.", remedy="Give both.")
        async with self._database.transaction(lock=f"reservation/{name}") as session:
            known = await self._postings(session, name)
            if "settle" not in known:
                raise NotFound(f"Nothing is settled under '{name}'.")
            charged = sum((signed(row) for row in known.values()), Decimal(0))
            if charged + amount < 0:
                raise InvalidInput(f"Only {charged:f} was charged under '{name}'.", remedy="Give back at most that.")
            number = sum(action.startswith("correct/") for action in known) + 1
            held = reservation_of(known["settle"])
            await post(session, [correcting(held, nothing_of(known["settle"]), amount, utcnow(), (number, f"{by}: {reason}"))])
            await add(session, BUDGET_PREFIX + held.whose.tenant, EPOCH, amount)
            return reading.shown((await self._postings(session, name))[f"correct/{number}"])

    async def _postings(self, session: AsyncSession, name: str) -> dict[str, EntryRow]:
        """What is posted under a name, by action."""
        return {row.action: row for row in await session.scalars(select(EntryRow).where(EntryRow.reservation == name))}

    async def cost(self, *, tenant: str | None = None, plan_id: str | None = None, thread_id: str | None = None) -> Cost:
        """Tell what was spent and is reserved, by subject; no filter means everything.

        For a whole team what is reserved is all that is set aside, what processes hold to hand out included.
        """
        if plan_id is None and thread_id is None:
            return await self._cost_of_team(tenant)
        async with self._database.transaction() as session:
            rows = (await session.execute(reading.cost_of_entries(tenant, plan_id, thread_id))).all()
        lines = [cost_line(*row[:5]) for row in rows if row[6]]
        return self._cost(lines, sum((row[5] for row in rows), Decimal(0)))

    async def _cost_of_team(self, tenant: str | None) -> Cost:
        async with self._database.transaction() as session:
            await reading.at_one_moment(session)
            lines = [cost_line(*row) for row in await session.execute(reading.cost_by_subject(tenant))]
            taken = Decimal(await session.scalar(reading.taken(tenant)) or 0)
        return self._cost(lines, taken - sum((line.amount for line in lines), Decimal(0)))

    def _cost(self, lines: list[CostLine], reserved: Decimal) -> Cost:
        spent = sum((line.amount for line in lines), Decimal(0))
        return Cost(currency=self.prices.currency, spent=spent, reserved=reserved, lines=lines)

    async def usage(self, tenant: str, since: datetime, by: Breakdown) -> list[UsageLine]:
        """Tell what a team spent since a moment by day (oldest first), or by agent, model, project or key (dearest first).

        A slot's kind is no model.
        """
        async with self._database.transaction() as session:
            rows = (await session.execute(reading.usage_since(tenant, since, by))).all()
        return [UsageLine(name=str(key), amount=amount, slot_seconds=slots, tokens=tokens) for key, amount, slots, tokens in rows]

    async def entries(
        self, tenant: str | None = None, plan_id: str | None = None, limit: int = 100, offset: int = 0, only: EntryFilter = EVERY
    ) -> Sequence[Entry]:
        """Return entries, newest first: at most 500, and the next page is quickest asked for by `only.before`."""
        query = reading.entries_of(tenant, plan_id, only).limit(min(limit, PAGE_MAX)).offset(offset)
        async with self._database.transaction() as session:
            return [reading.shown(row) for row in await session.scalars(query)]

    async def open_reservations(self, prefix: str = "") -> list[str]:
        """Return the names under which money is reserved and not yet settled."""
        async with self._database.transaction() as session:
            return list(await session.scalars(reading.open_ones(prefix)))

    async def reserve_lease(self, lease_id: str, subject: str, slot_seconds: int, whose: Attribution) -> Decimal:
        """Reserve the whole term of a lease that is about to be asked for.

        Args:
            lease_id: the lease; with `/` and a renewal's name behind it, that renewal.
            subject: what a slot is, as `slot_subject` names it.
            slot_seconds: slots times seconds.
            whose: who pays.
        """
        charge = Charge(unit="slot_seconds", subject=subject, quantity=Decimal(slot_seconds))
        return await self.reserve(LEASE_PREFIX + lease_id, charge, whose)

    async def settle_lease(self, lease: Lease) -> Decimal:
        """Charge an ended lease by its own record, from grant to end: its first term first, then each renewal that was reserved."""
        left, total = Decimal(str(round(lease.slot_seconds, 6))), Decimal(0)
        for number, name in enumerate(reservations_of(lease)):
            last = number >= len(lease.terms) - 1
            quantity = left if last else min(left, Decimal(len(lease.slots) * lease.terms[number]))
            charge = Charge(unit="slot_seconds", subject=subject_of(lease), quantity=quantity)
            total += await self.settle(LEASE_PREFIX + name, charge)
            left -= quantity
        return total

    async def release_lease(self, lease_id: str) -> None:
        """Free what was reserved for a lease that was never granted."""
        await self.release(LEASE_PREFIX + lease_id)

    async def reconcile(self) -> Reconciliation:
        """Compare the inventory with the ledger; a lease that has ended unsettled (its term ran out) is settled here."""
        held = await self._leases.held()
        reserved = {lease_of(name) for name in await self.open_reservations(LEASE_PREFIX)}
        late = await self._leases.ended(reserved - held)
        for lease in late:
            await self.settle_lease(lease)
        settled = [lease.id for lease in late]
        return Reconciliation(
            leases_without_reservation=sorted(held - reserved),
            reservations_without_lease=sorted(reserved - held - set(settled)),
            settled_late=settled,
        )


async def told_of(session: AsyncSession, held: Reservation, charge: Charge, paid: tuple[Decimal, str]) -> None:
    """Tell the log what slots cost; calls of models are too many to be told one by one."""
    if charge.unit != "slot_seconds" or not charge.quantity:
        return
    amount, currency = paid
    payload: dict[str, JsonValue] = {
        "subject": charge.subject,
        "currency": currency,
        "amount_nano": int(amount * 10**9),
        "slot_ms": int(charge.quantity * 1000),
        "reservation": held.name,
    }
    subject, tenant = happenings.subject_of("usage", held.name), held.whose.tenant
    await happenings.happened(session, happenings.Happening(kind="usage.settled", subject=subject, tenant=tenant, payload=payload))


def slot_subject(slot_kind: str, accelerator: str = "", price_class: str = "on_demand") -> str:
    """What the price book calls a slot: `cpu`, `gpu:H100`, `gpu:H100:spot`; without an entry as its name before the last colon."""
    named = f"{slot_kind}:{accelerator}" if accelerator else slot_kind
    return named if price_class == "on_demand" else f"{named}:{price_class}"


def subject_of(lease: Lease) -> str:
    """What a slot of a lease is called."""
    return slot_subject(lease.slot_kind, lease.accelerator, lease.price_class)


def reservations_of(lease: Lease) -> list[str]:
    """The names under which a lease's terms are reserved: its id, and its id with that of each renewal."""
    return [lease.id, *(f"{lease.id}/{renewal}" for renewal in lease.renewals)]


def lease_of(name: str) -> str:
    """The lease that a reservation's name belongs to."""
    return name.removeprefix(LEASE_PREFIX).partition("/")[0]


def reservation_of(row: EntryRow) -> Reservation:
    """What an entry tells of the reservation that it belongs to."""
    whose = Attribution(**{name: getattr(row, name) for name in Attribution.model_fields})
    return Reservation(name=row.reservation, amount=row.amount, whose=whose, price_version=row.price_version, backend=row.backend)


def nothing_of(row: EntryRow) -> Charge:
    """A charge of none of what an entry is about."""
    return Charge.model_validate({"unit": row.unit, "subject": row.subject, "quantity": 0})


def signed(row: EntryRow) -> Decimal:
    """What an entry adds to what was spent."""
    return row.amount * ((row.credit == "spent") - (row.debit == "spent"))


def cost_line(unit: str, subject: str, quantity: Decimal, quantity_out: Decimal, amount: Decimal) -> CostLine:
    """One line of a cost."""
    return CostLine(unit=unit, subject=subject, quantity=quantity, quantity_out=quantity_out, amount=amount)
