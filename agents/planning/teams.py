"""Whose request it is: the team that is named, else the asker's own, else the one that what is named belongs to."""

from pydantic import BaseModel, JsonValue

from agents.planning.fill import corrected, not_denied
from agents.planning.interface import Facts
from agents.planning.mentions import Mention, Understood
from agents.planning.playbook import Playbook


class TeamChoice(BaseModel):
    """The team, or why there is none yet."""

    name: str | None = None
    rivals: list[str] = []


def _meant(understood: Understood, mentions: list[Mention]) -> list[str]:
    """Teams that are named and not denied."""
    kept = not_denied(understood, mentions)
    names = [str(sense.value) for m in kept for sense in m.senses if sense.kind == "team"]
    if len(set(names)) > 1 and corrected(understood, kept):
        return names[-1:]
    return list(dict.fromkeys(names))


def _owners(understood: Understood) -> set[str]:
    """Teams that own what is named."""
    return {s.team for m in understood.mentions if not m.sense("dataset") for s in m.senses if s.team and s.kind != "team"}


def _with_models_on(understood: Understood, facts: Facts) -> set[str]:
    datasets = {s.value for m in understood.of_kind("dataset") for s in m.senses if s.kind == "dataset"}
    return {t.name for t in facts.teams if any(m.dataset in datasets for m in t.models)}


def _with_things(playbook: Playbook, facts: Facts) -> set[str]:
    """Teams that have any of what the playbook must name."""
    needed = {spec.type for spec in playbook.slots.values() if spec.required and spec.existing}
    have = {"lease": lambda t: t.leases, "job": lambda t: t.jobs, "endpoint": lambda t: t.endpoints, "model": lambda t: t.models}
    kinds = [kind for kind in have if kind in needed]
    return {t.name for t in facts.teams if kinds and all(have[kind](t) for kind in kinds)}


def _is_at_home(owners: set[str], home: str | None) -> bool:
    """Whether the asker's own team is meant: always, unless what is named belongs to one other team alone."""
    return home is not None and (len(owners) != 1 or home in owners)


def _signs(playbook: Playbook, understood: Understood, facts: Facts, recent: list[Understood]) -> list[set[str]]:
    """Teams that each sign points to, surest sign first; an effect takes no hint from what was talked of before."""
    owners, every = _owners(understood), {t.name for t in facts.teams}
    if not playbook.effectful:
        talked_of = {name for past in recent for name in _meant(past, past.of_kind("team"))}
        return [owners, _with_models_on(understood, facts), talked_of, every]
    if any(spec.required and spec.existing and spec.type != "dataset" for spec in playbook.slots.values()):
        return [owners, _with_things(playbook, facts), every]
    return [owners, every]


def choose_team(
    playbook: Playbook, understood: Understood, facts: Facts, carried: dict[str, JsonValue], recent: list[Understood]
) -> TeamChoice:
    """Find the team, surest sign first. Only teams that the asker may see are ever chosen."""
    named = _meant(understood, understood.of_kind("team"))
    if named:
        return TeamChoice(name=named[0]) if len(named) == 1 else TeamChoice(rivals=named)
    if isinstance(carried.get("team"), str):
        return TeamChoice(name=str(carried["team"]))
    if _is_at_home(_owners(understood), facts.home_team):
        return TeamChoice(name=facts.home_team)
    signs = _signs(playbook, understood, facts, recent)
    return TeamChoice(name=next((next(iter(sign)) for sign in signs if len(sign) == 1), None))
