"""Metrics of what the platform promises: that its surfaces answer, that it costs less, that its walls hold."""

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from factory_infra.paas.kpis.facts import Counterfactual, Measured, Sum
from factory_infra.paas.kpis.metrics.shaping import MINUTE, PARTS_MAX, blank, finished, left_out, part, share
from factory_infra.paas.kpis.models import Amount, Goal, Kpi, NewCounterfactual, Part

NANO = 10**9
PROBES_A_MINUTE = 6
PROBES_MIN, SETTLED_MIN = 1000, 10
GAP_MINUTES_MIN = 2
"""The minute that is under way was not told yet."""


def availability(found: Measured) -> Kpi:
    """How often each surface answered; the figure is that of the worst."""
    names = sorted({*found.of("surface.ok"), *found.of("surface.failed"), *found.of("surface.known")})
    parts, gaps, worst_case = [], [], []
    for name in names:
        ok, failed, gap = probes(found, name)
        blind = 0 if name == "worker" else gap
        whole = ok + failed
        note = "" if whole >= PROBES_MIN else f"Only {whole:.0f} probes: {PROBES_MIN} are needed."
        parts.append(
            part(name, ok, whole, enough=whole >= PROBES_MIN, note=note or (f"nobody looked for {blind:.0f} min" if blind else ""))
        )
        gaps.append((f"minutes in which nobody looked at {name}", round(blind, 1)))
        worst_case.append(share(ok, whole + blind * PROBES_A_MINUTE) if whole >= PROBES_MIN else None)
    shown = [each for each in parts if each.value is not None]
    worst = min(shown, key=lambda each: each.value or 0.0) if shown else Part(name="", value=None, numerator=0, denominator=0)
    kpi = blank(
        "availability",
        "Availability of the worst surface",
        "Probes that were answered, of all probes of a surface; the worker asks each six times a minute. While the worker is down nobody "
        "looks: for the worker itself that is downtime, for the others it is left out, and the lower bound is what would hold if all of it "
        "were downtime.",
        Goal(above=True, value=0.999, words="> 99.9 %"),
        numerator=Amount(words=f"probes that {worst.name or 'a surface'} answered", value=worst.numerator, unit="probes"),
        denominator=Amount(words="probes of it", value=worst.denominator, unit="probes"),
        parts=parts,
        lower=min((each for each in worst_case if each is not None), default=None),
        exclusions=left_out(*gaps, ("events whose number cannot be read", found.unreadable("surface.probed"))),
    )
    return finished(kpi, worst.value, enough=True, few=f"No surface was probed {PROBES_MIN} times.")


def probes(found: Measured, surface: str) -> tuple[float, float, float]:
    """Probes of a surface that were answered, that were not, and the minutes in which nobody looked."""
    one = {name: found.sums.get((f"surface.{name}", surface), Sum()) for name in ("ok", "failed", "minutes", "known")}
    gap = one["known"].area / MINUTE - one["minutes"].n
    gap = gap if gap >= GAP_MINUTES_MIN else 0.0
    silent = gap * PROBES_A_MINUTE if surface == "worker" else 0.0
    return one["ok"].n, one["failed"].n + silent, gap


def digest_of(document: Mapping[str, JsonValue]) -> str:
    """The digest of a document, which its keys' order does not change."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def standing(found: Measured) -> tuple[Counterfactual, NewCounterfactual] | None:
    """The newest counterfactual that was fixed before the window began and is what it was when it was fixed."""
    for each in reversed(found.counterfactuals):
        if each.at > found.window.since or digest_of(each.document) != each.digest:
            continue
        try:
            return each, NewCounterfactual.model_validate(each.document)
        except ValidationError:
            continue
    return None


def hourly(prices: Mapping[str, float], subject: str) -> float | None:
    """The price of what a slot is, or of its name before the last colon."""
    while subject and subject not in prices:
        subject = subject.rpartition(":")[0]
    return prices.get(subject)


def cost_reduction(found: Measured) -> Kpi:
    """How much less was paid for slots than the counterfactual would have cost."""
    kept, settled = standing(found), found.total("cost.settled").n
    kpi = blank(
        "cost_reduction",
        "Cost reduction",
        "What the same slot-hours would have cost by the counterfactual that was fixed before the window began (its hourly prices over the "
        "share that would be in use), less what they cost by the ledger, of the former. Counted when a lease is settled.",
        Goal(above=True, value=0.4, words="> 40 %"),
    )
    if kept is None:
        spoilt = sum(digest_of(each.document) != each.digest for each in found.counterfactuals)
        words = "No counterfactual was fixed before this window began: fix one now for windows to come."
        kpi = kpi.model_copy(update={"exclusions": left_out(("counterfactuals that are not what their digest says", spoilt))})
        return finished(kpi, None, enough=False, few=words)
    fixed, document = kept
    paid = otherwise = strange = 0.0
    for dim, amount in found.of("cost.amount").items():
        currency, _, subject = dim.partition("/")
        price, money = hourly(document.hourly, subject), amount.n / NANO
        if price is None or currency != document.currency:
            strange += money
            continue
        paid += money
        otherwise += found.sums.get(("cost.quantity", dim), Sum()).n / 3_600_000 * price / document.used_share
    kpi = kpi.model_copy(
        update={
            "numerator": Amount(
                words=f"saved: {otherwise:.6f} otherwise, less {paid:.6f} paid", value=otherwise - paid, unit=document.currency
            ),
            "denominator": Amount(words=f"by the counterfactual '{document.name}'", value=otherwise, unit=document.currency),
            "source": f"counterfactual {fixed.digest[:16]}, fixed at {fixed.at.isoformat()}. {document.basis}".strip(),
            "exclusions": left_out(
                ("paid for slots that the counterfactual does not price, or in another currency", strange),
                ("events whose number cannot be read", found.unreadable("usage.settled")),
            ),
        }
    )
    few = f"Only {settled} settlements: {SETTLED_MIN} are needed."
    return finished(kpi, share(otherwise - paid, otherwise), enough=settled >= SETTLED_MIN, few=few)


def isolation(found: Measured) -> Kpi:
    """Whether the walls between teams held whenever they were attacked."""
    made, held = found.of("audits.made"), found.of("audits.held")
    whole, good = found.total("audits.made").n, found.total("audits.held").n
    tried, refused = found.total("attempts.made").n, found.total("attempts.refused").n
    kpi = blank(
        "isolation_verified",
        "Isolation verified",
        "Audits in which every attempt of one team on another was refused and no wall was missing, of all audits. An audit that could not "
        "be carried out shows nothing, and counts as one that did not hold.",
        Goal(above=True, value=1 - 1e-12, words="all of them"),
        numerator=Amount(words=f"audits that held ({refused} of {tried} attempts were refused)", value=good, unit="audits"),
        denominator=Amount(words="audits", value=whole, unit="audits"),
        parts=[part(name, held.get(name, Sum()).n, each.n) for name, each in sorted(made.items())][:PARTS_MAX],
        exclusions=left_out(("events whose number cannot be read", found.unreadable("isolation.audited"))),
    )
    return finished(kpi, share(good, whole), enough=whole > 0, few="The walls were not audited in this window.")
