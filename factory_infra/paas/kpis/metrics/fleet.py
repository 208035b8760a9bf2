"""Metrics of machines and slots: how far they are used, how long they work, how soon they come."""

import math
from statistics import NormalDist

from factory_infra.foundation.reliability.statistics import CONFIDENCE, between_failures
from factory_infra.paas.kpis.facts import Measured, Sum
from factory_infra.paas.kpis.metrics.shaping import HOUR, PARTS_MAX, blank, finished, left_out, part, rank, share
from factory_infra.paas.kpis.models import Amount, Goal, Kpi, Part

EXACT_FAILURES_MAX = 200
PROVISION_MIN, SAMPLES_MIN, JOBS_MIN, FAILURES_MIN = 20, 100, 5, 4
CHI_SQUARE = (
    "NIST/SEMATECH e-Handbook of Statistical Methods, 8.4.5.1; above 200 failures with the approximation of Wilson and Hilferty (1931)"
)
USED_GOAL = Goal(above=True, value=0.7, words="> 70 %")
MTBF_HOURS = 1000


def gpu_pools(found: Measured, series: str) -> dict[str, Sum]:
    """A series of accelerators by pool."""
    return {dim.partition("/")[2]: each for dim, each in found.of(series).items() if dim.partition("/")[0] == "gpu"}


def held_share(found: Measured, series: str, kpi: Kpi, words: str) -> tuple[Kpi, float | None, bool]:
    """How much of the slots' time a series took, by pool; pools whose slots are made on demand have no time of their own."""
    owned, held = gpu_pools(found, "slots.owned"), gpu_pools(found, series)
    pools = {name for name, each in owned.items() if each.area > 0}
    top, whole = (sum(each.area for name, each in sums.items() if name in pools) for sums in (held, owned))
    stray = sum(each.area for name, each in held.items() if name not in pools)
    parts = [part(name, held.get(name, Sum()).area / HOUR, owned[name].area / HOUR) for name in sorted(pools)]
    update = {
        "numerator": Amount(words=words, value=top / HOUR, unit="slot-hours"),
        "denominator": Amount(words="GPU slots that pools had, idle and broken ones too", value=whole / HOUR, unit="slot-hours"),
        "parts": parts[:PARTS_MAX],
        "exclusions": left_out((f"slot-hours in pools whose slots are made on demand, or are not known ({words})", stray / HOUR)),
    }
    return kpi.model_copy(update=update), share(top, whole), whole >= HOUR


def gpu_occupancy(found: Measured) -> Kpi:
    """How much of the time GPU slots were leased."""
    kpi = blank("gpu_occupancy", "GPU occupancy", "Slot-hours leased, of the slot-hours that pools had.", USED_GOAL)
    kpi, value, enough = held_share(found, "slots.leased", kpi, "GPU slots leased")
    orphans = found.total("leases.ended").n - found.total("leases.paired").n
    more = left_out(
        ("leases that ended and of which the log has no beginning", orphans),
        ("events whose number cannot be read", found.unreadable("lease.begun", "pool.grown", "pool.shrunk")),
    )
    kpi = kpi.model_copy(update={"exclusions": kpi.exclusions + more})
    return finished(kpi, value, enough=enough, few="No pool is known to have had GPU slots for an hour.")


def gpu_activity(found: Measured) -> Kpi:
    """How busy GPUs were."""
    words = "The mean of how busy each GPU was (NVML's utilisation: a kernel ran), at one report of its node in five minutes."
    busy, samples = found.of("gpu.busy"), found.of("gpu.samples")
    top, whole = sum(each.n for each in busy.values()), found.total("gpu.samples").n
    kpi = blank(
        "gpu_activity",
        "GPU activity",
        words,
        USED_GOAL,
        numerator=Amount(words="busyness over all samples, 1 for a GPU that was busy all the time", value=top / 10_000, unit="samples"),
        denominator=Amount(words="samples of one GPU at one time", value=whole, unit="samples"),
        parts=[part(name, busy.get(name, Sum()).n / 10_000, each.n) for name, each in sorted(samples.items())][:PARTS_MAX],
        exclusions=left_out(("reports whose number cannot be read", found.unreadable("node.sampled"))),
    )
    value, few = share(top / 10_000, whole), f"Only {whole} samples: {SAMPLES_MIN} are needed."
    return finished(kpi, value, enough=whole >= SAMPLES_MIN, few=few)


def gpu_goodput(found: Measured) -> Kpi:
    """How much of the slots' time went into jobs that succeeded."""
    words = (
        "Slot-hours of the runs that ended in success, of the slot-hours that pools had. Work that failed, was stopped or lost counts not."
    )
    kpi, value, enough = held_share(found, "slots.good", blank("gpu_goodput", "GPU goodput", words, USED_GOAL), "runs that succeeded")
    ended = {dim: each.n for dim, each in found.of("jobs.ended").items() if dim.partition("/")[0] == "gpu"}
    count = sum(ended.values())
    bad = count - ended.get("gpu/succeeded", 0)
    orphans = count - sum(each.n for dim, each in found.of("jobs.paired").items() if dim == "gpu")
    more = left_out(
        ("runs that ended without success (their time is in the denominator)", bad),
        ("runs that ended and of which the log has no beginning", orphans),
        ("events whose number cannot be read", found.unreadable("job.started", "job.ended")),
    )
    kpi = kpi.model_copy(update={"exclusions": kpi.exclusions + more})
    few = f"Only {count} runs on GPUs ended: {JOBS_MIN} are needed." if enough else "No pool is known to have had GPU slots for an hour."
    return finished(kpi, value, enough=enough and count >= JOBS_MIN, few=few)


