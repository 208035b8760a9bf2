"""Who of those that ask and wait gets slots now: one pass over all leases that are open, under one lock, by the scheduler's own rules."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import JsonValue
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.errors import CapacityExceeded, InvalidInput, LineshaftError, QuotaExceeded
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.leases.choice import Choice, choose_machines, short_of
from factory_infra.iaas.leases.interface import Fitness, unfit_nodes
from factory_infra.iaas.leases.models import HELD, OPEN, LeaseState
from factory_infra.iaas.leases.pool_quotas import refuse_over_quotas
from factory_infra.iaas.leases.rows import end_if_overdue, grant, pools_of, request_of
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.iaas.scheduling.live import Claim, Layout, Scene, absent, scheduler_of, with_team_limits
from factory_infra.iaas.scheduling.models import Binding, Decision, Start
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.predict import forward
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.rules import SchedulingRules
from factory_infra.iaas.scheduling.words import reason_of

LOCK = "leases"
"""Held by whoever grants: quotas and shares are over all pools, so one lock is for all of them."""
HANG_SECONDS_MAX = 60
"""A process that hangs while it holds the lock loses it after so long: its transaction is ended for it."""
PAST_SECONDS = 7 * 86_400
FORETOLD_MAX = 4
"""Of so many that wait a pass foretells when they begin, each once: how far that was off makes the intervals of later answers."""
FORETOLD_SECONDS = 86_400.0
"""So far ahead it looks for that."""
PAST_MAX = 1000
"""So many of the leases that ended last are looked at for the history of shares, and of how long leases are held."""


class Ground(NamedTuple):
    """The pools as they are now, asked before the lock is taken: a question to a cloud may last."""

    layouts: Mapping[str, Layout]

    def layout(self, name: str, claims: Sequence[Claim]) -> Layout:
        """A pool's slots; of one that was not asked or does not answer, those that are held."""
        return self.layouts.get(name) or Layout(absent(name, [each for each in claims if each.pool == name]))


class Passed(NamedTuple):
    """What one pass did."""

    granted: list[LeaseRow]
    to_preempt: list[str]
    """Leases that must give way before another can begin; nothing was done to them yet."""


class Standing(NamedTuple):
    """Every open lease, and what each team may hold."""

    rows: dict[str, LeaseRow]
    quotas: dict[str, int]
    past: list[Claim]

    def claims(self) -> list[Claim]:
        """The leases for the scheduler, as they are now."""
        return [claim_of(row) for row in self.rows.values() if row.state in OPEN]

    def own(self) -> dict[str, set[str]]:
        """The open leases of each team: those that its words may name."""
        found: dict[str, set[str]] = {}
        for name, row in self.rows.items():
            found.setdefault(row.tenant, set()).add(name)
        return found


