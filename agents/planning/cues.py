"""Strong verbs and things: found by the words that the playbooks list for them."""

import re
from collections import defaultdict

from agents.planning.languages import LANGUAGES
from agents.planning.mentions import Action
from agents.planning.playbook import Playbook
from agents.planning.text import compile_terms, overlaps

_UNITS = compile_terms(
    tuple(t for language in LANGUAGES.values() for section in ("slot", "gpu", "core") for t in getattr(language, section))
).pattern
_JOINS = re.compile(r"(?<!\w)(?:and|und|et|y|e|en|и|then|dann|puis|luego|poi|depois|dan)(?!\w)")


class Cues:
    """The joined word lists of all playbooks, compiled once."""

    def __init__(self, playbooks: list[Playbook]) -> None:
        words: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        for playbook in playbooks:
            for concept, languages in playbook.words.items():
                for code, terms in languages.items():
                    words[concept][code] = (*words[concept].get(code, ()), *terms)
        self.actions = {name for p in playbooks for name in (*p.does, *p.mentions)}
        self.effectful = {name for p in playbooks if p.effectful for name in p.does}
        self._patterns: dict[str, dict[str, re.Pattern[str]]] = {
            concept: {code: compile_terms(terms, _UNITS) for code, terms in languages.items()} for concept, languages in words.items()
        }

    def hits_by_language(self, text: str) -> dict[str, int]:
        """How many strong verbs of each language a text holds, those of several words twice: a sign of its language."""
        hits: dict[str, int] = defaultdict(int)
        for concept in self.actions:
            for code, pattern in self._patterns.get(concept, {}).items():
                match = pattern.search(text)
                hits[code] += (1 + (" " in match.group())) if match else 0
        return hits

    def things_in(self, text: str, codes: tuple[str, ...]) -> frozenset[str]:
        """The things that a text is about."""
        return frozenset(c for c, patterns in self._patterns.items() if c not in self.actions and self._any(patterns, text, codes))

    @staticmethod
    def _any(patterns: dict[str, re.Pattern[str]], text: str, codes: tuple[str, ...]) -> bool:
        return any(code in patterns and patterns[code].search(text) for code in codes)

    def knows(self, word: str, codes: tuple[str, ...]) -> bool:
        """Whether a single word is one of the listed ones."""
        return any(code in patterns and patterns[code].fullmatch(word) for patterns in self._patterns.values() for code in codes)

    def actions_in(self, text: str, codes: tuple[str, ...]) -> list[Action]:
        """Strong verbs by place. Words that mean several actions are one finding with all of them."""
        spans: list[tuple[int, int, str]] = []
        for concept in sorted(self.actions):
            for code in codes:
                pattern = self._patterns.get(concept, {}).get(code)
                spans += [(m.start(), m.end(), concept) for m in pattern.finditer(text)] if pattern else []
        return _merge(text, sorted(spans, key=lambda s: (s[0], -s[1])))


def _merge(text: str, spans: list[tuple[int, int, str]]) -> list[Action]:
    """Join findings of one place; a longer finding swallows those within it, but not a verb that is joined to it by an 'and'."""
    groups: list[tuple[int, int, list[str]]] = []
    for start, end, concept in spans:
        around = next((g for g in groups if overlaps((g[0], g[1]), (start, end))), None)
        if around is None:
            groups.append((start, end, [concept]))
        elif (start, end) == (around[0], around[1]):
            around[2].extend([concept] if concept not in around[2] else [])
        elif concept not in around[2] and (end > around[1] or _JOINS.search(text[end : around[1]])):
            groups.append((start, end, [concept]))
    return [Action(start=s, end=e, text=text[s:e], concepts=tuple(c)) for s, e, c in sorted(groups)]
