"""Forty days of a factory as its log tells them: plausible, drawn from a seed."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from factory_infra.paas.kpis.facts import LogEvent
from factory_infra.paas.kpis.metrics.promises import digest_of

BEGIN = datetime(2026, 2, 1, 3, 20, 11, 500_123, tzinfo=UTC)
DAYS = 40
TEAMS = ("vision", "language", "robots", "search", "audit-victim")
POOLS = {"h100": ("gpu", 16), "l4": ("gpu", 8), "cpus": ("cpu", 64)}
OTHERWISE: dict[str, JsonValue] = {
    "name": "a machine for each team",
    "currency": "EUR",
    "hourly": {"gpu": 4.0, "gpu:H100": 9.5, "cpu": 0.05},
    "used_share": 0.4,
    "basis": "drawn",
}


class Life:
    """Lives through one log."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a test's own log
        self.size = size
        self.events: list[LogEvent] = []

    def at(self, days: float = DAYS) -> datetime:
        return BEGIN + timedelta(microseconds=self.random.randrange(int(days * 86_400e6)))

    def after(self, moment: datetime, mean_seconds: float) -> datetime:
        return moment + timedelta(microseconds=int(self.random.expovariate(1 / mean_seconds) * 1e6))

    def tell(self, subject: str, what: str, at: datetime, payload: dict[str, JsonValue], tenant: str | None = None) -> None:
        self.events.append(LogEvent(f"{subject}/{what.rpartition('.')[2]}", what, tenant, payload, at))

    def start(self) -> None:
        for name, (kind, slots) in POOLS.items():
            self.tell(f"{name}-1", "pool.grown", BEGIN, {"pool": name, "kind": kind, "slots": slots})
            self.tell(f"{name}-2", "pool.shrunk", self.at(), {"pool": name, "kind": kind, "slots": slots // 4})
        for each, team in enumerate(TEAMS):
            self.tell(f"team-{team}", "team.made", BEGIN + timedelta(days=each), {"team": team}, team)
        self.tell("team-search", "team.closed", BEGIN + timedelta(days=25), {"team": "search"}, "search")
        late = {**OTHERWISE, "used_share": 0.01}
        spoilt: dict[str, JsonValue] = {"digest": "0" * 64, "document": OTHERWISE, "by": "nobody"}
        self.tell("c-1", "counterfactual.fixed", BEGIN, {"digest": digest_of(OTHERWISE), "document": OTHERWISE, "by": "admin"})
        self.tell("c-2", "counterfactual.fixed", BEGIN + timedelta(days=39), {"digest": digest_of(late), "document": late, "by": "admin"})
        self.tell("c-3", "counterfactual.fixed", BEGIN + timedelta(hours=1), spoilt)

    def lease(self, number: int) -> None:
        pool = self.random.choice([*POOLS, "cloud"])
        kind = POOLS.get(pool, ("gpu", 0))[0]
        team, begin, slots = self.random.choice(TEAMS), self.at(), self.random.randrange(1, 5)
        end = self.after(begin, 7200)
        about: dict[str, JsonValue] = {"lease_id": f"lease-{number}", "pool": pool, "kind": kind, "slots": slots}
        if self.random.random() < 0.05:
            self.tell(f"lease-{number}", "lease.refused", begin, about, team)
            return
        if self.random.random() > 0.03:
            wait = int(self.random.expovariate(1 / 60_000))
            self.tell(f"lease-{number}", "lease.begun", begin, {**about, "provision_ms": wait}, team)
        if self.random.random() > 0.03:
            self.tell(f"lease-{number}", "lease.ended", end, {**about, "state": "released"}, team)
            paid: dict[str, JsonValue] = {"subject": f"{kind}:H100:spot" if kind == "gpu" else "cpu", "currency": "EUR"}
            seconds = (end - begin).total_seconds() * slots
            amount = int(seconds / 3600 * self.random.uniform(1, 6) * 1e9)
            self.tell(f"usage-{number}", "usage.settled", end, {**paid, "slot_ms": int(seconds * 1000), "amount_nano": amount}, team)
        start = self.after(begin, 600)
        run = {**about, "job_id": f"job-{number}"}
        self.tell(f"job-{number}-1", "job.started", start, run, team)
        if self.random.random() > 0.05:
            state = self.random.choice(["succeeded", "succeeded", "failed", "cancelled"])
            self.tell(f"job-{number}-1", "job.ended", self.after(start, 5000), {**run, "state": state}, team)

    def node(self, number: int) -> None:
        name: dict[str, JsonValue] = {"pool": "h100", "node": f"n{number}"}
        seen = self.at(5)
        self.tell(f"node-{number}", "node.seen", seen, name)
        for failure in range(self.random.randrange(4)):
            failed = self.after(seen, 400_000)
            self.tell(f"incident-{number}-{failure}", "node.failed", failed, {**name, "code": "xid_79"})
            if self.random.random() < 0.9:
                self.tell(f"incident-{number}-{failure}", "node.mended", self.after(failed, 5000), {**name, "code": "xid_79"})
        for _ in range(20):
            at = self.after(seen, 900_000)
            samples = self.random.randrange(1, 9)
            busy = self.random.randrange(samples * 10_000)
            self.tell(f"node-{number}-{at.timestamp()}", "node.sampled", at, {**name, "samples": samples, "busy": busy})

    def deployment(self, number: int) -> None:
        at, about, team = self.at(), {"endpoint": f"e{number % 7}"}, self.random.choice(TEAMS)
        fate = self.random.random()
        if fate < 0.06:
            self.tell(f"deployment-{number}", "deployment.failed", at, {**about, "code": "error_rate"}, team)
        elif fate < 0.1:
            self.tell(f"deployment-{number}", "deployment.aborted", at, dict(about), team)
        else:
            self.tell(f"deployment-{number}", "deployment.live", at, dict(about), team)
            if fate < 0.3:
                self.tell(f"deployment-{number}", "deployment.rolled_back", self.after(at, 86_400), dict(about), team)
            cycle: dict[str, JsonValue] = {} if fate > 0.95 else {"cycle_seconds": int(self.random.expovariate(1 / 400_000))}
            self.tell(f"model-{number}", "model.live", at, {"version": number, **cycle}, team)

    def others(self, number: int) -> None:
        self.tell(f"cluster-{number}", "cluster.ready", self.at(), {"provision_ms": self.random.randrange(60_000, 1_200_000)})
        if number % 9 == 0:
            self.tell(f"cluster-{number}", "cluster.refused", self.at(), {})
        held = self.random.random() > 0.1
        tried = self.random.randrange(1, 30)
        audit: dict[str, JsonValue] = {"pool": "local", "holds": held, "attempts": tried, "refused": tried - (not held)}
        self.tell(f"audit-{number}", "isolation.audited", self.at(), audit)
        state = self.random.choice(["done", "done", "done", "failed", "refused", "expired", "cancelled", "undone"])
        hands = self.random.choice(["policy", "team", "platform"])
        self.tell(f"plan-{number}", "plan.closed", self.at(), {"state": state, "hands": hands}, self.random.choice([*TEAMS, "platform"]))

    def surfaces(self) -> None:
        minute = BEGIN.replace(second=0, microsecond=0)
        for surface in ("api", "worker"):
            self.tell(f"surface-{surface}", "surface.watched", minute, {"surface": surface})
        for number in range(900):
            if 300 < number < 330 or self.random.random() < 0.01:
                continue  # nobody looked
            for surface in ("api", "worker"):
                failed = self.random.randrange(1, 7) if self.random.random() < 0.002 else 0
                at = minute + timedelta(minutes=number * 61)
                probed: dict[str, JsonValue] = {"surface": surface, "ok": 6 - failed, "failed": failed}
                self.tell(f"probe-{surface}-{number}", "surface.probed", at, probed)


def lived(seed: int, size: int = 200) -> list[LogEvent]:
    """The log, in the order in which it was written: late things come late."""
    life = Life(seed, size)
    life.start()
    life.surfaces()
    makers: tuple[tuple[Callable[[int], None], int], ...] = (
        (life.lease, size),
        (life.node, max(size // 10, 3)),
        (life.deployment, size),
        (life.others, size),
    )
    for make, count in makers:
        for number in range(count):
            make(number)
    return sorted(life.events, key=lambda each: each.at + timedelta(seconds=life.random.choice([0, 0, 0, 90_000])))