class Granting:
    """Passes of the scheduler over the leases.

    Args:
        accelerators: the pools and their slots.
        fitness: who says which nodes must not be handed out.
        rules: the policies of the pools, and the tree of quotas.
    """

    def __init__(self, accelerators: AcceleratorPools, fitness: Sequence[Fitness], rules: SchedulingRules) -> None:
        self._accelerators = accelerators
        self._fitness = tuple(fitness)
        self.rules = rules

    async def ground(self, names: Collection[str]) -> Ground:
        """Ask pools for their slots and their unfit nodes. One that does not answer is left out."""
        asked = sorted(set(names))
        answers = await asyncio.gather(*(self._one(name) for name in asked))
        return Ground({name: layout for name, layout in zip(asked, answers, strict=True) if layout is not None})

    async def _one(self, name: str) -> Layout | None:
        try:
            return Layout(await self._accelerators.pool(name), await unfit_nodes(self._fitness, name), self.rules.price)
        except LineshaftError:
            return None

    async def run(self, session: AsyncSession, ground: Ground) -> Passed:
        """Grant what the rules let begin now, in every pool that answers. The caller holds the lock, and the transaction makes it so."""
        await guard(session)
        standing = await read(session)
        done = Passed([], [])
        rows = [row for row in standing.rows.values() if row.state == LeaseState.QUEUED.value]
        waiting = {name for row in rows for name in pools_of(row) if name in ground.layouts}
        for pools in self.groups(waiting):
            await self._run(session, standing, ground, (pools, done))
        return done

    def groups(self, pools: Collection[str]) -> list[list[str]]:
        """Pools that have the same policy are scheduled together. Raises InvalidInput `scheduling_invalid`."""
        made: dict[str, list[str]] = {}
        for name in sorted(pools):
            made.setdefault(self.rules.policy(name).model_dump_json(), []).append(name)
        return list(made.values())

    def scheduler(self, standing: Standing, ground: Ground, pools: Collection[str], *, asking: LeaseRow | None = None) -> Scheduler:
        """The scheduler of pools that have one policy: all that is held, everywhere, and what waits in them."""
        return scheduler_of(*self._scene(standing, ground, pools, asking=asking))

    def _scene(
        self, standing: Standing, ground: Ground, pools: Collection[str], withheld: Collection[str] = (), *, asking: LeaseRow | None = None
    ) -> tuple[SchedulingPolicy, QuotaTree, Scene]:
        """What a scheduler of some pools is built from: plain values, which no transaction changes.

        Args:
            standing: the open leases.
            ground: the pools.
            pools: those that have the policy.
            withheld: leases that are left out.
            asking: one that is not asked for yet: its team's slots bind too.
        """
        waiting = {name: [pool for pool in pools_of(row) if pool in pools] for name, row in standing.rows.items()}
        claims = [each for each in standing.claims() if each.slots or (waiting[each.id] and each.id not in withheld)]
        names = {*pools, *(each.pool for each in claims if each.slots)}
        layouts = {name: ground.layout(name, claims) for name in sorted(names)}
        quotas = with_team_limits(self.rules.quotas(), team_limits(standing, asking))
        return self.rules.policy(min(pools)), quotas, Scene(layouts, claims, standing.past, utcnow().timestamp())

    async def _run(self, session: AsyncSession, standing: Standing, ground: Ground, of: tuple[list[str], Passed]) -> None:
        """Decide over pools of one policy and give slots to what starts. What a quota holds up is left out, and the others decided anew."""
        pools, done = of
        withheld: dict[str, str] = {}
        while True:
            # Beside the event loop, for it may take a while where many wait; nothing of the transaction goes there: this may be cut off.
            scheduler, decision, told = await asyncio.to_thread(decided, *self._scene(standing, ground, pools, withheld))
            over: dict[str, str] = {}
            for start in decision.starts:
                row, layout = standing.rows[start.workload], ground.layouts[start.pool]
                chosen = chosen_for(row, layout, start, taken_in(standing, start.pool))
                if chosen is None:
                    note(row, "preemption", "it begins as soon as others have given way")
                    continue
                try:
                    await refuse_over_quotas(session, row.tenant, layout.pool, chosen.slots[0].accelerator, len(chosen.slots))
                except QuotaExceeded as error:
                    over[row.id] = error.reason
                    continue
                grant(row, chosen, layout.pool)
                done.granted.append(row)
            if not over:
                break
            withheld |= over
        done.to_preempt.extend(each.workload for each in decision.preemptions)
        tell(standing, scheduler, decision, withheld)
        for name, foretold in told.items():
            standing.rows[name].waiting = {**standing.rows[name].waiting, "foretold": foretold}


def decided(policy: SchedulingPolicy, quotas: QuotaTree, scene: Scene) -> tuple[Scheduler, Decision, dict[str, JsonValue]]:
    """Decide over what is known now; and foretell of some that wait, once for each, when they will begin: both moments, now's first."""
    scheduler = scheduler_of(policy, quotas, scene)
    decision = scheduler.decide(max(utcnow().timestamp(), scheduler.now), waits="all")
    fresh = [each.id for each in scene.claims if each.foretold is None and each.id in scheduler.state.entries][:FORETOLD_MAX]
    begun = forward(scheduler, fresh, scheduler.now, horizon_seconds=FORETOLD_SECONDS) if fresh else {}
    return scheduler, decision, {name: [scheduler.now, each.at] for name, each in begun.items()}


def chosen_for(row: LeaseRow, layout: Layout, start: Start, taken: Collection[int]) -> Choice | None:
    """The slots of a start; None where some are not free yet, or its machines are not made any more."""
    if layout.pool.placement == "machines":
        try:
            return choose_machines(request_of(row), layout.pool, taken)
        except (CapacityExceeded, InvalidInput):
            return None
    slots = layout.slots(start.seats, taken)
    return Choice(slots) if len(slots) == start.members else None


async def guard(session: AsyncSession) -> None:
    """Have the server end this transaction if its process hangs: nobody else can grant anything meanwhile."""
    await session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{HANG_SECONDS_MAX}s'"))


async def read(session: AsyncSession) -> Standing:
    """Read every open lease, ending what is overdue, and the teams' quotas.

    What waits is locked too: nobody withdraws a lease that is granted here. One whose term is over is looked at again under its lock: it
    may have been renewed.
    """
    waiting = select(LeaseRow).where(LeaseRow.state == LeaseState.QUEUED.value).order_by(LeaseRow.id).with_for_update()
    rows = [*await session.scalars(waiting), *await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(HELD)))]
    now = utcnow()
    for row in rows:
        if row.state == LeaseState.ACTIVE.value and row.expires_at <= now:
            await session.refresh(row, with_for_update=True)
        end_if_overdue(row, now)
    return await _standing(session, {row.id: row for row in rows if row.state in OPEN}, now)


