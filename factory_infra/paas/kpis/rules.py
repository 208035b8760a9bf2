"""What each kind of event means for the numbers: one table, of which the pure functions, the kept sums and the shown queries are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DAY_SECONDS = 86_400
NO_TEAMS = ("platform", "audit-attacker", "audit-victim")
"""Administrators, and the two teams that exist for audits only: they are no users of the platform."""
VALUE_MAX = 10**18
"""A larger number in an event is a mistake of its writer: it is left out, and told."""
TENANT = "tenant"
"""In place of a field of the payload: the event's own column."""


@dataclass(frozen=True)
class Rule:
    """One kind of event adds to one series, at the event's own moment. Sums of such facts do not depend on the order of events.

    A span of time is two facts: its beginning adds a weight and its end takes it away again, so the series' level is what is held, and the
    area under it what was used.
    """

    series: str
    kind: str
    dims: tuple[str, ...] = ()
    """Fields by which the series is kept apart; `tenant` is the event's own."""
    value: str = ""
    """The field that is added; one is added where there is none."""
    sign: int = 1
    spread: int = 0
    """Not the field is added, but one at the field divided by this, rounded up: a distribution."""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields that must have one of some values."""
    teams: bool = False
    """Only events of teams that use the platform."""
    partner: str = ""
    """The kind of the event that must be in the log too, of the same subject: `lease-1/begun` is the partner of `lease-1/ended`."""
    partner_before: bool = True
    """Whether the partner must not be later than the event, or else not earlier."""
    partner_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partner_seconds: int = 0
    """At most so far from each other; 0 for any distance."""
    from_partner: bool = False
    """Dims and value are the partner's: the end of a span takes away exactly what its beginning added."""

    @property
    def verb(self) -> str:
        """The last word of the kind: what keys of such events end with."""
        return self.kind.rpartition(".")[2]

    @property
    def partner_verb(self) -> str:
        """The same of the partner's kind."""
        return self.partner.rpartition(".")[2]


def span(series: str, begin: str, end: str, dims: tuple[str, ...] = (), value: str = "") -> tuple[Rule, Rule]:
    """What is held from one kind of event to another. An end without a beginning counts for nothing."""
    return Rule(series, begin, dims, value), Rule(series, end, dims, value, sign=-1, partner=begin, from_partner=True)


PLACE = ("kind", "pool")
NODE = ("pool", "node")
GOOD = {"state": ("succeeded",)}
RULES: tuple[Rule, ...] = (
    # what there is, and who holds it
    Rule("slots.owned", "pool.grown", PLACE, "slots"),
    Rule("slots.owned", "pool.shrunk", PLACE, "slots", sign=-1),
    *span("slots.leased", "lease.begun", "lease.ended", PLACE, "slots"),
    Rule("leases.begun", "lease.begun"),
    Rule("leases.ended", "lease.ended"),
    Rule("leases.paired", "lease.ended", partner="lease.begun"),
    # how busy accelerators were when their nodes reported
    Rule("gpu.samples", "node.sampled", ("pool",), "samples"),
    Rule("gpu.busy", "node.sampled", ("pool",), "busy"),
    # jobs that ended well, over the time in which they ran
    Rule("slots.good", "job.started", PLACE, "slots", partner="job.ended", partner_before=False, partner_when=GOOD),
    Rule("slots.good", "job.ended", PLACE, "slots", sign=-1, when=GOOD, partner="job.started", from_partner=True),
    Rule("jobs.ended", "job.ended", ("kind", "state")),
    Rule("jobs.paired", "job.ended", ("kind",), partner="job.started"),
    # nodes: watched from the first report to retirement, without the time in which they were failed
    Rule("node.watched", "node.seen", NODE),
    Rule("node.watched", "node.retired", NODE, sign=-1, partner="node.seen", from_partner=True),
    Rule("node.watched", "node.failed", NODE, sign=-1),
    Rule("node.watched", "node.mended", NODE, partner="node.failed", from_partner=True),
    Rule("node.failures", "node.failed", NODE),
    # how long machines and slots took to come
    Rule("provision.cluster", "cluster.ready", (), "provision_ms", spread=1000),
    Rule("clusters.refused", "cluster.refused"),
    Rule("provision.lease", "lease.begun", (), "provision_ms", spread=1000),
    Rule("leases.refused", "lease.refused"),
    # whether each surface answered
    Rule("surface.known", "surface.watched", ("surface",)),
    Rule("surface.minutes", "surface.probed", ("surface",)),
    Rule("surface.ok", "surface.probed", ("surface",), "ok"),
    Rule("surface.failed", "surface.probed", ("surface",), "failed"),
    # what slots cost
    Rule("cost.amount", "usage.settled", ("currency", "subject"), "amount_nano"),
    Rule("cost.quantity", "usage.settled", ("currency", "subject"), "slot_ms"),
    Rule("cost.settled", "usage.settled"),
    # whether walls held
    Rule("audits.made", "isolation.audited", ("pool",)),
    Rule("audits.held", "isolation.audited", ("pool",), when={"holds": ("true",)}),
    Rule("attempts.made", "isolation.audited", ("pool",), "attempts"),
    Rule("attempts.refused", "isolation.audited", ("pool",), "refused"),
    # from a training run to an endpoint
    Rule("model.cycle", "model.live", (), "cycle_seconds", spread=60),
    # plans of teams, and who had a hand in them
    Rule("plans.closed", "plan.closed", ("state", "hands"), teams=True),
    # versions that came, and that went back
    Rule("deploy.live", "deployment.live"),
    Rule("deploy.failed", "deployment.failed"),
    Rule("deploy.aborted", "deployment.aborted"),
    Rule("deploy.back", "deployment.live", partner="deployment.rolled_back", partner_before=False, partner_seconds=DAY_SECONDS),
    # the same as it happens, for alerts
    Rule("deploys.good", "deployment.live"),
    Rule("deploys.bad", "deployment.failed"),
    Rule("deploys.bad", "deployment.rolled_back"),
    # teams, and those that did something
    Rule("team.there", "team.made", (TENANT,), teams=True),
    Rule("team.there", "team.closed", (TENANT,), sign=-1, teams=True, partner="team.made", from_partner=True),
    *(
        Rule("team.used", kind, (TENANT,), teams=True)
        for kind in ("lease.begun", "job.started", "plan.closed", "deployment.live", "models.used")
    ),
)
DELAYED: Mapping[str, int] = dict.fromkeys(("deploy.live", "deploy.failed", "deploy.aborted", "deploy.back"), DAY_SECONDS)
"""Series whose window lies so many seconds earlier: a deployment is judged when its first day is over."""
LEVELS = frozenset({"slots.owned", "slots.leased", "slots.good", "node.watched", "surface.known", "team.there"})
"""Series of which the level, and the area under it, are read: what was added before the window counts too."""
DISTRIBUTIONS = frozenset(rule.series for rule in RULES if rule.spread)
UNREADABLE = "unreadable"
"""The series, by kind, of events whose number could not be read."""
COUNTERFACTUAL = "counterfactual.fixed"
KINDS = tuple(sorted({rule.kind for rule in RULES} | {rule.partner for rule in RULES if rule.partner}))


def rules_of(series: frozenset[str]) -> tuple[Rule, ...]:
    """The rules that add to some series."""
    return tuple(rule for rule in RULES if rule.series in series)
