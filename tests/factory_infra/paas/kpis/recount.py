"""Every figure once more, from raw events and in other code: things are put together again, laid over the window, and counted by hand.

Nothing of what the figures are made by is used here: no rule, no series, no sum.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from factory_infra.database import Database

Raw = dict[str, Any]
FAR = timedelta(days=100_000)


@dataclass
class Log:
    """The log as it lies in the table."""

    rows: list[Raw]
    since: datetime
    until: datetime

    def kind(self, kind: str) -> list[Raw]:
        return [row for row in self.rows if row["kind"] == kind and row["at"] < self.until]

    def inside(self, kind: str, earlier: timedelta = timedelta(0)) -> list[Raw]:
        return [row for row in self.rows if row["kind"] == kind and self.since - earlier <= row["at"] < self.until - earlier]

    def last(self, kind: str) -> dict[str, Raw]:
        return {row["key"].rsplit("/", 1)[0]: row for row in self.rows if row["kind"] == kind}

    def overlap(self, begin: datetime, end: datetime) -> float:
        """Hours of a span within the window."""
        return max((min(end, self.until) - max(begin, self.since)).total_seconds(), 0.0) / 3600


async def read(database: Database, since: datetime, until: datetime) -> Log:
    async with database.transaction() as session:
        found = await session.execute(text("SELECT key, kind, tenant, payload, at FROM events ORDER BY id"))
        return Log([dict(row._mapping) for row in found], since, until)


def spans(log: Log, begin: str, end: str) -> list[tuple[Raw, datetime]]:
    """Beginnings with their ends; what has not ended lasts."""
    ends, far = log.last(end), log.until + FAR
    found = []
    for subject, row in log.last(begin).items():
        last = ends.get(subject)
        found.append((row, last["at"] if last is not None and last["at"] >= row["at"] else far))
    return found


def owned(log: Log) -> dict[str, float]:
    """Slot-hours of each pool of GPUs."""
    hours: dict[str, float] = {}
    for kind, sign in (("pool.grown", 1), ("pool.shrunk", -1)):
        for row in log.kind(kind):
            if row["payload"]["kind"] == "gpu":
                more = sign * row["payload"]["slots"] * log.overlap(row["at"], log.until)
                hours[row["payload"]["pool"]] = hours.get(row["payload"]["pool"], 0.0) + more
    return hours


def used(log: Log, of: Iterable[tuple[Raw, datetime]]) -> float:
    """Slot-hours of spans, in pools that have slots."""
    pools = owned(log)
    mine = [(row, end) for row, end in of if row["payload"]["kind"] == "gpu" and row["payload"]["pool"] in pools]
    return float(sum(row["payload"]["slots"] * log.overlap(row["at"], end) for row, end in mine))


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def gpu(log: Log) -> dict[str, float]:
    whole, ends = sum(owned(log).values()), log.last("job.ended")
    good = [
        (row, end)
        for row, end in spans(log, "job.started", "job.ended")
        if ends.get(row["key"].rsplit("/", 1)[0], {"payload": {}})["payload"].get("state") == "succeeded"
    ]
    samples = log.inside("node.sampled")
    return {
        "gpu_occupancy": used(log, spans(log, "lease.begun", "lease.ended")) / whole,
        "gpu_goodput": used(log, good) / whole,
        "gpu_activity": sum(row["payload"]["busy"] for row in samples) / 10_000 / sum(row["payload"]["samples"] for row in samples),
    }


def mtbf(log: Log) -> dict[str, float]:
    hours: dict[str, float] = {}
    for row, end in spans(log, "node.seen", "node.retired"):
        hours[row["payload"]["node"]] = log.overlap(row["at"], end)
    for row, end in spans(log, "node.failed", "node.mended"):
        hours[row["payload"]["node"]] -= log.overlap(row["at"], end)
    failures = [row for row in log.inside("node.failed") if hours[row["payload"]["node"]] > 0]
    return {"node_mtbf": sum(each for each in hours.values() if each > 0) / len(failures)}


def provisioning(log: Log) -> dict[str, float]:
    def seconds(kind: str) -> list[int]:
        return [math.ceil(row["payload"]["provision_ms"] / 1000) for row in log.inside(kind)]

    return {
        "provisioning_slots": percentile(seconds("lease.begun"), 0.95),
        "provisioning_machines": percentile(seconds("cluster.ready"), 0.95),
    }


def availability(log: Log) -> dict[str, float]:
    found = {}
    for surface in ("api", "worker"):
        minutes = [row["payload"] for row in log.inside("surface.probed") if row["payload"]["surface"] == surface]
        good, bad = (sum(each[name] for each in minutes) for name in ("ok", "failed"))
        (first,) = [row["at"] for row in log.kind("surface.watched") if row["payload"]["surface"] == surface]
        if surface == "worker":
            bad += 6 * (log.overlap(first, log.until) * 60 - len(minutes))
        found[surface] = good / (good + bad)
    return {"availability": min(found.values())}


def cost(log: Log) -> dict[str, float]:
    prices, share = {"gpu": 9.5, "cpu": 0.05}, 0.4  # as life.py fixed them before any window; a GPU there is always an H100
    paid = otherwise = 0.0
    for row in log.inside("usage.settled"):
        told = row["payload"]
        paid += told["amount_nano"] / 1e9
        otherwise += told["slot_ms"] / 3.6e6 * prices[told["subject"].split(":")[0]] / share
    return {"cost_reduction": 1 - paid / otherwise}


def deployments(log: Log) -> dict[str, float]:
    day, back = timedelta(days=1), log.last("deployment.rolled_back")
    live = log.inside("deployment.live", earlier=day)
    good = 0
    for row in live:
        undone = back.get(row["key"].rsplit("/", 1)[0])
        good += undone is None or undone["at"] - row["at"] > day
    return {"deployment_success": good / (len(live) + len(log.inside("deployment.failed", earlier=day)))}


def teams(log: Log) -> dict[str, float]:
    people = {"audit-victim", "audit-attacker", "platform"}
    there = {row["tenant"] for row in log.kind("team.made")} - {row["tenant"] for row in log.kind("team.closed")} - people
    acts = ("lease.begun", "job.started", "plan.closed", "deployment.live", "models.used")
    active = {row["tenant"] for kind in acts for row in log.inside(kind)}
    plans = [row for row in log.inside("plan.closed") if row["tenant"] not in people]
    carried = [row["payload"] for row in plans if row["payload"]["state"] not in {"refused", "expired", "cancelled"}]
    alone = [each for each in carried if each["state"] == "done" and each["hands"] != "platform"]
    cycles = [math.ceil(row["payload"]["cycle_seconds"] / 60) for row in log.inside("model.live") if "cycle_seconds" in row["payload"]]
    audits = [row["payload"]["holds"] for row in log.inside("isolation.audited")]
    return {
        "use_across_teams": len(there & active) / len(there),
        "self_service": len(alone) / len(carried),
        "model_cycle": percentile(cycles, 0.5) / 60,
        "isolation_verified": sum(audits) / len(audits),
    }


def recounted(log: Log) -> dict[str, float]:
    """Every figure by its name."""
    found: dict[str, float] = {}
    for count in (gpu, mtbf, provisioning, availability, cost, deployments, teams):
        found |= count(log)
    return found
