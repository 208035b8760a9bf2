"""How quickly objectives burn their budget of errors: pure. Two windows each, so that an alert comes soon and ends soon.

The windows and factors are those of the Site Reliability Workbook (Google, 2018), chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": a page
where 2 % of a 30 days' budget went in an hour, or 5 % in six hours; a ticket where 10 % went in three days.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from factory_infra.paas.kpis.facts import Measured, Sum
from factory_infra.paas.kpis.models import Burn


class Pace(NamedTuple):
    """One pair of windows."""

    severity: Literal["page", "ticket"]
    long_seconds: int
    short_seconds: int
    factor: float


PACES = (Pace("page", 3600, 300, 14.4), Pace("page", 21_600, 1800, 6.0), Pace("ticket", 259_200, 21_600, 1.0))
WINDOWS = tuple(sorted({seconds for pace in PACES for seconds in (pace.long_seconds, pace.short_seconds)}))
FEW = 10
"""With fewer events in the long window nothing can be said. One probe is no event by itself: there are six a minute."""
PROBES_HOURLY = 360
"""How often each surface is asked."""


class Score(NamedTuple):
    """What went well and badly within one window."""

    good: int
    bad: int

    def burn(self, budget: float, least: int, due: float = 0.0) -> float | None:
        """The share of errors over the share that is allowed.

        Args:
            budget: the share that is allowed.
            least: with fewer events there is no answer.
            due: how many events the window would have, watched from end to end. While a log is young, the one probe that failed of its
                first dozen uses no more of the window's budget than it would later.
        """
        whole = self.good + self.bad
        return self.bad / max(whole, due) / budget if whole >= least else None


class Objective(NamedTuple):
    """What share of something may go badly."""

    name: str
    budget: float
    least: int = FEW
    hourly: int = 0
    """How many events an hour has, where that is fixed."""

    def burn(self, score: Score, seconds: int, least: int) -> float | None:
        """How many times too quickly its budget went within a window of so many seconds."""
        return score.burn(self.budget, least, self.hourly * seconds / 3600)


SERIES = frozenset(
    {
        *("surface.ok", "surface.failed", "provision.lease", "provision.cluster"),
        *("deploys.good", "deploys.bad", "audits.made", "audits.held"),
    }
)
SURFACE, SLOTS, MACHINES, DEPLOYMENTS, WALLS = "availability/", "provisioning_slots", "provisioning_machines", "deployments", "isolation"
SLOT_SECONDS, MACHINE_SECONDS = 300, 900


def scores(found: Measured) -> dict[Objective, Score]:
    """How each objective did in one window."""
    told = {Objective(f"{SURFACE}{name}", 0.001, hourly=PROBES_HOURLY): score_of(found, name) for name in surfaces(found)}
    told[Objective(SLOTS, 0.05)] = within(found, "provision.lease", SLOT_SECONDS)
    told[Objective(MACHINES, 0.05)] = within(found, "provision.cluster", MACHINE_SECONDS)
    told[Objective(DEPLOYMENTS, 0.05)] = Score(found.total("deploys.good").n, found.total("deploys.bad").n)
    made, held = found.total("audits.made").n, found.total("audits.held").n
    told[Objective(WALLS, 0.001, 1)] = Score(held, made - held)
    return told


def surfaces(found: Measured) -> list[str]:
    """The surfaces that were probed."""
    return sorted({*found.of("surface.ok"), *found.of("surface.failed")})


def score_of(found: Measured, surface: str) -> Score:
    """Probes of a surface."""
    return Score(*(found.sums.get((f"surface.{name}", surface), Sum()).n for name in ("ok", "failed")))


def within(found: Measured, series: str, seconds: int) -> Score:
    """How many came within a time."""
    counts = found.values.get(series, {})
    good = sum(n for value, n in counts.items() if value < seconds)
    return Score(good, sum(counts.values()) - good)


def burns(found: Mapping[int, Measured]) -> Iterator[Burn]:
    """Every objective at every pace.

    Args:
        found: what was measured of the windows that end now, by their seconds.
    """
    told = {seconds: scores(each) for seconds, each in found.items()}
    for objective in sorted({each for one in told.values() for each in one}):
        for pace in PACES:
            nothing = Score(0, 0)
            long = objective.burn(told[pace.long_seconds].get(objective, nothing), pace.long_seconds, objective.least)
            short = objective.burn(told[pace.short_seconds].get(objective, nothing), pace.short_seconds, 1)
            yield Burn(
                objective=objective.name,
                severity=pace.severity,
                long_seconds=pace.long_seconds,
                short_seconds=pace.short_seconds,
                factor=pace.factor,
                long=long,
                short=short,
                burning=long is not None and short is not None and min(long, short) > pace.factor,
            )
