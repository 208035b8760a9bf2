"""How machines are bought best: the past of a pool, or made-up work, run on the twin with mixes of reserved, spot and on demand."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from threading import BoundedSemaphore, Event
from typing import NamedTuple

import numpy as np
from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import BoundReached, Conflict, InvalidInput, RateLimited
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.twin.market import Market
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.iaas.scheduling.models import GPU_MILLI, NodeSpec, PriceClass, Shape, Workload
from factory_infra.iaas.twin.arrivals import Arrival
from factory_infra.iaas.twin.engine import compare
from factory_infra.iaas.twin.results import Comparison, Results
from factory_infra.iaas.twin.scenario import Elastic, Scenario
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.optimization.mix_models import JOBS_MAX, Load, MixAnswer, MixAsk, MixLine
from factory_infra.paas.optimization.reserving import best_reserved
from factory_infra.paas.optimization.service import Owner

HOUR, DAY = 3600.0, 86_400.0
DRAIN_SECONDS = 2 * DAY
"""After the last day so long nothing new comes: what is late may end."""
WALL_SECONDS_MAX = 50.0
ON_DEMAND = "on demand"
START_SECONDS = 180.0
_room = BoundedSemaphore(1)


class Piece(NamedTuple):
    """One piece of work: when in the window it came, on how many slots, how long it ran, and whose it was."""

    at: float
    slots: int
    seconds: float
    team: str


class Mix(NamedTuple):
    """So many reserved machines; what does not fit on them runs on spot machines, or on demand."""

    reserved: int
    spot: bool

    def name(self, slots_a_machine: int) -> str:
        """What it is called."""
        parts = [f"{self.reserved * slots_a_machine} reserved"] if self.reserved else []
        return " + ".join([*parts, "spot" if self.spot else ON_DEMAND])


class Mixes:
    """Compares ways to buy machines. All of it is simulated; nothing real changes."""

    def __init__(self, database: Database, book: PoolBook, ledger: Ledger) -> None:
        self._database = database
        self._book = book
        self._ledger = ledger

    async def compare(self, ask: MixAsk, owner: Owner) -> MixAnswer:
        """Run the same work with each mix and say which is the cheapest that is good enough. A team's past is its own leases.

        Raises InvalidInput `mix_without_work` where the pool has no past and no work is made up, or no price is known; BoundReached where
        it takes too long, RateLimited where another one runs.
        """
        pool = self._book.named(ask.pool).name
        past, kind = ([], ("gpu", "")) if ask.load is not None else await self._past(pool, ask.days, owner)
        if not past and ask.load is None:
            reason = f"No lease of pool '{pool}' ended within the last {ask.days} days."
            raise InvalidInput(reason, remedy="Ask about more days, or give 'load': made-up work.", code="mix_without_work")
        price = ask.on_demand_hourly or float(self._ledger.hour_price(kind[0], kind[1], "on_demand", utcnow()) or 0)
        if not price:
            reason = f"The price of a slot of pool '{pool}' is not known."
            raise InvalidInput(reason, remedy="Give 'on_demand_hourly'.", code="mix_without_work")
        scenarios = scenarios_of(ask.model_copy(update={"on_demand_hourly": price}), past)
        found = await simulated(list(scenarios.values()), range(ask.seeds))
        return self._answer(pool, ask, scenarios, found)

    async def _past(self, pool: str, days: int, owner: Owner) -> tuple[list[Piece], tuple[str, str]]:
        """The leases of the last days that have ended, the newest where there are too many; and what most of their slots were."""
        since = utcnow() - timedelta(days=days)
        query = select(LeaseRow).where(LeaseRow.pool == pool, LeaseRow.ended_at.is_not(None), LeaseRow.granted_at >= since)
        query = query.where(LeaseRow.state != LeaseState.REFUSED.value).order_by(LeaseRow.granted_at.desc()).limit(JOBS_MAX)
        query = query if owner.team is None else query.where(LeaseRow.tenant == owner.team)
        async with self._database.transaction() as session:
            rows = [row for row in await session.scalars(query) if row.slots and row.ended_at is not None]
        pieces = [piece_of(row, since.timestamp()) for row in rows]
        kinds = [(row.slot_kind, row.accelerator) for row in rows]
        return pieces, max(set(kinds), key=lambda kind: (kinds.count(kind), kind), default=("gpu", ""))

    def _answer(self, pool: str, ask: MixAsk, scenarios: dict[Mix, Scenario], found: Comparison) -> MixAnswer:
        runs = {mix: [each for each in found.results if each.scenario == scenario.name] for mix, scenario in scenarios.items()}
        alone = runs[Mix(0, spot=False)]
        lines = [line_of(mix, ask, results, alone) for mix, results in runs.items()]
        good = [line for line in lines if line.good_enough]
        best = min(good, key=lambda line: (line.cost, line.name))
        jobs = sum(each.counts.submitted for each in alone) / len(alone)
        work = "made-up work" if ask.load is not None else f"the leases of pool {pool}"
        return MixAnswer(
            pool=pool,
            as_of=utcnow(),
            work=f"{work}, {ask.days} days",
            jobs=jobs,
            seeds=ask.seeds,
            currency=self._ledger.currency,
            lines=sorted(lines, key=lambda line: (line.cost, line.name)),
            best=best.name,
            words=in_words(best),
        )


def piece_of(row: LeaseRow, since: float) -> Piece:
    """A lease as a piece of work."""
    end = row.ended_at or row.expires_at
    return Piece(row.granted_at.timestamp() - since, len(row.slots), max((end - row.granted_at).total_seconds(), 1.0), row.tenant)


def in_words(best: MixLine) -> str:
    """The advice as a sentence, which says that it is simulated."""
    if best.name == ON_DEMAND:
        return "Simulated: no other way to buy is cheaper and good enough."
    slower = f"{best.slower_percent:.0f} % slower" if best.slower_percent > 0.5 else "no slower"
    return f"Simulated: {best.name} costs {best.saved_percent:.0f} % less than on demand alone, and work is {slower} on the mean."


def scenarios_of(ask: MixAsk, past: Sequence[Piece]) -> dict[Mix, Scenario]:
    """One for each mix. The work of a seed is the same in all of them."""

    def arrivals(seed: int) -> list[Arrival]:
        chance = random.Random(seed)  # noqa: S311 - chance, not a secret
        pieces = made_up(ask.load, ask.days, chance) if ask.load is not None else again(past, ask.days, chance)
        return [arrival_of(number, piece, ask) for number, piece in enumerate(pieces)]

    load = hourly_load(arrivals(0), ask.days)
    machines_most = machines_for(max(load, default=0.0) * 2 + largest(arrivals(0)), ask.slots_a_machine)
    base = Scenario(
        name=ON_DEMAND,
        pools={},
        arrivals=arrivals,
        seconds=ask.days * DAY + DRAIN_SECONDS,
        pass_seconds=120.0,
        restart_seconds=ask.restart_seconds,
    )
    return {mix: bought(base, mix, ask, machines_most) for mix in mixes(load, ask)}


def mixes(load: Sequence[float], ask: MixAsk) -> list[Mix]:
    """On demand alone, spot alone, and each with about as many reserved machines as are best, half of them, and half as many more."""
    best = best_reserved([hour / ask.slots_a_machine for hour in load], ask.reserved_share).slots
    counts = sorted({0, max(best // 2, 1), max(best, 1), max(best + (best + 1) // 2, 1)})
    return [Mix(count, spot=spot) for count in counts for spot in (False, True)]


def bought(base: Scenario, mix: Mix, ask: MixAsk, machines_most: int) -> Scenario:
    """A scenario in which machines are bought so. Where spot machines may be had, those on demand stand in when there is no stock."""
    hour = (ask.on_demand_hourly or 0.0) * ask.slots_a_machine
    reserved = Market(on_demand_hourly=hour * ask.reserved_share, start_seconds=0.0)
    on_demand = Market(on_demand_hourly=hour, start_seconds=START_SECONDS)
    spot = Market(
        on_demand_hourly=hour,
        spot=True,
        discount=1 - ask.spot_share,
        interruptions_hourly=ask.interruptions_hourly,
        in_stock_hours=ask.in_stock_hours,
        out_of_stock_hours=ask.out_of_stock_hours,
        start_seconds=START_SECONDS,
    )
    pools: dict[str, tuple[NodeSpec, ...]] = {"on-demand": machines("on_demand", machines_most, hour, ask)}
    elastic = {"on-demand": Elastic(on_demand)}
    if mix.reserved:
        pools["reserved"] = machines("reserved", mix.reserved, hour * ask.reserved_share, ask)
        elastic["reserved"] = Elastic(reserved, nodes_min=mix.reserved)
    if mix.spot:
        pools["spot"] = machines("spot", machines_most, hour * ask.spot_share, ask)
        elastic["spot"] = Elastic(spot)
    return replace(base, name=mix.name(ask.slots_a_machine), pools=pools, elastic=elastic)


def machines(price_class: PriceClass, count: int, hourly: float, ask: MixAsk) -> tuple[NodeSpec, ...]:
    """So many machines of one way to pay."""
    interruptions = ask.interruptions_hourly if price_class == "spot" else 0.0
    return tuple(
        NodeSpec(
            name=f"{price_class}-{number}",
            cpu_milli=1000 * ask.slots_a_machine,
            memory_mib=1024 * ask.slots_a_machine,
            gpus=ask.slots_a_machine,
            model="slot",
            price_class=price_class,
            hourly_price=hourly,
            interruptions_hourly=interruptions,
        )
        for number in range(count)
    )


def again(past: Sequence[Piece], days: int, chance: random.Random) -> list[Piece]:
    """The past once more: each day is one of the days of the same weekday, drawn anew for each seed (a bootstrap by days)."""
    by_day: dict[int, list[Piece]] = {}
    for piece in past:
        by_day.setdefault(int(piece.at // DAY), []).append(piece)
    found = []
    for day in range(days):
        alike = [each for each in range(days) if each % 7 == day % 7]
        drawn = chance.choice(alike)
        found += [piece._replace(at=piece.at % DAY + day * DAY) for piece in by_day.get(drawn, [])]
    return sorted(found)


def made_up(load: Load, days: int, chance: random.Random) -> list[Piece]:
    """Work by chance: pieces come independently of each other."""
    found, at = list[Piece](), 0.0
    while len(found) < JOBS_MAX:
        at += chance.expovariate(load.jobs_an_hour / HOUR)
        if at >= days * DAY:
            break
        slots = load.slots if chance.random() < 0.5 else 1
        found.append(Piece(at, slots, load.hours * HOUR * chance.lognormvariate(0.0, load.sigma), f"team-{chance.randrange(4)}"))
    return found


def arrival_of(number: int, piece: Piece, ask: MixAsk) -> Arrival:
    """A piece of work as the twin takes it: its slots start together."""
    work = Workload(
        id=f"work-{number}",
        queue=piece.team,
        shape=Shape(gpu_milli=GPU_MILLI, gpus=1),
        submitted_at=piece.at,
        seconds=piece.seconds,
        members=piece.slots,
        checkpoint_seconds=ask.checkpoint_seconds,
    )
    return Arrival(work, piece.seconds)


def hourly_load(arrivals: Sequence[Arrival], days: int) -> list[float]:
    """Slots in use in each hour, were there always room."""
    edges = np.arange(days * 24 + 1) * HOUR
    total = np.zeros(days * 24)
    for each in arrivals:
        begin, end = each.at, each.at + each.actual_seconds
        total += each.workload.members * np.clip(np.minimum(end, edges[1:]) - np.maximum(begin, edges[:-1]), 0.0, HOUR) / HOUR
    return [float(value) for value in total]


def largest(arrivals: Sequence[Arrival]) -> float:
    """The slots of the largest piece of work."""
    return float(max((each.workload.members for each in arrivals), default=1))


def machines_for(slots: float, slots_a_machine: int) -> int:
    """Machines that hold so many slots."""
    return max(int(-(-slots // slots_a_machine)), 1)


async def simulated(scenarios: Sequence[Scenario], seeds: Sequence[int]) -> Comparison:
    """Run scenarios in a thread, no longer than the bound; ends when the caller is cancelled. Raises BoundReached, RateLimited."""
    ended, until = Event(), time.monotonic() + WALL_SECONDS_MAX

    def go_on(share: float) -> bool:
        return not ended.is_set() and time.monotonic() < until

    def run() -> Comparison:
        if not _room.acquire(blocking=False):
            reason = "Another comparison runs here already."
            raise RateLimited(reason, remedy="Ask again in a moment.", code="twin_busy", retry_after_seconds=5.0)
        try:
            return compare(scenarios, seeds, go_on)
        finally:
            _room.release()

    try:
        return await asyncio.to_thread(run)
    except Conflict as error:
        reason = f"The simulation takes longer than {WALL_SECONDS_MAX:.0f} s."
        raise BoundReached(reason, remedy="Ask about fewer days or seeds.", code="twin_too_long") from error
    finally:
        ended.set()


def line_of(mix: Mix, ask: MixAsk, results: Sequence[Results], alone: Sequence[Results]) -> MixLine:
    """One mix against on demand alone, seed by seed."""
    costs, base = [each.cost_total for each in results], mean([each.cost_total for each in alone])
    took, base_took = (mean([each.completion_seconds.mean for each in runs]) for runs in (results, alone))
    finished, base_finished = (sum(each.counts.finished for each in runs) for runs in (results, alone))
    submitted = sum(each.counts.submitted for each in results)
    slower = 100 * (took / base_took - 1) if base_took else 0.0
    return MixLine(
        name=mix.name(ask.slots_a_machine),
        reserved_slots=mix.reserved * ask.slots_a_machine,
        spot=mix.spot,
        cost=round(mean(costs), 4),
        cost_low=round(min(costs), 4),
        cost_high=round(max(costs), 4),
        saved_percent=round(100 * (1 - mean(costs) / base), 2) if base else 0.0,
        completion_mean_seconds=round(took, 1),
        slower_percent=round(slower, 2),
        queue_p95_seconds=round(mean([each.queue_seconds.p95 for each in results]), 1),
        lost_slot_hours=round(mean([each.lost_total for each in results]), 3),
        interruptions=round(mean([float(each.counts.machines.get("interruptions", 0)) for each in results]), 2),
        finished_percent=round(100 * finished / submitted, 2) if submitted else 100.0,
        good_enough=finished >= base_finished and slower <= 100 * ask.slower_max,
    )


def mean(values: Sequence[float]) -> float:
    """Of so many values; 0 of none."""
    return sum(values) / len(values) if values else 0.0
