"""Clusters in a simulated data centre: machines that start slowly, run out of stock and are taken back, as its market and seed say."""

import asyncio
import builtins
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, NotFound
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState, Interruption, Machine
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre, anchor_of, machine_type
from factory_infra.foundation.twin.clock import Anchor
from factory_infra.foundation.twin.commands import Command, Writer
from factory_infra.foundation.twin.making import Made, Rules, Stock, fold, life, tape_of
from factory_infra.settings import Settings

COUNT_MAX = 1000
Change = Callable[["Moment", Made], None]


class Moment:
    """The log of a data centre at one time, held so that nobody else writes."""

    def __init__(self, pool: TwinPool, writer: Writer, now: float) -> None:
        self.pool, self.writer, self.now = pool, writer, now

    @property
    def stock(self) -> Stock:
        """What there is."""
        return fold(self.writer.commands)

    def names(self, count: int) -> list[str]:
        """Names for new machines."""
        made = self.stock.made
        return [f"simulated-{self.pool.name}-made-{number:05d}" for number in range(made, made + count)]

    def need(self, count: int, price_class: str, least: int | None = None) -> int:
        """How many of so many machines can be had. Raises CapacityExceeded `capacity_short` for fewer than `least`, or than all."""
        free = self.stock.free(self.pool, self.now)
        if count > 0 and price_class == "spot" and not tape_of(Rules.of(self.pool), "spot").in_stock(self.now):
            free = 0
        had = min(count, free)
        if had < (count if least is None else least):
            raise CapacityExceeded(
                f"Simulated pool '{self.pool.name}' has {free} machines to be had now and {count} were asked for.",
                remedy="Ask for fewer, or later: its stock changes with virtual time.",
                code="capacity_short",
            )
        return had


