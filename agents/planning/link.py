"""Which names of the factory a request holds: teams, datasets, models, endpoints, jobs, leases; found by hashing, thousands at a time."""

import difflib
import re
from collections import defaultdict
from itertools import pairwise

from agents.planning.interface import Facts, TeamFact
from agents.planning.languages import LANGUAGES, terms
from agents.planning.mentions import Mention, Sense, free_of
from agents.planning.pools import pools_in
from agents.planning.text import WORD, compile_terms, fold, has_cjk

_TOKEN = re.compile(rf"[{WORD}]+")
_JOINT = re.compile(r"[ \-_./:]")
_WIDTH_MAX = 8
_FUZZY_LENGTH_MIN = 5
_FUZZY_CUTOFF = 0.82
_PREFIX_MIN = 6

Index = dict[str, list[Sense]]


def key_of(name: str) -> str:
    """A name as it is looked up: folded, its parts joined by single spaces."""
    return " ".join(_TOKEN.findall(fold(name).replace("_", " ")))


def stem_of(key: str) -> str:
    """A dataset's word without its plural."""
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in key.split())


def _team_names(index: Index, team: TeamFact) -> None:
    index[key_of(team.name)].append(Sense(kind="team", value=team.name, team=team.name))
    for name in dict.fromkeys(model.model_name for model in team.models):
        index[key_of(name)].append(Sense(kind="model", value=name, team=team.name))
    for endpoint in team.endpoints:
        index[key_of(endpoint.name)].append(Sense(kind="endpoint", value=endpoint.name, team=team.name))
    for lease in team.leases:
        index[key_of(lease.id)].append(Sense(kind="lease", value=lease.id, team=team.name))
    for job in team.jobs:
        index[key_of(job.id)].append(Sense(kind="job", value=job.id, team=team.name))
        if job.name and key_of(job.name) != key_of(job.id):
            index[key_of(job.name)].append(Sense(kind="job", value=job.id, team=team.name))


def build_index(facts: Facts) -> tuple[Index, Index]:
    """Names by key, and datasets (with their aliases) by stem."""
    names: Index = defaultdict(list)
    for team in facts.teams:
        _team_names(names, team)
    datasets: Index = defaultdict(list)
    for dataset in facts.datasets:
        for word in (dataset.name, *dataset.aliases):
            sense = Sense(kind="dataset", value=dataset.name)
            if sense not in datasets[stem_of(key_of(word))]:
                datasets[stem_of(key_of(word))].append(sense)
    names.pop("", None)
    datasets.pop("", None)
    return names, datasets


def _tokens(text: str) -> list[tuple[int, int, str]]:
    """Words with their places; an underscore separates as a hyphen does."""
    return [(m.start(), m.end(), m.group()) for m in re.finditer(rf"[{WORD.replace('_', '')}]+", text)]


def _joined(text: str, left: tuple[int, int, str], right: tuple[int, int, str]) -> bool:
    between = text[left[1] : right[0]]
    return len(between) == 1 and _JOINT.match(between) is not None


def _tail_is_known(text: str, end: int, codes: tuple[str, ...]) -> bool:
    """Whether what is joined to a name by a hyphen is a plain noun ('digits-classifier'), not a part of another name."""
    tail = re.match(rf"[-_]([{WORD}]+)", text[end:])
    if tail is None:
        return True
    return any(terms(codes, section).fullmatch(tail[1]) for section in ("model", "dataset", "team")) or tail[1].startswith(
        ("end", "erkenn", "modell", "klassif")
    )


def _head_is_free(text: str, start: int) -> bool:
    return start == 0 or text[start - 1] not in "-_" or (start > 1 and not re.match(rf"[{WORD}]", text[start - 2]))


def _stands_alone(text: str, start: int, end: int, codes: tuple[str, ...]) -> bool:
    """Whether a name is not a part of a longer one."""
    return _head_is_free(text, start) and _tail_is_known(text, end, codes)


def _exact(text: str, names: Index, datasets: Index, codes: tuple[str, ...]) -> list[Mention]:
    tokens, found, index = _tokens(text), [], 0
    while index < len(tokens):
        for width in range(min(_WIDTH_MAX, len(tokens) - index), 0, -1):
            window = tokens[index : index + width]
            if not all(_joined(text, a, b) for a, b in pairwise(window)):
                continue
            key = " ".join(token[2] for token in window)
            senses = [*names.get(key, []), *datasets.get(stem_of(key), [])]
            start, end = window[0][0], window[-1][1]
            if not _verbatim(text[start:end]) and width > 1:
                senses = _loosely(senses, window, datasets)
            if senses and _stands_alone(text, start, end, codes):
                found.append(Mention(start=start, end=end, text=text[start:end], senses=tuple(senses)))
                index += width - 1
                break
        index += 1
    return found


def _verbatim(written: str) -> bool:
    """Whether a name of several parts is written as one word."""
    return " " not in written


def _loosely(senses: list[Sense], window: list[tuple[int, int, str]], datasets: Index) -> list[Sense]:
    """Parts that stand apart: never a job's or lease's name, and the dataset among them is meant just as well."""
    kept = [sense for sense in senses if sense.kind not in {"job", "lease"}]
    if any(sense.kind == "dataset" for sense in kept):
        return kept
    return kept + [sense for token in window for sense in datasets.get(stem_of(token[2]), [])] if kept else []


