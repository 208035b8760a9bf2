"""Metrics of what teams do with it: models that go live, plans that are carried out, teams that take part."""

from factory_infra.paas.kpis.facts import Measured
from factory_infra.paas.kpis.metrics.shaping import PARTS_MAX, blank, finished, left_out, rank, share
from factory_infra.paas.kpis.models import Amount, Goal, Kpi, Part

PLANS_MIN, DEPLOYMENTS_MIN, TEAMS_MIN, CYCLES_MIN = 10, 20, 3, 5
CARRIED_OUT = ("done", "gated", "failed", "escalated", "undone")


def model_cycle(found: Measured) -> Kpi:
    """How long a model takes from its training to its first answer."""
    counts, lost = found.values.get("model.cycle", {}), found.unreadable("model.live")
    whole, middle, late = sum(counts.values()), rank(counts, 0.5), rank(counts, 0.9)
    limit = 14 * 24 * 60
    kpi = blank(
        "model_cycle",
        "Model cycle time",
        "From the start of the run that trained a version until it first answered all requests of an endpoint: the median by nearest rank, "
        "of versions that went live in the window.",
        Goal(above=False, value=336, words="< 2 weeks"),
        unit="hours",
        numerator=Amount(words="within two weeks", value=sum(n for value, n in counts.items() if value < limit), unit="versions"),
        denominator=Amount(words="that went live for the first time", value=whole, unit="versions"),
        exclusions=left_out(("versions whose run is not known, such as weights that came with the installation", lost)),
    )
    shown = finished(
        kpi, None if middle is None else middle / 60, enough=whole >= CYCLES_MIN, few=f"Only {whole} versions: {CYCLES_MIN} are needed."
    )
    if shown.value is None or late is None:
        return shown
    return shown.model_copy(update={"parts": [Part(name="nine of ten within, h", value=late / 60, numerator=0, denominator=whole)]})


def self_service(found: Measured) -> Kpi:
    """How many plans teams carried out without the platform's people."""
    counts: dict[tuple[str, str], int] = {}
    for dim, each in found.of("plans.closed").items():
        state, _, hands = dim.partition("/")
        counts[state, hands] = counts.get((state, hands), 0) + each.n
    carried = {key: n for key, n in counts.items() if key[0] in CARRIED_OUT}
    whole = sum(carried.values())
    good = sum(n for (state, hands), n in carried.items() if state == "done" and hands in {"policy", "team"})
    by = {hands: sum(n for (_, whose), n in carried.items() if whose == hands) for hands in ("policy", "team", "platform")}
    ends = ("refused", "expired", "cancelled")
    kpi = blank(
        "self_service",
        "Self-service",
        "Plans of teams that were done and that no administrator asked for or approved, of all plans of teams that were carried out.",
        Goal(above=True, value=0.6, words="> 60 %"),
        numerator=Amount(words="done by policy's or the team's own approval", value=good, unit="plans"),
        denominator=Amount(words="carried out: done, gated, failed, undone, or left to a person", value=whole, unit="plans"),
        parts=[Part(name=f"approved by {hands}", value=None, numerator=n, denominator=whole) for hands, n in by.items() if n],
        exclusions=left_out(*((f"plans that were {end}", sum(n for (state, _), n in counts.items() if state == end)) for end in ends)),
    )
    return finished(kpi, share(good, whole), enough=whole >= PLANS_MIN, few=f"Only {whole} plans were carried out: {PLANS_MIN} are needed.")


def deployment_success(found: Measured) -> Kpi:
    """How many deployments went live and stayed."""
    live, failed, back = (found.total(f"deploy.{name}").n for name in ("live", "failed", "back"))
    whole = live + failed
    kpi = blank(
        "deployment_success",
        "Deployment success",
        "Versions that went live and were not rolled back within 24 h, of those that went live or failed in their roll-out. Each is judged "
        "when its 24 h are over, so the window lies 24 h earlier for it.",
        Goal(above=True, value=0.95, words="> 95 %"),
        numerator=Amount(words="live, and not rolled back in 24 h", value=live - back, unit="deployments"),
        denominator=Amount(words="went live, or failed in the roll-out", value=whole, unit="deployments"),
        parts=[Part(name=name, value=None, numerator=n, denominator=whole) for name, n in (("rolled back", back), ("failed", failed)) if n],
        exclusions=left_out(("roll-outs that a person ended, or another action overtook", found.total("deploy.aborted").n)),
    )
    few = f"Only {whole} deployments: {DEPLOYMENTS_MIN} are needed."
    return finished(kpi, share(live - back, whole), enough=whole >= DEPLOYMENTS_MIN, few=few)


def use_across_teams(found: Measured) -> Kpi:
    """How many teams use the platform."""
    there = {name for name, each in found.of("team.there").items() if each.level > 0}
    used = {name for name, each in found.of("team.used").items() if each.n > 0}
    idle = sorted(there - used)
    kpi = blank(
        "use_across_teams",
        "Use across teams",
        "Teams that held a lease, ran a job, had a plan carried out or refused, put a version live or called a model in the window, of the "
        "teams that there are at its end. The platform's own and those of audits are no teams.",
        Goal(above=True, value=0.7, words="> 70 %"),
        numerator=Amount(words="teams that used it", value=len(there & used), unit="teams"),
        denominator=Amount(words="teams", value=len(there), unit="teams"),
        parts=[Part(name=name, value=0.0, numerator=0, denominator=1, note="did not use it") for name in idle[:PARTS_MAX]],
        exclusions=left_out(("teams that used it and are closed, or whose making the log does not know", len(used - there))),
    )
    few = f"Only {len(there)} teams: {TEAMS_MIN} are needed."
    return finished(kpi, share(len(there & used), len(there)), enough=len(there) >= TEAMS_MIN, few=few)
