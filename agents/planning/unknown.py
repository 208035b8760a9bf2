"""Names that the factory does not have: found by the words around them, so that they are refused and never dropped."""

import re
from functools import cache

from agents.planning.languages import LANGUAGES, Language, terms
from agents.planning.mentions import Action, Mention, Sense, free_of
from agents.planning.text import WORD, compile_terms, fold

_NAME = rf"[\"']?(?P<name>[{WORD}]+(?:[-_.][{WORD}]+)*)(?![{WORD}])[\"']?"
_CJK_NAME = r"[「『\"']?(?P<name>[a-z0-9][a-z0-9_-]*)[」』\"']?"
_LINKS = (
    "when",
    "once",
    "only",
    "unless",
    "provided",
    "wenn",
    "falls",
    "sofern",
    "si",
    "s'il",
    "se",
    "als",
    "and",
    "und",
    "et",
    "y",
    "e",
    "en",
    "on",
    "with",
    "auf",
    "mit",
    "sur",
    "avec",
    "con",
    "com",
    "met",
    "if",
    "then",
    "please",
)
_END = rf"(?=\s*(?:$|[.,;:!?)])|\s+(?:{'|'.join(_LINKS)})(?![{WORD}]))"
_WEAK_AS = frozenset({"as", "at", "behind", "under", "als", "como", "come", "как", "として", "en tant que", "on endpoint", "unter"})


_COMMON_SECTIONS = frozenset(Language.model_fields) - {"numbers", "number_form", "teens_after", "nouns", "endpoint_as", "model_as"}


_PHRASES = frozenset({"unsupported", "harmless", "never_mind"})
"""Sections whose phrases hold words that may well be names: 'split traffic'."""


@cache
def stop_words(codes: tuple[str, ...]) -> frozenset[str]:
    """Words that are never a name of ours in these languages."""
    words: set[str] = set()
    for code in codes:
        language = LANGUAGES[code]
        for section in _COMMON_SECTIONS:
            terms_of = [term for term in getattr(language, section) if section not in _PHRASES or " " not in term]
            words.update(word.rstrip("*") for term in terms_of for word in fold(term).split())
        words.update(language.numbers)
    return frozenset(words)


@cache
def _team_patterns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    noun = terms(codes, "team").pattern
    return (
        re.compile(rf"(?:{noun})\s*[:=]?\s*(?:(?:de|di|da|do|von|van|of|named|called|d')\s*)?{_NAME}"),
        re.compile(rf"(?<![{WORD}-]){_NAME}[\s-]+(?:{noun})"),
        re.compile(rf"(?:{noun}){_CJK_NAME}"),
        re.compile(rf"{_CJK_NAME}\s*(?:{noun})"),
    )


@cache
def _weak_team_pattern(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:{terms(codes, 'for_').pattern})\s+{_NAME}{_END}")


@cache
def _dataset_patterns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    data, model = terms(codes, "dataset").pattern, terms(codes, "model").pattern
    told = r"that\s+(?:reads|recogni[sz]es|classifies|predicts|detects)"
    of = rf"(?:for|de|di|da|do|d'|fur|of|van|voor|para|per|pour|von|zur|zum|des|der|для|{told})"
    article = r"(?:the|a|der|die|das|le|la|les|l'|el|los|las|il|lo|gli|i|o|os|as|de|het|un|une|una|um|uma|des|del)"
    return (
        re.compile(rf"(?:{data})\s+(?:named|called|namens|llamado|{of})?\s*{_NAME}"),
        re.compile(rf"(?<![{WORD}-]){_NAME}[\s-]+(?:{data})"),
        re.compile(rf"(?:{model})\s+{of}\s*(?:{article}\s+)?{_NAME}"),
        re.compile(rf"(?:{data}){_CJK_NAME}"),
        re.compile(rf"(?P<name>[\u3040-\u30ff\u4e00-\u9fffa-z0-9_-]{{1,6}}?)(?:の)?(?:{data}|分类器|分類器|識別器|认识器)"),
    )


@cache
def _subject_patterns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """'cat classifier', 'Katzenklassifikator': what the classifier is to tell."""
    model = terms(codes, "model").pattern
    return (
        re.compile(rf"(?<![{WORD}-]){_NAME}[\s-]+(?:{model})"),
        re.compile(
            rf"(?<![{WORD}])(?P<name>[{WORD}]{{3,}}?)s?-?(?:klassifikator|klassifizierer|erkenner|modell|classificator|classifier)(?![{WORD}])"
        ),
    )


@cache
def _on_pattern(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:{terms(codes, 'on').pattern})\s+(?:(?:the|den|die|das|les|le|la|los|las|el|il|de|het|our|my)\s+)?{_NAME}{_END}")


@cache
def _object_pattern() -> re.Pattern[str]:
    """'train digits': what stands right behind the verb and ends its clause."""
    return re.compile(rf"\s+(?:(?:a|an|the|our|my|some)\s+)?{_NAME}{_END}")


@cache
def _name_patterns(codes: tuple[str, ...], section: str) -> tuple[tuple[bool, re.Pattern[str]], ...]:
    patterns = []
    for code in codes:
        for term in getattr(LANGUAGES[code], section):
            weak = fold(term) in {fold(w) for w in _WEAK_AS}
            body = compile_terms((term,)).pattern
            end = _END if weak else ""
            patterns.append((weak, re.compile(rf"(?:{body})\s+(?:the\s+)?(?:endpoint\s+)?{_NAME}{end}")))
    return tuple(patterns)


