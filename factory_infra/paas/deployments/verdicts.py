"""Whether a candidate holds: what its step's counts show, and with what confidence. Pure."""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from factory_infra.paas.deployments.counts import Counts
from factory_infra.paas.deployments.rollout_models import Gates

Z = 1.645
"""One-sided confidence of 95 %."""
ERRORS_MIN = 3
"""One or two failures are never enough to go back: they may be the network's."""
TIMES_MIN = 20
SLOW_SHARE = 0.05
"""Of the answers that may take longer than the bound of the 95th percentile."""


class Finding(StrEnum):
    """What a gate says."""

    HOLDS = "holds"
    OPEN = "open"
    FAILS = "fails"


class Verdict(NamedTuple):
    """What the counts show, and the figure that decided."""

    finding: Finding
    code: str = ""
    reason: str = ""
    value: float = 0.0
    threshold: float = 0.0


HOLDS = Verdict(Finding.HOLDS)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Bounds of a share (Wilson's score interval, one-sided at 95 % each); 0 and 1 where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    share, squared = hits / of, Z * Z / of
    middle = (share + squared / 2) / (1 + squared)
    half = Z * math.sqrt(share * (1 - share) / of + squared / of / 4) / (1 + squared)
    return max(0.0, middle - half), min(1.0, middle + half)


def judge(gates: Gates, requests_min: int, candidate: Counts, live: Counts) -> Verdict:
    """What the counts of a step show: the first gate that fails, else the first that is open, else that all hold."""
    verdicts = [gate(gates, candidate, live) for gate in GATES]
    if candidate.requests < requests_min:
        wanted = f"The candidate has had {candidate.requests} of {requests_min} requests."
        verdicts.append(Verdict(Finding.OPEN, "requests", wanted, candidate.requests, requests_min))
    for finding in (Finding.FAILS, Finding.OPEN):
        for verdict in verdicts:
            if verdict.finding is finding:
                return verdict
    return HOLDS


def errors(gates: Gates, candidate: Counts, live: Counts) -> Verdict:
    """It fails no more requests than it may; nor is it blamed for what the live version fails as well."""
    allowed = max(gates.error_rate_max, live.errors / live.requests if live.requests else 0.0)
    rate = candidate.errors / candidate.requests if candidate.requests else 0.0
    reason = f"The candidate failed {candidate.errors} of {candidate.requests} requests; {allowed:.2%} may fail."
    if candidate.errors >= ERRORS_MIN and wilson(candidate.errors, candidate.requests)[0] > allowed:
        return Verdict(Finding.FAILS, "error_rate", reason, rate, allowed)
    return Verdict(Finding.OPEN, "error_rate", reason, rate, allowed) if rate > allowed else HOLDS


def latency(gates: Gates, candidate: Counts, live: Counts) -> Verdict:
    """95 of 100 of its answers come in time."""
    bounds = [gates.latency_p95_ms_max] if gates.latency_p95_ms_max is not None else []
    if gates.latency_ratio_max is not None:
        base = live.percentile(0.95)
        if base is None or live.timed < TIMES_MIN:
            return Verdict(Finding.OPEN, "latency", f"The live version has had {live.timed} of {TIMES_MIN} requests to compare with.")
        bounds.append(gates.latency_ratio_max * base)
    if not bounds:
        return HOLDS
    bound, p95 = min(bounds), candidate.percentile(0.95) or 0.0
    slow = candidate.slower_than(bound)
    reason = f"{slow} of {candidate.timed} of the candidate's answers took longer than {bound:.0f} ms."
    if candidate.timed >= TIMES_MIN and wilson(slow, candidate.timed)[0] > SLOW_SHARE:
        return Verdict(Finding.FAILS, "latency", reason, p95, bound)
    if candidate.timed < TIMES_MIN or slow > SLOW_SHARE * candidate.timed:
        return Verdict(Finding.OPEN, "latency", reason, p95, bound)
    return HOLDS


def agreement(gates: Gates, candidate: Counts, live: Counts) -> Verdict:
    """Its answers are those of the live version as often as they must be."""
    del live
    told = f"{candidate.agreed} of {candidate.compared} of the candidate's answers are the live version's"
    return at_least("agreement", gates.agreement_min, (candidate.agreed, candidate.compared), told, gates.samples_min)


def accuracy(gates: Gates, candidate: Counts, live: Counts) -> Verdict:
    """Feedback calls its answers right as often as it must."""
    del live
    told = f"Feedback calls {candidate.right} of {candidate.labelled} of the candidate's answers right"
    return at_least("accuracy", gates.accuracy_min, (candidate.right, candidate.labelled), told, gates.samples_min)


def at_least(code: str, wanted: float | None, counted: tuple[int, int], told: str, samples_min: int) -> Verdict:
    """A share that must be reached."""
    if wanted is None:
        return HOLDS
    hits, of = counted
    share = hits / of if of else 0.0
    reason = f"{told}; {wanted:.2%} must be."
    if of >= samples_min and wilson(hits, of)[1] < wanted:
        return Verdict(Finding.FAILS, code, reason, share, wanted)
    return Verdict(Finding.OPEN, code, reason, share, wanted) if of < samples_min or share < wanted else HOLDS


Gate = Callable[[Gates, Counts, Counts], Verdict]
GATES: tuple[Gate, ...] = (errors, latency, agreement, accuracy)
