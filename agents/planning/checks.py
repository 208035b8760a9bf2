"""What live state says of a filled playbook before any step is made: refused with a code, or noted on the card."""

from collections.abc import Callable

from agents.planning.algorithms import ALGORITHMS
from agents.planning.fill import Filled
from agents.planning.interface import EndpointFact, Facts, ModelFact, PoolFact, Refusal, TeamFact
from agents.planning.mentions import Understood
from agents.planning.playbook import Playbook

_HOUR = 3600
LEASE_SECONDS_MAX = 7 * 24 * _HOUR


class Context:
    """One filled playbook beside the state it is checked against."""

    def __init__(self, playbook: Playbook, filled: Filled, facts: Facts, understood: Understood) -> None:
        self.playbook, self.filled, self.facts, self.understood = playbook, filled, facts, understood
        self.team: TeamFact | None = next((t for t in facts.teams if t.name == filled.team), None)

    def value(self, slot_type: str) -> object:
        """The value of the slot of a type."""
        return next((self.filled.values.get(n) for n, s in self.playbook.slots.items() if s.type == slot_type), None)

    def versions(self) -> list[ModelFact]:
        """The registered versions of the model that is meant."""
        return [m for m in (self.team.models if self.team else []) if m.model_name == self.value("model")]

    def pool(self) -> PoolFact:
        """The pool that is meant: the first one where none is named."""
        facts, name = self.facts, self.value("pool")
        first = PoolFact(name="", slot_kind=facts.slot_kind, slots_total=facts.slots_total, slots_free=facts.slots_free)
        return next((pool for pool in facts.pools if pool.name == name), first)

    def live(self) -> EndpointFact | None:
        """The endpoint that is meant, if it is live."""
        endpoints = self.team.endpoints if self.team else []
        return next((e for e in endpoints if e.name == self.filled.values.get("endpoint")), None)


def _refusal(code: str, reason: str, remedy: str) -> Refusal:
    return Refusal(code=code, reason=reason, remedy=remedy)


_NAMED = ("team", "dataset", "model", "endpoint", "job", "lease", "pool", "algorithm")


def _unknown(context: Context) -> Refusal | None:
    kind = next((kind for kind in _NAMED if kind in context.filled.unknown), None)
    if kind is None:
        return None
    listed = ", ".join(_usable(context).get(kind, [])) or "none"
    return _refusal(
        f"{kind}_unknown",
        f"There is no {kind} '{context.filled.unknown[kind]}' that you may use.",
        f"The {kind}s that you may use: {listed}.",
    )


def _usable(context: Context) -> dict[str, list[str]]:
    """What may be named of each kind."""
    return {
        "team": [t.name for t in context.facts.teams],
        "dataset": [d.name for d in context.facts.datasets],
        "algorithm": list(ALGORITHMS.offered),
        "pool": [pool.name for pool in context.facts.pools],
        **(_held(context.team) if context.team else {}),
    }


def _held(team: TeamFact) -> dict[str, list[str]]:
    return {
        "model": sorted({m.model_name for m in team.models}),
        "endpoint": [e.name for e in team.endpoints],
        "job": [j.id for j in team.jobs],
        "lease": [lease.id for lease in team.leases],
    }


def _slots(context: Context) -> Refusal | None:
    wanted, pool = context.value("count"), context.pool()
    if not isinstance(wanted, int | float):
        return None
    kind = "GPU(s)" if pool.slot_kind == "gpu" else "CPU core(s)"
    if wanted <= 0 or wanted != int(wanted):
        return _refusal("slots_invalid", f"{wanted:g} slots cannot be leased.", f"Ask for a whole number from 1 to {pool.slots_total}.")
    if wanted > pool.slots_total:
        where = f"in {pool.name}" if pool.name else "here"
        there = f"There are {pool.slots_total} slot(s) {where}, each a {kind[:-3]}; {pool.slots_free} free now."
        remedy = f"{there} Ask for {pool.slots_total} or fewer."
        return _refusal("capacity_exceeded", f"{wanted:g} slots were asked for; the whole pool has {pool.slots_total}.", remedy)
    return _quota(context, int(wanted))