def _things_pattern(kind: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![{WORD}-]){kind}\s+(?:id\s+|number\s+|called\s+|named\s+|#)?{_NAME}")


_ID_NOUNS = {
    "job": _things_pattern("(?:job|run|tache|tarea|tarefa|taak|auftrag|lavoro|задач[аиу])"),
    "lease": _things_pattern("(?:lease|reservation|bail|arriendo)"),
}
_ENDPOINT = (
    _things_pattern("(?:endpoint|service|endpunkt|punkt|eindpunt|эндпоинт)"),
    re.compile(rf"(?<![{WORD}-]){_NAME}[\s-]+(?:endpoint|service|endpunkt|eindpunt)"),
)
_MODEL_NAMED = (
    re.compile(
        rf"(?<![{WORD}-])(?:model|modell|modele|modelo|modello|classifier)\s+(?:named\s+|called\s+)?(?P<name>[{WORD}]+(?:[-_][{WORD}]+)+)"
    ),
)


def unknown_ids(text: str, known: list[Mention]) -> list[Mention]:
    """Ids by their form: plans, and jobs and leases that belong to nothing that the asker may see."""
    found = [
        Mention(start=match.start(), end=match.end(), text=match.group(), senses=(Sense(kind="plan", value=match.group()),))
        for match in re.finditer(rf"(?<![{WORD}-])plan-(?=[{WORD}-]*\d)[{WORD}-]+", text)
        if free_of(match.span(), [m.span for m in known])
    ]
    for kind in ("job", "lease"):
        for match in re.finditer(rf"(?<![{WORD}-]){kind}-(?=[{WORD}-]*\d)[{WORD}-]+", text):
            if free_of(match.span(), [m.span for m in known]):
                sense = Sense(kind=f"unknown_{kind}", value=match.group())
                found.append(Mention(start=match.start(), end=match.end(), text=match.group(), senses=(sense,)))
    return found


class Finder:
    """Collects unknown names of one text, leaving alone what is already linked."""

    def __init__(self, text: str, codes: tuple[str, ...], known: list[Mention], verbs: list[Action], effects: set[str]) -> None:
        self.text, self.codes = text, codes
        self.verbs = [verb.span for verb in verbs]
        self.changes = [verb.span for verb in verbs if effects & set(verb.concepts)]
        self.training = [verb.end for verb in verbs if "train" in verb.concepts]
        self.found: list[Mention] = []
        self.taken = [m.span for m in known]
        self.stop = stop_words(codes)
        self.known = known

    def _has(self, kind: str) -> bool:
        return any(m.sense(kind) for m in self.known)

    def look(self, pattern: re.Pattern[str], kind: str, *, ids_only: bool = False, place: int | None = None) -> None:
        """Note each name that a pattern finds (or the one right at a place), unless it is a common word or taken."""
        there = pattern.match(self.text, place) if place is not None else None
        for match in pattern.finditer(self.text) if place is None else filter(None, [there]):
            name, span = match["name"], match.span("name")
            busy = self.taken + (self.changes if pattern in _subject_patterns(self.codes) else self.verbs)
            if self._is_common(name, kind) or not free_of(span, busy) or (ids_only and not re.search(r"[\d-]", name)):
                continue
            self.found.append(Mention(start=span[0], end=span[1], text=name, senses=(Sense(kind=kind, value=name),)))
            self.taken.append(span)

    def _is_common(self, name: str, kind: str) -> bool:
        """Whether a name is made of plain words; one of several parts that is given to something new may be."""
        parts = re.split(r"[-_.]", name)
        given = kind in {"endpoint_name", "model_name"} and len(parts) > 1
        return not given and all(part in self.stop or part.isdigit() for part in parts)

    def names(self) -> None:
        """New names for a model or an endpoint: 'call it X', 'live as X'."""
        for section, kind in (("model_as", "model_name"), ("endpoint_as", "endpoint_name")):
            for _weak, pattern in _name_patterns(self.codes, section):
                self.look(pattern, kind)

    def run(self, *, training: bool) -> list[Mention]:
        """All unknown names, the surest patterns first."""
        for pattern in _team_patterns(self.codes):
            self.look(pattern, "unknown_team")
        for kind, pattern in _ID_NOUNS.items():
            self.look(pattern, f"unknown_{kind}", ids_only=True)
        self.names()
        if not self._has("endpoint"):
            for pattern in _ENDPOINT:
                self.look(pattern, "unknown_endpoint")
        if not self._has("model"):
            self.look(_MODEL_NAMED[0], "unknown_model")
        self._datasets(training=training)
        if not self._has("team"):
            self.look(_weak_team_pattern(self.codes), "unknown_team")
        return self.found

    def _datasets(self, *, training: bool) -> None:
        if self._has("dataset"):
            return
        for pattern in _dataset_patterns(self.codes):
            self.look(pattern, "unknown_dataset")
        if training:
            for pattern in _subject_patterns(self.codes):
                self.look(pattern, "unknown_dataset")
            self.look(_on_pattern(self.codes), "unknown_dataset")
            for place in self.training:
                self.look(_object_pattern(), "unknown_dataset", place=place)