def bounds(hours: float, failures: int, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """The bounds of the mean time between failures. For many failures the chi-square quantile is Wilson's and Hilferty's approximation."""
    if failures <= EXACT_FAILURES_MAX:
        rate = between_failures(hours, failures, confidence)
        return rate.hours_lower, rate.hours_upper
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    least, most = (
        count * (1 - 2 / (9 * count) + sign * z * math.sqrt(2 / (9 * count))) ** 3
        for count, sign in ((2 * failures + 2, 1), (2 * failures, -1))
    )
    return 2 * hours / least, 2 * hours / most


def node_mtbf(found: Measured) -> Kpi:
    """How long a node works between two failures."""
    watched, failures = found.of("node.watched"), found.of("node.failures")
    known = {name: each.area / HOUR for name, each in watched.items() if each.area > 0}
    hours, count = math.fsum(known.values()), sum(each.n for name, each in failures.items() if name in known)
    stray = sum(each.n for name, each in failures.items() if name not in known)
    lower, upper = bounds(hours, count) if hours > 0 else (None, None)
    worst = sorted(known, key=lambda name: (-(failures.get(name, Sum()).n) / known[name], name))[:PARTS_MAX]
    kpi = blank(
        "node_mtbf",
        "Mean time between failures of a node",
        "Hours in which nodes were watched and not failed, over their failures: from the first report to retirement, without the time in "
        "which they were failed. The bounds hold with 90 %; the goal is met once the lower one is above it.",
        Goal(above=True, value=MTBF_HOURS, words="> 1,000 h"),
        unit="hours",
        numerator=Amount(words="hours watched of all nodes", value=hours, unit="hours"),
        denominator=Amount(words="failures", value=count, unit="failures"),
        lower=lower,
        upper=upper,
        source=CHI_SQUARE,
        parts=[node_part(name, known[name], failures.get(name, Sum()).n) for name in worst],
        exclusions=left_out(("failures of nodes that were not watched in the window", stray)),
    )
    if hours <= 0:
        return finished(kpi, None, enough=False, few="No node was watched.")
    at_least = f" It is at least {lower:.0f} h." if lower is not None else ""
    shown = finished(
        kpi, share(hours, count), enough=count >= FAILURES_MIN, few=f"Only {count} failures: {FAILURES_MIN} are needed.{at_least}"
    )
    met = True if lower is not None and lower > MTBF_HOURS else False if upper is not None and upper < MTBF_HOURS else None
    note = shown.note or ("" if met is not None else "The goal lies between the bounds: it cannot be told yet whether it is met.")
    return shown.model_copy(update={"met": met if shown.value is not None else None, "note": note})


def node_part(name: str, hours: float, failures: int) -> Part:
    """One node: its lower bound, for a node by itself seldom fails often enough for a mean."""
    lower, _ = bounds(hours, failures)
    return Part(
        name=name,
        value=share(hours, failures) if failures >= FAILURES_MIN else None,
        numerator=hours,
        denominator=failures,
        note=f"at least {lower:.0f} h" if lower is not None else "",
    )


def provisioning(found: Measured, series: str, kpi: Kpi, refused: tuple[str, int, int]) -> Kpi:
    """The 95th percentile of how long something took to come."""
    counts = found.values.get(series, {})
    whole, limit = sum(counts.values()), kpi.goal.value
    within = sum(n for value, n in counts.items() if value < limit)
    told = (("half of them within, s", 0.5), ("99 of 100 within, s", 0.99), ("all within, s", 1.0))
    kpi = kpi.model_copy(
        update={
            "numerator": Amount(words=f"that came within {limit:.0f} s", value=within, unit="requests"),
            "denominator": Amount(words="that came", value=whole, unit="requests"),
            "parts": [Part(name=name, value=rank(counts, quantile), numerator=0, denominator=whole) for name, quantile in told if whole],
            "exclusions": left_out((refused[0], refused[1]), ("events whose number cannot be read", refused[2])),
        }
    )
    value = rank(counts, 0.95)
    few = f"Only {whole} came: {PROVISION_MIN} are needed for a 95th percentile."
    kpi = finished(kpi, value, enough=whole >= PROVISION_MIN, few=few)
    return kpi if kpi.value is not None else kpi.model_copy(update={"parts": []})


def provisioning_machines(found: Measured) -> Kpi:
    """Tier 1: machines."""
    kpi = blank(
        "provisioning_machines",
        "Provisioning of machines (tier 1)",
        "From the request of a cluster until its machines are there, in seconds rounded up: the 95th percentile by nearest rank.",
        Goal(above=False, value=900, words="p95 < 15 min"),
        unit="seconds",
    )
    refused = ("requests that were refused: no machines came", found.total("clusters.refused").n, found.unreadable("cluster.ready"))
    return provisioning(found, "provision.cluster", kpi, refused)


def provisioning_slots(found: Measured) -> Kpi:
    """Tier 2: slots."""
    kpi = blank(
        "provisioning_slots",
        "Provisioning of slots (tier 2)",
        "From the request of a lease until its slots are held, waiting in line and the making of machines included, in seconds rounded up: "
        "the 95th percentile by nearest rank.",
        Goal(above=False, value=300, words="p95 < 5 min"),
        unit="seconds",
    )
    refused = (
        "leases that never began: refused, withdrawn, or patience ran out",
        found.total("leases.refused").n,
        found.unreadable("lease.begun"),
    )
    return provisioning(found, "provision.lease", kpi, refused)