def _quota(context: Context, wanted: int) -> Refusal | None:
    team = context.team
    if team is None or wanted <= team.quota_slots - team.quota_slots_used:
        return None
    reason = (
        f"Team {team.name} may hold {team.quota_slots} slot(s) and holds {team.quota_slots_used}; {wanted} more would exceed its quota."
    )
    left = team.quota_slots - team.quota_slots_used
    remedy = (
        f"Ask for {left} or fewer, or release a lease first."
        if left > 0
        else "Release a lease first, or ask an administrator for more quota."
    )
    return _refusal("quota_exceeded", reason, remedy)


def _threshold(context: Context) -> Refusal | None:
    share = context.value("threshold")
    if not isinstance(share, int | float) or 0 <= share <= 1:
        return None
    reason = (
        f"An accuracy of {share * 100:.10g} % can never be reached." if share > 1 else f"An accuracy of {share * 100:.10g} % says nothing."
    )
    return _refusal("threshold_unsatisfiable", reason, "Give a share between 0 % and 100 %, for example 95 %.")


def _duration(context: Context) -> Refusal | None:
    seconds = context.value("duration")
    if not isinstance(seconds, int | float) or 1 <= seconds <= LEASE_SECONDS_MAX:
        return None
    return _refusal("duration_invalid", f"A lease cannot last {seconds:g} s.", "Ask for a time between one second and seven days.")


def _version(context: Context) -> Refusal | None:
    if "model_name" not in context.playbook.slots or "version" not in context.playbook.slots or not context.playbook.effectful:
        return None
    version, known = context.filled.values.get("version"), context.versions()
    name = context.value("model")
    if not known:
        return _refusal(
            "model_unknown",
            f"Team {context.filled.team} has no registered version of {name or 'such a model'}.",
            "Train it first, or name another model.",
        )
    if version not in {m.version for m in known}:
        listed = ", ".join(str(m.version) for m in sorted(known, key=lambda m: m.version))
        return _refusal("version_unknown", f"{name} has no version {version}.", f"Its versions: {listed}.")
    live = context.live()
    if live and (live.model_name, live.version) == (name, version):
        return _refusal(
            "already_live", f"{name} version {version} is live as {live.name} already.", "Name another version, or train a new one."
        )
    return None


def _rollback(context: Context) -> Refusal | None:
    if "previous_version" not in context.playbook.slots:
        return None
    live = context.live()
    if live is None:
        return None
    if live.previous_version is None:
        return _refusal(
            "nothing_to_roll_back",
            f"{live.name} has served only version {live.version}: there is nothing to go back to.",
            "Retire it, or deploy another version.",
        )
    asked = context.filled.values.get("previous_version")
    if asked != live.previous_version:
        reason = f"{live.name} would go back to version {live.previous_version}, not to {asked}."
        return _refusal("version_not_previous", reason, f"Ask to deploy version {asked} of {live.model_name} as {live.name}.")
    return None


CHECKS: tuple[Callable[[Context], Refusal | None], ...] = (_unknown, _slots, _threshold, _duration, _version, _rollback)


def check(context: Context) -> Refusal | None:
    """The first reason against it, if any."""
    return next((refusal for test in CHECKS if (refusal := test(context))), None)


def unknown_team(context: Context) -> Refusal | None:
    """Only whether a name is unknown: asked before anything else is."""
    return _unknown(context)


def _slot_notes(context: Context, wanted: float) -> list[str]:
    """Where slots are of another kind than was said, or too few of them are free."""
    pool, said, found = context.pool(), context.understood.slot_word, []
    where = f"in {pool.name}" if pool.name else "here"
    if said == "gpu" and pool.slot_kind == "cpu":
        found.append(f"There is no GPU {where}: {wanted:g} CPU core(s) would be used instead.")
    if said == "core" and pool.slot_kind == "gpu":
        found.append(f"A slot {where} is a GPU: {wanted:g} GPU(s) would be used.")
    if pool.slots_free < wanted <= pool.slots_total:
        found.append(f"Only {pool.slots_free} slot(s) are free now: the lease may have to wait or be refused.")
    return found


def notes(context: Context) -> list[str]:
    """Limits met that do not stop the plan, each a sentence for the card."""
    wanted = context.value("count")
    found = _slot_notes(context, wanted) if isinstance(wanted, int | float) else []
    if "threshold" in context.playbook.slots and context.filled.values.get("threshold") is None:
        found.append("No accuracy was asked for, so nothing holds the version back from going live.")
    return found
