"""The product's own scheduler as the engine drives it."""

from collections.abc import Mapping

from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Decision, Running, Workload
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.twin.scenario import Core, Scenario


class OwnCore:
    """The scheduler of an installation, asked for decisions only: reasons are for people who wait."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def submit(self, workload: Workload) -> None:
        """See Core.submit."""
        self.scheduler.submit(workload)

    def remove(self, workload_id: str) -> None:
        """See Core.remove."""
        self.scheduler.remove(workload_id)

    def finish(self, workload_id: str, at: float) -> None:
        """See Core.finish."""
        self.scheduler.finish(workload_id, at)

    def adopt(self, running: Running) -> None:
        """See Core.adopt."""
        self.scheduler.adopt(running)

    def reserve(self, workload_id: str, now: float) -> None:
        """See Reserving.reserve."""
        self.scheduler.reserve(workload_id, now)

    def remember(self, workload: Workload, began: float, ended: float) -> None:
        """See Remembering.remember."""
        self.scheduler.remember(workload, began, ended)

    def decide(self, now: float) -> Decision:
        """See Core.decide."""
        return self.scheduler.decide(now, waits="none")


def core_of(scenario: Scenario, fleets: Mapping[str, Fleet], seed: int) -> Core:
    """Build the scheduler of a scenario: the product's own unless it names another."""
    if scenario.core is not None:
        return scenario.core(scenario, fleets, seed)
    return OwnCore(Scheduler(scenario.policy, scenario.quotas, fleets))
