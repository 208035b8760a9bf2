"""When a job with a deadline runs on spot, on demand or waits: never late, and as cheap as what is known allows.

The setting is that of "Can't Be Late: Optimizing Spot Instance Savings under Deadlines" (NSDI 2024): a job of known length makes
progress on a spot machine while one is to be had, or on demand at any time; each start on another machine costs a changeover, in
which the machine is paid for and nothing is done; work that was done is kept. Times are seconds since the job was submitted.
"""

from dataclasses import dataclass
from typing import Protocol

from factory_infra.errors import InvalidInput

WAIT = -2
ON_DEMAND = -1
EPSILON_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class SpotJob:
    """A job that may be moved between machines."""

    work_seconds: float
    deadline_seconds: float
    changeover_seconds: float
    """What each start costs: a new machine, its software, the last checkpoint."""

    def check(self) -> None:
        """Raise InvalidInput for a job that cannot be, or that would be late even on demand from the first second on."""
        if self.work_seconds <= 0 or self.changeover_seconds < 0:
            raise InvalidInput(
                f"A job of {self.work_seconds:g} s with a changeover of {self.changeover_seconds:g} s cannot be.",
                remedy="Its work is above 0 s and its changeover 0 s or more.",
            )
        if self.deadline_seconds < self.work_seconds + self.changeover_seconds:
            raise InvalidInput(
                f"{self.work_seconds:g} s of work cannot be done by a deadline in {self.deadline_seconds:g} s, not even on demand.",
                remedy=f"Set the deadline at {self.work_seconds + self.changeover_seconds:g} s or later.",
                code="deadline_impossible",
            )


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at a tick, before it is decided where the job is until the next."""

    now: float
    work_left: float
    place: int
    """Where it ran until now: a zone's number, ON_DEMAND, or WAIT when on no machine (or when its spot machine was just taken)."""
    changeover_left: float
    """Of the machine it is on: how long it still does nothing there."""
    up: tuple[bool, ...]
    """For each zone, whether a spot machine is to be had until the next tick."""


class Switching(Protocol):
    """Decides at each tick. May remember what it saw: one instance a job."""

    def choose(self, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
        """WAIT, ON_DEMAND or the number of a zone that is up. What would risk the deadline is overruled by `guarded`."""
        ...


def left_after(job: SpotJob, seen: Situation, choice: int, tick_seconds: float) -> tuple[float, float]:
    """Work and changeover that are left after a tick on a choice."""
    if choice == WAIT:
        return seen.work_left, 0.0
    changeover = seen.changeover_left if choice == seen.place else job.changeover_seconds
    spent = min(changeover, tick_seconds)
    return max(seen.work_left - (tick_seconds - spent), 0.0), changeover - spent


def safe(job: SpotJob, seen: Situation, choice: int, tick_seconds: float) -> bool:
    """Whether the deadline can be kept whatever happens to spot after this tick: on demand must be able to do the rest."""
    work, changeover = left_after(job, seen, choice, tick_seconds)
    if work <= 0:
        return True
    to_do = work + (changeover if choice == ON_DEMAND else job.changeover_seconds)
    return seen.now + tick_seconds + to_do <= job.deadline_seconds + EPSILON_SECONDS


def guarded(policy: Switching, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
    """What a policy chooses, unless that would risk the deadline: then on demand. This is why no deadline is ever missed."""
    choice = policy.choose(job, seen, tick_seconds)
    if choice >= 0 and not seen.up[choice]:
        choice = WAIT
    return choice if choice == ON_DEMAND or safe(job, seen, choice, tick_seconds) else ON_DEMAND


def zone_of(seen: Situation) -> int:
    """The zone that is up: the one it is in, else the first; WAIT where none is."""
    if seen.place >= 0 and seen.up[seen.place]:
        return seen.place
    return next((zone for zone, up in enumerate(seen.up) if up), WAIT)


class OnDemandOnly:
    """The price to beat."""

    def choose(self, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
        """Always on demand."""
        return ON_DEMAND


class Greedy:
    """Spot whenever there is, else wait until it would be late: the published baseline."""

    def choose(self, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
        """Spot or wait; `guarded` makes it on demand at the last moment."""
        return zone_of(seen)


class UniformProgress:
    """The published policy: on demand only while behind a straight line from nothing at the start to all at the deadline.

    Once on demand it stays until there is spot and it is two changeovers ahead of the line, lest it moves to and fro.
    """

    def choose(self, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
        """Spot where there is, on demand while behind, else wait."""
        done, rate = job.work_seconds - seen.work_left, job.work_seconds / job.deadline_seconds
        zone = zone_of(seen)
        if seen.place == ON_DEMAND and (zone == WAIT or done < (seen.now + 2 * job.changeover_seconds) * rate):
            return ON_DEMAND
        if zone != WAIT:
            return zone
        return ON_DEMAND if done < seen.now * rate else WAIT
