"""The scheduler: who waits, who runs, and pass by pass, who starts and who gives way. Deterministic, without input or output."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.iaas.scheduling import backfill
from factory_infra.iaas.scheduling.fleet import Fleet, check_shape
from factory_infra.iaas.scheduling.models import Decision, Running, Wait, Workload
from factory_infra.iaas.scheduling.passes import Pass
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.reasons import diagnose
from factory_infra.iaas.scheduling.state import Held, opened
from factory_infra.iaas.scheduling.waking import Waking

Waits = Literal["none", "examined", "all"] | Collection[str]
"""For which of those that wait a decision says why: none, those that were looked at, all, or these."""


class Scheduler:
    """Decides over pools and queues. It believes its own decisions: what it starts, runs; what it displaces, waits again.

    Who calls it carries them out, tells it what ended, and hands back with `put_back` what could not be started. The same calls in the same
    order give the same decisions. The fleets are its own: only `set_fit`, `add` and `remove` may be called on them from outside.
    """

    def __init__(
        self,
        policy: SchedulingPolicy,
        quotas: QuotaTree | None,
        fleets: Mapping[str, Fleet],
        placement: Mapping[str, Placement] | Placement | None = None,
    ) -> None:
        """Build a scheduler for which nothing waits or runs yet.

        Args:
            policy: how to decide.
            quotas: the tree of quotas; None for none.
            fleets: the machines of every pool, by its name; the first is tried first.
            placement: how to place, for all pools or by pool; the policy's where it is left out.

        Raises:
            InvalidInput: no pool is given, or a placement is not known.
        """
        self.state = opened(policy, quotas, fleets, placement)
        self.waking = Waking()

    @property
    def now(self) -> float:
        """The time of the last decision."""
        return self.state.now

    @property
    def policy(self) -> SchedulingPolicy:
        """How it decides."""
        return self.state.policy

    @property
    def fleets(self) -> Mapping[str, Fleet]:
        """The machines of every pool."""
        return MappingProxyType(self.state.fleets)

    @property
    def pending(self) -> Mapping[str, Workload]:
        """What waits, by its id, in the order of submission."""
        return {name: entry.workload for name, entry in self.state.entries.items()}

    @property
    def running(self) -> Mapping[str, Running]:
        """What runs, by its id, in the order in which it started."""
        return {name: held.running for name, held in self.state.held.items()}

    def submit(self, workload: Workload, progress_seconds: float = 0.0) -> None:
        """Let a workload wait. One that can never run is taken too: the reason of its waiting says so.

        Args:
            workload: what is asked for.
            progress_seconds: work of earlier attempts that its checkpoints kept.

        Raises:
            Conflict: one of this id waits or runs.
            InvalidInput: it contradicts itself.
        """
        self._unknown(workload.id)
        check_workload(workload)
        entry = self.state.entry(workload, progress_seconds)
        self.state.wait(entry)
        self.waking.submitted(self.state, entry)
        if not self.state.hypothetical:
            for placement in dict.fromkeys(self.state.placements.values()):
                placement.observe(workload.shape)

    def remove(self, name: str) -> None:
        """Take a workload away, whether it waits or runs.

        Raises:
            NotFound: there is none of this id.
        """
        if name in self.state.held:
            self._end(name)
        elif name in self.state.entries:
            self.waking.removed(self.state, self.state.forget(name))
            self.state.foretold.pop(name, None)
        else:
            raise _unknown_workload(name)

    def finish(self, name: str, at: float, *, completed: bool = True) -> None:
        """A workload has ended, and its seats are free. `completed` false where it was cut short: its run time teaches nothing then.

        Raises:
            NotFound: none of this id runs.
            InvalidInput: it would have ended before it started.
        """
        held = self._held(name)
        if at < held.running.started_at:
            reason = f"'{name}' cannot end at {at:g}: it started at {held.running.started_at:g}."
            raise InvalidInput(reason, remedy="Give times of one clock.", code="clock_backwards")
        if completed and not self.state.hypothetical:
            self.state.errors.add(at - held.running.started_at, held.running.ends_at - held.running.started_at)
        self._end(name)

    def put_back(self, name: str) -> None:
        """A start could not be carried out: the workload waits again, where it stood.

        Raises:
            NotFound: none of this id runs.
        """
        self._held(name)
        self._wait_again(self._end(name))

    def adopt(self, running: Running) -> None:
        """Enter what runs already, such as when a live installation is read: its seats and its quota are taken, and it counts as history.

        Raises:
            Conflict: one of this id waits or runs.
            CapacityExceeded: its seats are not free.
            NotFound: there is no pool or node as it names.
        """
        state, workload = self.state, running.workload
        self._unknown(workload.id)
        if running.pool not in state.fleets:
            raise NotFound(f"There is no pool '{running.pool}'.", remedy=f"Pools: {', '.join(state.fleets)}.", code="pool_unknown")
        state.now = max(state.now, running.started_at)
        entry = state.entry(workload, running.progress_seconds)
        need = state.need_of(entry, running.pool, running.seats)
        state.shares.remember(entry.node, need, (running.started_at, state.now), state.now)
        state.hold(Held(running, entry, need, running.started_at, running.progress_seconds))
        for kept in state.reservations:
            kept.stale = True
        self.waking.anew(state)

    def remember(self, workload: Workload, began: float, ended: float) -> None:
        """Count what ran in the past to its queue's history, for the fair share. Nothing is taken."""
        entry_need = self.state.quotas.need(workload.shape, workload.members)
        self.state.now = max(self.state.now, ended)
        self.state.shares.remember(self.state.quotas.node(workload.queue), entry_need, (began, ended), self.state.now)

    def decide(self, now: float, waits: Waits = "none") -> Decision:
        """Make one pass: who starts now and who gives way, to be carried out in the order preemptions, shrunk, starts, grown.

        Args:
            now: seconds on the caller's clock, never less than before.
            waits: for which of those that still wait the reason is told.

        Raises:
            InvalidInput: `clock_backwards`.
        """
        state = self.state
        if not now >= state.now:
            reason = f"The clock went backwards, from {state.now:g} to {now:g}."
            raise InvalidInput(reason, remedy="Give times of one clock that does not go back.", code="clock_backwards")
        state.now = now
        self.waking.due(state)
        made = Pass(state, self.waking)
        made.run()
        return Decision(
            now,
            preemptions=tuple(made.preemptions),
            starts=tuple(made.starts.values()),
            waits=self._waits(waits, made.examined),
            shrunk=tuple(made.shrunk.items()),
            grown=tuple(made.grown.items()),
        )

    @property
    def reserved(self) -> tuple[str, ...]:
        """For whom capacity is kept free, the first first."""
        return tuple(kept.workload for kept in self.state.reservations)

    def reserve(self, name: str, now: float) -> bool:
        """Keep capacity free for one that waits, as an earlier pass of another scheduler did; returns whether there will ever be any.

        Raises:
            NotFound: none of this id waits.
        """
        entry = self.state.entries.get(name)
        if entry is None:
            raise _unknown_workload(name)
        self.state.now = max(self.state.now, now)
        return name in self.reserved or backfill.keep(self.state, entry, firm=False)

    def foretold(self, name: str, starts_at: float) -> None:
        """A start was foretold now to somebody: when it comes, the error teaches how wide intervals must be. The first one counts.

        Raises:
            NotFound: none of this id waits.
        """
        if name not in self.state.entries:
            raise _unknown_workload(name)
        self.state.foretold.setdefault(name, (self.state.now, starts_at))

    def learn(self, *, runs: Iterable[tuple[float, float]] = (), waits: Iterable[tuple[float, float]] = ()) -> None:
        """Learn from what is past, such as when a live installation is read: pairs of actual and expected seconds, of runs and waits."""
        for actual, expected in runs:
            self.state.errors.add(actual, expected)
        for actual, expected in waits:
            self.state.waits.add(actual, expected)

    def why(self, name: str) -> Wait:
        """Why a workload waits, as things stand at the time of the last decision; without when it starts.

        Raises:
            NotFound: none of this id waits.
        """
        entry = self.state.entries.get(name)
        if entry is None:
            raise _unknown_workload(name)
        return diagnose(self.state, entry)

    def copy(self) -> "Scheduler":
        """Return one in the same state that goes its own way from here: for looking ahead."""
        made = Scheduler.__new__(Scheduler)
        made.state, made.waking = self.state.copy(), self.waking.copy()
        return made

    def _waits(self, wanted: Waits, examined: Collection[str]) -> tuple[Wait, ...]:
        if wanted == "none":
            return ()
        names: Collection[str] = examined if wanted == "examined" else self.state.entries if wanted == "all" else wanted
        return tuple(diagnose(self.state, self.state.entries[name]) for name in names if name in self.state.entries)

    def _unknown(self, name: str) -> None:
        if name in self.state.entries or name in self.state.held:
            raise Conflict(f"'{name}' waits or runs already.", remedy="Give every workload an id of its own.", code="workload_taken")

    def _held(self, name: str) -> Held:
        found = self.state.held.get(name)
        if found is None:
            raise _unknown_workload(name)
        return found

    def _end(self, name: str) -> Held:
        held = self.state.release(name)
        self.waking.freed(self.state, held.entry.node)
        return held

    def _wait_again(self, held: Held) -> None:
        self.state.wait(held.entry)
        self.waking.submitted(self.state, held.entry)


def check_workload(workload: Workload) -> None:
    """Refuse a workload that contradicts itself.

    Raises:
        InvalidInput: names what is wrong with it.
    """
    check_shape(workload.shape)
    wrong = {
        "members must be at least 1": workload.members < 1,
        "members_min must lie between 0 and members": not 0 <= workload.members_min <= workload.members,
        "seconds must be more than 0": not 0 < workload.seconds < float("inf"),
        "no time may be negative": min(workload.submitted_at, workload.seconds_max, workload.checkpoint_seconds, workload.not_before) < 0,
        "a queue is needed": not workload.queue,
    }
    found = [told for told, holds in wrong.items() if holds]
    if found:
        raise InvalidInput(f"Workload '{workload.id}': {'; '.join(found)}.", remedy="Correct what is named.", code="workload_invalid")


def _unknown_workload(name: str) -> NotFound:
    return NotFound(f"No workload '{name}' is known here.", remedy="It may have ended.", code="workload_unknown")
