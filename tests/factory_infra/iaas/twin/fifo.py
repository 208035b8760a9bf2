"""A scheduler of a few lines, so that tests of the engine know what it decides: first come, first placed, others may pass."""

from collections.abc import Mapping

from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Decision, Running, Seat, Start, Workload
from factory_infra.iaas.scheduling.placement.registry import build
from factory_infra.iaas.twin.scenario import Scenario


class Fifo:
    """Keeps the engine honest: the fleet refuses a seat that is taken twice or given back twice."""

    def __init__(self, scenario: Scenario, fleets: Mapping[str, Fleet], seed: int) -> None:
        self.fleets, self.placement = fleets, build("first_fit", None, seed)
        self.waiting: dict[str, Workload] = {}
        self.seats: dict[str, tuple[Workload, str, tuple[Seat, ...]]] = {}

    def submit(self, workload: Workload) -> None:
        assert workload.id not in self.waiting and workload.id not in self.seats
        self.waiting[workload.id] = workload

    def remove(self, workload_id: str) -> None:
        if self.waiting.pop(workload_id, None) is None:
            self._free(workload_id)

    def finish(self, workload_id: str, at: float) -> None:
        self._free(workload_id)

    def adopt(self, running: Running) -> None:
        self.fleets[running.pool].take(running.seats, running.workload.shape)
        self.seats[running.workload.id] = (running.workload, running.pool, running.seats)

    def decide(self, now: float) -> Decision:
        starts = [start for workload in list(self.waiting.values()) if (start := self._start(workload))]
        return Decision(now, starts=tuple(starts))

    def _start(self, workload: Workload) -> Start | None:
        for pool, fleet in self.fleets.items():
            if workload.pools and pool not in workload.pools:
                continue
            seats = self.placement.place_gang(fleet, workload, workload.members)
            if seats is not None:
                fleet.take(seats, workload.shape)
                assert all(fleet.fit[seat.node] for seat in seats)
                del self.waiting[workload.id]
                self.seats[workload.id] = (workload, pool, seats)
                return Start(workload.id, pool, seats, workload.members)
        return None

    def _free(self, workload_id: str) -> None:
        workload, pool, seats = self.seats.pop(workload_id)
        self.fleets[pool].give(seats, workload.shape)