class TwinClusters:
    """Makes and removes simulated machines, with replacement and notices. What it knows stands in the data centre's log.

    Args:
        pool: its entry.
        settings: the home, below which the log lies.
    """

    def __init__(self, pool: TwinPool, settings: Settings) -> None:
        self._pool, self._rules = pool, Rules.of(pool)
        self.centre = DataCentre(pool, settings)

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """See Clusters.provision. Raises InvalidInput `machine_unknown` and `not_offered`, CapacityExceeded `capacity_short`."""
        if wanted.machine != machine_type(self._pool):
            reason = f"Simulated pool '{self._pool.name}' makes no {wanted.machine[:60]}."
            raise InvalidInput(reason, remedy=f"It makes {machine_type(self._pool)}.", code="machine_unknown")
        if wanted.form != "fleet":
            reason = f"Simulated pool '{self._pool.name}' makes fleets, and no cluster of the form {wanted.form}."
            raise InvalidInput(reason, remedy="Ask for the form fleet.", code="not_offered")
        return await asyncio.to_thread(self._provision, wanted)

    def _provision(self, wanted: ClusterSpec) -> Cluster:
        name = cluster_id(wanted.key, wanted.form)
        with self.centre.writing() as writer:
            moment = self._moment(writer)
            known = moment.stock.clusters.get(name)
            if known is not None and known.released:
                raise Conflict(f"Cluster {name} was released.", remedy="Ask for a new one with another key.", code="cluster_released")
            if known is None:
                count = moment.need(wanted.count, wanted.price_class, wanted.count_min)
                about: Command = {
                    "tenant": wanted.tenant,
                    "lease": wanted.lease_id,
                    "run": wanted.run_id,
                    "price_class": wanted.price_class,
                }
                asked: Command = {"do": "provision", "at": moment.now, "id": name, "wanted": wanted.count, "add": [*moment.names(count)]}
                writer.append({**asked, **about})
            return self._told(moment.stock.clusters[name], moment)

    async def get(self, cluster_id: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        return await asyncio.to_thread(self._get, cluster_id, tenant)

    def _get(self, name: str, tenant: str) -> Cluster:
        with self.centre.writing() as writer:
            moment = self._moment(writer)
            return self._told(self._known(moment.stock, name, tenant), moment)

    async def list(self, tenant: str | None = None) -> list[Cluster]:
        """See Clusters.list."""
        return await asyncio.to_thread(self._list, tenant)

    def _list(self, tenant: str | None) -> builtins.list[Cluster]:
        with self.centre.writing() as writer:
            moment = self._moment(writer)
            found = moment.stock.clusters.values()
            return [self._told(each, moment) for each in found if not each.released and tenant in (None, each.tenant)]

    async def scale(self, cluster_id: str, tenant: str, count: int, key: str = "") -> Cluster:
        """See Clusters.scale."""
        if not 1 <= count <= COUNT_MAX:
            raise InvalidInput(f"A cluster of {count} machines cannot be.", code="count_invalid", remedy=f"Ask for 1 to {COUNT_MAX}.")

        def change(moment: Moment, made: Made) -> None:
            staying = made.staying(self._pool, moment.now)
            more = max(0, count - len(staying))
            moment.need(more, made.price_class)
            add, remove = moment.names(more), staying[count:]
            name = key or f"{count}/{len(staying)}/{made.wanted}"
            asked: Command = {"do": "scale", "at": moment.now, "id": made.id, "key": name, "wanted": count}
            moment.writer.append({**asked, "add": [*add], "remove": [*remove]})

        return await asyncio.to_thread(self._changed, cluster_id, tenant, key, change)

    async def replace(self, cluster_id: str, tenant: str, machine_id: str, key: str, *, ending: bool = True) -> Cluster:
        """See MachineReplacement.replace."""

        def change(moment: Moment, made: Made) -> None:
            if machine_id not in made.machines:
                reason = f"Cluster {made.id} has no machine {machine_id[:60]}."
                raise NotFound(reason, remedy="Ask for the cluster to see its machines.", code="machine_unknown")
            moment.need(1, made.price_class)
            old: Command = {"remove" if ending else "leave": [machine_id]}
            asked: Command = {
                "do": "replace",
                "at": moment.now,
                "id": made.id,
                "key": key,
                "wanted": made.wanted,
                "add": [*moment.names(1)],
            }
            moment.writer.append({**asked, **old})

        return await asyncio.to_thread(self._changed, cluster_id, tenant, key, change)

    async def release(self, cluster_id: str, tenant: str) -> Cluster:
        """See Clusters.release."""

        def change(moment: Moment, made: Made) -> None:
            if not made.released:
                moment.writer.append({"do": "release", "at": moment.now, "id": made.id})

        return await asyncio.to_thread(self._changed, cluster_id, tenant, "", change)

    async def interruptions(self) -> builtins.list[Interruption]:
        """See Interruptions.interruptions."""
        return await asyncio.to_thread(self._interruptions)

    def _interruptions(self) -> builtins.list[Interruption]:
        with self.centre.writing() as writer:
            moment, anchor = self._moment(writer), anchor_of(writer.commands)
            return [
                self._notice(made, name, when(anchor, lived.ends_at))
                for made in moment.stock.clusters.values()
                for name, asked_at in made.machines.items()
                if (lived := life(self._rules, name, made.price_class, asked_at)).told_at <= moment.now < lived.ends_at
            ]

    def _notice(self, made: Made, machine: str, at: datetime) -> Interruption:
        return Interruption(pool=self._pool.name, machine_id=machine, cluster_id=made.id, lease_id=made.lease, action="terminate", at=at)

    def set_stock(self, free: int | None) -> None:
        """Let so many machines be free from now on; None for what the pool's entry says."""
        with self.centre.writing() as writer:
            moment = self._moment(writer)
            there = sum(len(each.there(self._pool, moment.now)) for each in moment.stock.clusters.values())
            writer.append({"do": "stock", "at": moment.now, "total": None if free is None else there + free})

    def _moment(self, writer: Writer) -> Moment:
        return Moment(self._pool, writer, self.centre.virtual(writer))

    def _known(self, stock: Stock, name: str, tenant: str) -> Made:
        made = stock.clusters.get(name)
        if made is None or made.tenant != tenant:
            raise NotFound(f"There is no cluster {name[:60]}.", code="cluster_unknown", remedy="lineshaft clusters list shows yours.")
        return made

    def _changed(self, name: str, tenant: str, key: str, change: Change) -> Cluster:
        """Change a cluster once for a key."""
        with self.centre.writing() as writer:
            moment = self._moment(writer)
            made = self._known(moment.stock, name, tenant)
            if not key or key not in made.keys:
                change(moment, made)
            return self._told(moment.stock.clusters[name], moment)

    def _told(self, made: Made, moment: Moment) -> Cluster:
        anchor, now = anchor_of(moment.writer.commands), moment.now
        machines = [self._machine(made, name, anchor, now) for name in made.there(self._pool, now)]
        short = made.wanted - len(made.staying(self._pool, now))
        booting = any(machine.state == "pending" for machine in machines)
        state = ClusterState.CREATING if booting else ClusterState.PARTIAL if short > 0 else ClusterState.READY
        return Cluster(
            id=made.id,
            pool=self._pool.name,
            tenant=made.tenant,
            lease_id=made.lease,
            run_id=made.run,
            form="fleet",
            state=ClusterState.RELEASED if made.released else state,
            wanted=made.wanted,
            machines=machines,
            note=f"Simulated. {short} of {made.wanted} machines are not there." if short > 0 else "Simulated.",
            created_at=when(anchor, made.asked_at),
        )

    def _machine(self, made: Made, name: str, anchor: Anchor, now: float) -> Machine:
        lived = life(self._rules, name, made.price_class, made.machines[name])
        stopping = lived.told_at <= now or name in made.leaving
        state: Literal["pending", "running", "stopping"] = "stopping" if stopping else "running" if lived.ready_at <= now else "pending"
        return Machine(
            id=name,
            type=machine_type(self._pool),
            state=state,
            zone="simulated",
            price_class=made.price_class,
            launched_at=when(anchor, lived.asked_at),
        )


def when(anchor: Anchor, virtual: float) -> datetime:
    """A virtual time as a moment of ours."""
    return datetime.fromtimestamp(anchor.real_at(virtual), UTC)