async def look(session: AsyncSession) -> Standing:
    """Read every open lease without changing anything; what is overdue is left out."""
    now = utcnow()
    rows = await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(OPEN)))
    return await _standing(session, {row.id: row for row in rows if row.state == LeaseState.GRANTING.value or row.expires_at > now}, now)


async def _standing(session: AsyncSession, standing: dict[str, LeaseRow], now: datetime) -> Standing:
    tenants = {row.tenant for row in standing.values()}
    quotas = {row.tenant: row.slots_max for row in await session.scalars(select(QuotaRow).where(QuotaRow.tenant.in_(tenants)))}
    ended = select(LeaseRow).where(LeaseRow.ended_at > now - timedelta(seconds=PAST_SECONDS)).order_by(LeaseRow.ended_at.desc())
    past = [claim_of(row) for row in await session.scalars(ended.limit(PAST_MAX)) if row.slots]
    return Standing(standing, quotas, past)


def claim_of(row: LeaseRow) -> Claim:
    """A lease for the scheduler."""
    asked = row.asked_at or row.granted_at
    return Claim(
        id=row.id,
        queue=row.queue or row.tenant,
        pool=row.pool,
        pools=pools_of(row),
        kind=row.slot_kind,
        size=row.slots_wanted or len(row.slots),
        request=request_of(row),
        asked_at=asked.timestamp(),
        slots=tuple(row.slots),
        since=row.granted_at.timestamp(),
        until=(row.ended_at or row.expires_at).timestamp(),
        not_before=datetime.fromisoformat(str(row.waiting["until"])).timestamp() if row.waiting.get("until") else 0.0,
        reserved=bool(row.waiting.get("reserved")),
        foretold=foretold_of(row),
    )


def foretold_of(row: LeaseRow) -> tuple[float, float] | None:
    """When a pass foretold of a lease when it would begin, and that; None where none did."""
    match row.waiting.get("foretold"):
        case [int() | float() as at, int() | float() as begins]:
            return float(at), float(begins)
        case _:
            return None


def team_limits(standing: Standing, asking: LeaseRow | None = None) -> dict[str, int]:
    """What each team may hold, by the queue that it is charged to, where it has only one."""
    queues: dict[str, set[str]] = {}
    for row in [*standing.rows.values(), *([asking] if asking is not None else [])]:
        queues.setdefault(row.tenant, set()).add(row.queue or row.tenant)
    return {next(iter(names)): standing.quotas.get(tenant, 0) for tenant, names in queues.items() if len(names) == 1}


def tell(standing: Standing, scheduler: Scheduler, decision: Decision, withheld: Mapping[str, str]) -> None:
    """Keep in each row why it waits, and whether slots are kept free for it, where that has changed."""
    kept = scheduler.reserved
    own = standing.own()
    found = {
        wait.workload: (wait.binding.value, reason_of(scheduler, wait, own[standing.rows[wait.workload].tenant])) for wait in decision.waits
    }
    found |= {name: (Binding.QUOTA.value, reason.rstrip(".")) for name, reason in withheld.items()}
    for name, (binding, reason) in found.items():
        note(standing.rows[name], binding, reason, reserved=name in kept)


def note(row: LeaseRow, binding: str, reason: str, *, reserved: bool = False) -> None:
    """Keep why a lease waits; since when, only changes with the constraint that binds."""
    if row.waiting.get("until") and binding == Binding.NOT_BEFORE.value:
        return
    since = row.waiting.get("since") if row.waiting.get("binding") == binding else None
    told: dict[str, JsonValue] = {"binding": binding, "reason": reason, "since": since or utcnow().isoformat(), "reserved": reserved}
    if foretold := row.waiting.get("foretold"):
        told["foretold"] = foretold
    if row.waiting != told:
        row.waiting = told


def taken_in(standing: Standing, pool: str) -> set[int]:
    """The slots of a pool that somebody holds."""
    return {index for row in standing.rows.values() if row.pool == pool and row.state in HELD for index in row.slots}


def refusal(row: LeaseRow, pool: Pool, free: int) -> LineshaftError:
    """Why somebody who does not want to wait is refused."""
    reason = str(row.waiting.get("reason", ""))
    if row.waiting.get("binding") in {"quota", "quota_of_parent"}:
        return QuotaExceeded(f"{reason[:1].upper()}{reason[1:]}.", remedy="Release a lease, ask for fewer, or wait (wait_seconds).")
    if not reason or free < row.slots_wanted:
        return short_of(row.slots_wanted, free, len(pool.slots), some_unfit=False)
    told = f"{reason[:1].upper()}{reason[1:]}."
    return CapacityExceeded(f"Others come first: {told}", remedy="Wait for your turn (wait_seconds), or ask for fewer.")
