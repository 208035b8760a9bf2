"""The metrics by name, each with what it reads of the log."""

from collections.abc import Callable
from typing import NamedTuple

from factory_infra.paas.kpis.facts import Measured
from factory_infra.paas.kpis.metrics import fleet, promises, use
from factory_infra.paas.kpis.models import Kpi


class Metric(NamedTuple):
    """A metric with what it reads of the log."""

    of: Callable[[Measured], Kpi]
    series: frozenset[str]


METRICS: dict[str, Metric] = {
    "gpu_occupancy": Metric(fleet.gpu_occupancy, frozenset({"slots.owned", "slots.leased", "leases.ended", "leases.paired"})),
    "gpu_activity": Metric(fleet.gpu_activity, frozenset({"gpu.busy", "gpu.samples"})),
    "gpu_goodput": Metric(fleet.gpu_goodput, frozenset({"slots.owned", "slots.good", "jobs.ended", "jobs.paired"})),
    "node_mtbf": Metric(fleet.node_mtbf, frozenset({"node.watched", "node.failures"})),
    "provisioning_machines": Metric(fleet.provisioning_machines, frozenset({"provision.cluster", "clusters.refused"})),
    "provisioning_slots": Metric(fleet.provisioning_slots, frozenset({"provision.lease", "leases.refused"})),
    "availability": Metric(promises.availability, frozenset({"surface.known", "surface.minutes", "surface.ok", "surface.failed"})),
    "cost_reduction": Metric(promises.cost_reduction, frozenset({"cost.amount", "cost.quantity", "cost.settled"})),
    "isolation_verified": Metric(promises.isolation, frozenset({"audits.made", "audits.held", "attempts.made", "attempts.refused"})),
    "model_cycle": Metric(use.model_cycle, frozenset({"model.cycle"})),
    "self_service": Metric(use.self_service, frozenset({"plans.closed"})),
    "deployment_success": Metric(use.deployment_success, frozenset({"deploy.live", "deploy.failed", "deploy.back", "deploy.aborted"})),
    "use_across_teams": Metric(use.use_across_teams, frozenset({"team.there", "team.used"})),
}
"""By name, in the order in which they are shown."""
