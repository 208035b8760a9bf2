"""The form of a message around its task: salutation, signature, list numbers, and an 'otherwise' that leaves all as it is."""

import re
from collections.abc import Callable
from functools import cache
from itertools import takewhile

from agents.planning.languages import LANGUAGES, negation_terms, terms
from agents.planning.text import WORD

Span = tuple[int, int]
ALL = tuple(LANGUAGES)
_NAME = rf"[{WORD}.'&-]+"
_NUMBERED = re.compile(rf"(?<![{WORD}.,%])\(?(\d{{1,2}})\)(?=\s|[{WORD}])")
_DOTTED = re.compile(r"(?:^|\s)(\d{1,2})\.(?=\s)")
_CONDITION = ("condition", "above", "gate_word")


def plain(raw: str) -> str:
    """The raw text with line breaks that end a sentence as full stops: before a bullet, a blank line or a signature."""
    lines = [line.strip() for line in raw.splitlines()]
    text = ""
    for line in lines:
        ends = not line or re.match(r"[-*•–]\s|\d{1,2}[.)]\s", line) or terms(ALL, "sign_off").match(line.casefold())
        text += (". " if ends and re.search(r"\w\s*$", text) else " ") + re.sub(r"^[-*•–]\s+", "", line)
    return text


def quiet_spans(text: str, codes: tuple[str, ...], is_name: Callable[[str], bool]) -> list[Span]:
    """Parts of a folded text that ask for nothing.

    Args:
        is_name: whether a word has no meaning here, and so may be a person's name.
    """
    return [
        *_letter(text, is_name),
        *_list_numbers(text),
        *(m.span() for m in terms(codes, "harmless").finditer(text)),
        *_otherwise(text, codes),
    ]


@cache
def _salutation() -> re.Pattern[str]:
    return re.compile(rf"^[^\w]*(?:{terms(ALL, 'greeting').pattern})\s+(?P<names>(?:{_NAME}\s*){{1,4}}?)(?=[,!.:;-])")


@cache
def _signature() -> re.Pattern[str]:
    names = rf"(?P<names>(?:{_NAME}\s*){{0,4}})[\s.!)]*$"
    return re.compile(rf"(?:^|(?<=[.!?,;)…]))\s*-*\s*(?:{terms(ALL, 'sign_off').pattern})[\s,.!;:-]*{names}")


def _letter(text: str, is_name: Callable[[str], bool]) -> list[Span]:
    """Salutation and signature, where nothing but names stands in them."""
    found = [pattern.search(text) for pattern in (_salutation(), _signature())]
    hello = terms(ALL, "greeting").match(text)
    spans = [m.span() for m in found if m and all(is_name(word) for word in re.findall(rf"[{WORD}]+", m["names"]))]
    return [*spans, hello.span()] if hello and " " in hello.group() else spans


def _list_numbers(text: str) -> list[Span]:
    """'1) … 2) …' or '1. … 2. …': numbers that count up from one in a list, and nothing else."""
    for pattern in (_NUMBERED, _DOTTED):
        marks = list(pattern.finditer(text))
        rising = [m for m, _ in takewhile(lambda pair: int(pair[0][1]) == pair[1], zip(marks, range(1, len(marks) + 1), strict=True))]
        if len(rising) > 1 and (pattern is _NUMBERED or _stands_first(text, rising)):
            return [m.span() for m in rising]
    return []


def _stands_first(text: str, marks: list[re.Match[str]]) -> bool:
    """Whether each number begins a line, so that 'slots: 1. version: 2.' is no list."""
    first, *rest = (text[: mark.start()].rstrip()[-1:] for mark in marks)
    return first in {"", ".", ":"} and all(before in {".", ";", ",", "!"} for before in rest)


def _otherwise(text: str, codes: tuple[str, ...]) -> list[Span]:
    """'otherwise leave it as it is', after a condition: it says again what a gate does."""
    found = []
    for match in terms(codes, "otherwise").finditer(text):
        before, after = text[: match.start()], text[match.end() :]
        if not re.search(r"(?:[.,;:!?()-]|(?<!\w)(?:and|but|und|aber|et|y|e|en|и|or))\s*$", before):
            continue
        body = re.split(r"[.;!?]", after)[0]
        keeps = terms(codes, "keep").search(body) or negation_terms(codes).search(body)
        if keeps and any(terms(codes, section).search(before) for section in _CONDITION):
            found.append((match.start(), match.end() + len(body)))
    return found


def within(span: Span, spans: list[Span] | tuple[Span, ...]) -> bool:
    """Whether a span lies in one of others."""
    return any(start <= span[0] and span[1] <= end for start, end in spans)