def _compounds(text: str, datasets: Index, codes: tuple[str, ...]) -> list[Mention]:
    """'irisclassificator': a dataset's word with the word for a classifier grown on to it."""
    nouns = [fold(term) for code in codes for term in LANGUAGES[code].model]
    found = []
    for start, end, word in _tokens(text):
        heads = (word.removesuffix(noun) for noun in nouns if word.endswith(noun) and len(word) > len(noun) + 2)
        senses = next((datasets[stem_of(head)] for head in heads if stem_of(head) in datasets), None)
        if senses:
            found.append(Mention(start=start, end=end, text=word, senses=tuple(senses)))
    return found


def _cjk_names(text: str, names: Index, datasets: Index) -> list[Mention]:
    found = []
    for key, senses in [*names.items(), *datasets.items()]:
        if has_cjk(key):
            found += [Mention(start=m.start(), end=m.end(), text=key, senses=tuple(senses)) for m in re.finditer(re.escape(key), text)]
    return found


def _translated(text: str, datasets: Index, codes: tuple[str, ...]) -> list[Mention]:
    """Datasets named by a common noun of another language."""
    found = []
    for language in (LANGUAGES[code] for code in codes):
        for english, words in language.nouns.items():
            senses = datasets.get(stem_of(english), [])
            if senses:
                found += [
                    Mention(start=m.start(), end=m.end(), text=m.group(), senses=tuple(senses)) for m in compile_terms(words).finditer(text)
                ]
    return sorted(found, key=lambda m: m.start - m.end)


def _fuzzy(text: str, datasets: Index, taken: list[tuple[int, int]], known: set[str], codes: tuple[str, ...]) -> list[Mention]:
    """A dataset with a slip of the pen; only datasets, as a slip in a team's name could name another team."""
    found = []
    candidates = [key for key in datasets if " " not in key and len(key) >= _FUZZY_LENGTH_MIN - 1]
    for start, end, word in _tokens(text):
        if len(word) < _FUZZY_LENGTH_MIN or word in known or not free_of((start, end), taken):
            continue
        if not _stands_alone(text, start, end, codes):
            continue
        close = difflib.get_close_matches(stem_of(word), candidates, 1, _FUZZY_CUTOFF)
        if close and close[0][0] == word[0]:
            sense = datasets[close[0]][0]
            note = f"'{word}' is read as the dataset {sense.value}."
            found.append(Mention(start=start, end=end, text=word, senses=(sense,), note=note))
    return found


def _ids(facts: Facts) -> list[tuple[str, Sense]]:
    """Every lease and job by its folded id."""
    leases = [(fold(lease.id), Sense(kind="lease", value=lease.id, team=team.name)) for team in facts.teams for lease in team.leases]
    return leases + [(fold(job.id), Sense(kind="job", value=job.id, team=team.name)) for team in facts.teams for job in team.jobs]


def _id_prefixes(text: str, facts: Facts, taken: list[tuple[int, int]]) -> list[Mention]:
    """A job or lease by the first characters of its id, where they fit only one."""
    ids = _ids(facts)
    found = []
    for match in re.finditer(rf"[{WORD}]+(?:-[{WORD}]+)*", text):
        if len(match.group()) < _PREFIX_MIN or not re.search(r"\d", match.group()) or not free_of(match.span(), taken):
            continue
        hits = [sense for key, sense in ids if key.startswith(match.group())]
        if len(hits) == 1:
            found.append(Mention(start=match.start(), end=match.end(), text=match.group(), senses=(hits[0],)))
    return found


def _narrow(text: str, mention: Mention, codes: tuple[str, ...], kind: str) -> Mention:
    """A name beside the word 'team' is the team, and beside 'dataset' the dataset, whatever else bears it."""
    if mention.sense(kind) is None or len(mention.senses) == 1:
        return mention
    noun = terms(codes, kind).pattern
    before = re.search(rf"(?:{noun})\s*$", text[: mention.start])
    after = re.match(rf"[\s-]*(?:{noun})", text[mention.end :])
    if not before and not after:
        return mention
    return mention.model_copy(update={"senses": tuple(s for s in mention.senses if s.kind == kind)})


def names_in(text: str, facts: Facts, codes: tuple[str, ...], known: set[str]) -> list[Mention]:
    """Every name of the factory in a folded text, by place.

    Args:
        known: words that are never a misspelt name.
    """
    names, datasets = build_index(facts)
    found = [*_exact(text, names, datasets, codes)]
    for more in (_cjk_names(text, names, datasets), _compounds(text, datasets, codes), _translated(text, datasets, codes)):
        for mention in more:
            if free_of(mention.span, [m.span for m in found]):
                found.append(mention)
    found += _id_prefixes(text, facts, [m.span for m in found])
    found += _fuzzy(text, datasets, [m.span for m in found], known, codes)
    pools = pools_in(text, facts, codes, [m.span for m in found])
    found = [*pools, *(m for m in found if free_of(m.span, [pool.span for pool in pools]))]
    for kind in ("team", "dataset"):
        found = [_narrow(text, mention, codes, kind) for mention in found]
    return sorted(found, key=lambda m: m.start)
