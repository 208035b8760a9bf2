"""How a simulated job goes, from its submission to its end: drawn from the pool's seed, and cut off by failures of its machines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor, inf

from factory_infra.foundation.twin.draws import spread, stream

CHECKPOINT_SECONDS = 1800.0
"""So often a simulated program writes a checkpoint."""
RESTART_SECONDS = 60.0
ATTEMPTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a job matters to its course."""

    name: str
    """Its tenant and id, and how often somebody asked for it again: what its chance is drawn from."""
    at: float
    nodes: int
    slots: Sequence[int]
    lease: str
    seconds_max: float | None
    service: bool
    median: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of it, and where."""

    begin: float
    nodes: list[str]
    lost: str = ""
    """What took its place from it, in words."""
    end: float = inf


@dataclass
class Course:
    """All of it, as far as failures are known by now."""

    seconds: float
    attempts: list[Attempt] = field(default_factory=list)
    end: float = inf
    out_of_time: bool = False
    stuck: str = ""
    """Why it has no machine."""

    def done(self, now: float) -> float:
        """Which share of its work it has done by then, checkpoints counted for what was cut off."""
        kept = 0.0
        for attempt in self.attempts:
            worked = max(0.0, min(attempt.end, now) - attempt.begin)
            kept += floor(worked / CHECKPOINT_SECONDS) * CHECKPOINT_SECONDS if attempt.lost and attempt.end <= now else worked
        return min(1.0, kept / self.seconds) if self.seconds > 0 else 1.0


Choose = Callable[[str, int, float], "list[str] | str"]
"""From a name, a count and a time: the machines, or in words why there are none."""
NextFailure = Callable[[str, float], "tuple[float, str] | None"]
"""The next failure of a machine after a time that is known by now: when, and in words what."""


def course(asked: Asked, choose: Choose, next_failure: NextFailure) -> Course:
    """Follow a job."""
    drawn = inf if asked.service else spread(stream(0, "job", asked.name), asked.median, asked.sigma)
    made = Course(seconds=drawn)
    now, left = asked.at, drawn
    limit = asked.at + asked.seconds_max if asked.seconds_max is not None and not asked.service else inf
    while len(made.attempts) < ATTEMPTS_MAX:
        nodes = choose(f"{asked.name}/{len(made.attempts)}", asked.nodes, now)
        if isinstance(nodes, str):
            made.stuck = nodes
            return made
        found = [failure for node in nodes if (failure := next_failure(node, now)) is not None]
        at, words = min(found, default=(inf, ""))
        end = min(now + left, limit)
        if end <= at:
            made.attempts.append(Attempt(now, nodes, end=end))
            made.end, made.out_of_time = end, end < now + left
            return made
        made.attempts.append(Attempt(now, nodes, words, at))
        left -= floor((at - now) / CHECKPOINT_SECONDS) * CHECKPOINT_SECONDS
        now = at + RESTART_SECONDS
    return made
