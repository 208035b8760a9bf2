"""Numbers with their units: slots, versions, shares, durations, money; in digits and in words."""

import re
from functools import cache

from pydantic import JsonValue

from agents.planning.languages import LANGUAGES, terms
from agents.planning.mentions import Mention, Sense, free_of
from agents.planning.numerals import Number, numbers_in, own_words
from agents.planning.text import LEFT, RIGHT, compile_terms

ALL_CODES = tuple(LANGUAGES)
_MONEY_AFTER = compile_terms(("dollar*", "usd", "euro*", "eur", "bucks", "pound*", "cents", "yen", "元", "円", "dolar*", "руб*"))
_MONEY_BEFORE = re.compile(r"[$€£¥]\s*$")
_SHARE_MAX_WORDS_BETWEEN = 4
_CLOSE = 32
_SHORT_VERSION = re.compile(rf"{LEFT}v\.?(\d+){RIGHT}")
_REST_MAX = 3
_LIKELY_SHARE = 0.5
_PERCENT_OF = "百分之"
_ANSWER_WORDS_MAX = 6
_QUARTER = (
    r"(?:(?:a |one )?quarter (?:of an )?hour|(?:eine[r]? )?viertelstunde|(?:un )?quart d'heure|(?:un )?cuarto de hora|"
    r"(?:un )?quarto d'ora|(?:um )?quarto de hora|(?:een )?kwartier|четверть часа|一刻钟|15分)"
)
_THREE_QUARTERS = (
    r"(?:(?:three|3) quarters of an hour|(?:eine )?dreiviertelstunde|trois quarts d'heure|tres cuartos de hora|"
    r"tre quarti d'ora|tres quartos de hora|drie kwartier)"
)
_HALF = (
    rf"{LEFT}(?:(?:a|une?|eine[nr]?|einen|un|una|uno|um|uma|een)\s+)?"
    r"(?:half|halbe[nrs]?|demi|medio|media|mezzo|mezza|meio|meia|halve|пол|половин\w*|半)"
)
_BEFORE_ANSWER = re.compile(r"(?:^|[,;:.]\s*|(?<!\w)(?:to|not|it|only|just|then|rather|nicht|nur|pas|no|non|nao|niet|не)\s)$")


@cache
def _unit(codes: tuple[str, ...], section: str) -> re.Pattern[str]:
    """A unit right after a number; for slots a word or two may stand between."""
    body = terms(codes, section).pattern
    return re.compile(rf"(?:\s|-)*(?:{body})")


@cache
def _slot_unit(codes: tuple[str, ...], section: str) -> re.Pattern[str]:
    body = terms(codes, section).pattern
    stop = rf"{LEFT}(?:and|und|et|y|e|en|percent|%){RIGHT}|{_HALF}"
    return re.compile(rf"\s*(?:-?(?:{body})|(?:(?!{stop})[^\s\d,.;%]+\s+){{1,3}}?(?:{body}))")


@cache
def _version_before(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:{terms(codes, 'version').pattern}|{LEFT}v|第|#)\s*(?:number|no\.?|nr\.?|n°|numero)?\s*[:=#]?\s*$")


@cache
def _percent_after(codes: tuple[str, ...]) -> re.Pattern[str]:
    every = terms((*codes, *ALL_CODES), "percent").pattern
    return re.compile(rf"\s*(?:%|‰|-?(?:{every}))")


SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_SLOT_SECTIONS = ("gpu", "core", "slot")


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _version(text: str, number: Number, codes: tuple[str, ...]) -> Mention | None:
    before = _version_before(codes).search(text[: number.start])
    if before:
        return Mention(
            start=before.start(),
            end=number.end,
            text=text[before.start() : number.end],
            senses=(Sense(kind="version", value=_whole(number.value)),),
        )
    after = re.match(r"\s*(?:版本?|番目?のバージョン|バージョン目)", text[number.end :])
    if after and not number.word:
        return Mention(
            start=number.start,
            end=number.end + after.end(),
            text=text[number.start :][:8],
            senses=(Sense(kind="version", value=_whole(number.value)),),
        )
    return None


def _with_unit(text: str, number: Number, codes: tuple[str, ...], limit: int) -> Mention | None:
    """The number with what follows it, if that is a unit; nothing from `limit` on belongs to it."""
    rest = text[number.end :]

    def made(end: int, kind: str, value: float) -> Mention:
        return Mention(
            start=number.start,
            end=number.end + end,
            text=text[number.start : number.end + end],
            senses=(Sense(kind=kind, value=_whole(value)),),
        )

    if text[: number.start].endswith(_PERCENT_OF):
        return made(0, "threshold", round(number.value / 100, 6))
    if match := _percent_after(codes).match(rest):
        return made(match.end(), "threshold", round(number.value / 100, 6))
    for section in _SLOT_SECTIONS:
        if match := _slot_unit(codes, section).match(text[number.end : limit]):
            return made(match.end(), "count", number.value)
    for section, seconds in SECONDS.items():
        if match := _unit(codes, section).match(rest):
            return made(match.end(), "duration", number.value * seconds)
    if (match := re.match(rf"\s*(?:{_MONEY_AFTER.pattern}|[$€£¥])", rest)) or _MONEY_BEFORE.search(text[: number.start]):
        return made(match.end() if match else 0, "money", number.value)
    return None


def _near_accuracy(text: str, number: Number, codes: tuple[str, ...]) -> bool:
    """Whether words of accuracy stand close: more kinds of them count before a number than after it."""
    before = text[max(0, number.start - _CLOSE) : number.start]
    after = text[number.end : number.end + _CLOSE]
    if terms(codes, "accuracy").search(after):
        return True
    return any(terms(codes, section).search(before) for section in ("gate_word", "above", "accuracy", "error"))


def _bare(text: str, number: Number, codes: tuple[str, ...]) -> Mention | None:
    """A number without a unit: a share where words of accuracy stand close, else just a number."""
    fraction = _LIKELY_SHARE <= number.value < 1
    value = number.value if number.value <= 1 else number.value / 100
    senses = [Sense(kind="number", value=_whole(number.value))]
    if fraction or (not number.word and _near_accuracy(text, number, codes)):
        senses.insert(0, Sense(kind="threshold", value=round(value, 6)))
    alone = len(text) - (number.end - number.start) <= _REST_MAX
    told = number.value > 1 and text[number.start : number.end].replace("-", " ") in own_words(codes)
    if number.word and not (fraction or alone or told):
        return None
    return Mention(start=number.start, end=number.end, text=text[number.start : number.end], senses=tuple(senses))


def _articles(text: str, codes: tuple[str, ...], taken: list[tuple[int, int]]) -> list[Mention]:
    """'a slot', 'half an hour', 'all free slots': quantities without a number, the longest first."""
    one, free = terms(codes, "one").pattern, terms(codes, "all_free").pattern
    units = "|".join(terms(codes, section).pattern for section in _SLOT_SECTIONS)
    forms: list[tuple[str, str, JsonValue]] = [
        (rf"{_HALF}\s*(?:(?:of|{one})\s+)?(?:{units})", "count", 0.5),
        (rf"{LEFT}{_THREE_QUARTERS}", "duration", 2700),
        (rf"{LEFT}{_QUARTER}", "duration", 900),
        (rf"{LEFT}of (?:{one}) (?:{terms(codes, 'hour').pattern})", "part", 3600),
        (terms(codes, "hour_and_half").pattern, "duration", 5400),
        (terms(codes, "half_hour").pattern, "duration", 1800),
        (rf"(?:{free})\s*(?:[^\s.,;]+\s+){{0,2}}?(?:{units})|{free}", "count", "free"),
        *((rf"(?:{one})\s+(?:{terms(codes, s).pattern})", "duration", seconds) for s, seconds in SECONDS.items()),
        (rf"(?:{one})\s+(?:{units})", "count", 1),
    ]
    found: list[Mention] = []
    for pattern, kind, value in forms:
        for match in re.finditer(pattern, text):
            fits = value != "free" or re.search(units, match.group())
            if fits and free_of(match.span(), taken + [m.span for m in found]):
                found.append(Mention(start=match.start(), end=match.end(), text=match.group(), senses=(Sense(kind=kind, value=value),)))
    return found


def _labelled(text: str, number: Number, codes: tuple[str, ...]) -> Mention | None:
    """'slots: 2', 'gpus=4'."""
    units = "|".join(terms(codes, section).pattern for section in _SLOT_SECTIONS)
    before = re.search(rf"(?:{units})\s*[:=をは]\s*$", text[: number.start])
    if before is None:
        return None
    return Mention(
        start=before.start(),
        end=number.end,
        text=text[before.start() : number.end],
        senses=(Sense(kind="count", value=_whole(number.value)),),
    )


def _as_error(text: str, mention: Mention, codes: tuple[str, ...]) -> Mention:
    """'an error below 5 %' asks for an accuracy of 95 %."""
    share = mention.sense("threshold")
    around = text[max(0, mention.start - _CLOSE) : mention.end + 14]
    if share is None or not isinstance(share.value, int | float) or not terms(codes, "error").search(around) or share.value > 1:
        return mention
    flipped = Sense(kind="threshold", value=round(1 - share.value, 6))
    note = f"An error of {share.value:.4g} is read as an accuracy of {flipped.value}."
    return mention.model_copy(update={"senses": (flipped,), "note": note})


def quantities_in(text: str, codes: tuple[str, ...], taken: list[tuple[int, int]], *, answering: bool = False) -> list[Mention]:
    """Every number with its unit, outside the spans that are taken by names.

    Args:
        answering: the text answers a question or amends a plan, so that 'not two, one' holds numbers.
    """
    found = _short_versions(text, taken)
    found += _measured(text, codes, taken, found)
    found += _latest(text, codes, taken + _spans(found))
    found += _articles(text, codes, taken + _spans(found))
    if answering and not _any_with_unit(found):
        found += [m for m in _plain_words(text, codes[:2]) if free_of(m.span, _spans(found))]
    return found


def _spans(mentions: list[Mention]) -> list[tuple[int, int]]:
    return [mention.span for mention in mentions]


def _short_versions(text: str, taken: list[tuple[int, int]]) -> list[Mention]:
    """'v2': the letter and the digits are one word, which no other form of a number allows."""
    return [
        Mention(start=m.start(), end=m.end(), text=m.group(), senses=(Sense(kind="version", value=int(m[1])),))
        for m in _SHORT_VERSION.finditer(text)
        if free_of(m.span(), taken)
    ]


def _measured(text: str, codes: tuple[str, ...], names: list[tuple[int, int]], versions: list[Mention]) -> list[Mention]:
    """Every number that stands free; a unit belongs to it only up to the next number or name."""
    numbers = numbers_in(text, codes)
    borders = sorted([n.start for n in numbers] + [start for start, _ in names])
    found: list[Mention] = []
    for number in numbers:
        if not free_of((number.start, number.end), names + _spans(versions + found)):
            continue
        limit = next((place for place in borders if place >= number.end), len(text))
        mention = _read(text, number, codes, limit)
        if mention is not None:
            found.append(_as_error(text, mention, codes))
    return found


def _read(text: str, number: Number, codes: tuple[str, ...], limit: int) -> Mention | None:
    """What a number counts, by the surest sign: a word before it, a unit after it, what stands close."""
    return (
        _version(text, number, codes)
        or _labelled(text, number, codes)
        or _with_unit(text, number, codes, limit)
        or _bare(text, number, codes)
    )


def _latest(text: str, codes: tuple[str, ...], taken: list[tuple[int, int]]) -> list[Mention]:
    """'the latest': a version without a number."""
    return [
        Mention(start=m.start(), end=m.end(), text=m.group(), senses=(Sense(kind="version", value="latest"),))
        for m in terms(codes, "latest").finditer(text)
        if free_of(m.span(), taken)
    ]


def _any_with_unit(found: list[Mention]) -> bool:
    """Whether a quantity was found already, so that words such as 'one' need not be numbers."""
    return any(m.sense(kind) for m in found for kind in ("count", "threshold", "duration", "version"))


def _plain_words(text: str, codes: tuple[str, ...]) -> list[Mention]:
    """Number words by themselves in a short answer; 'the blue one' holds none."""
    if len(text.split()) > _ANSWER_WORDS_MAX:
        return []
    words = [n for n in numbers_in(text, codes) if n.word and _BEFORE_ANSWER.search(text[: n.start])]
    return [
        Mention(start=n.start, end=n.end, text=text[n.start : n.end], senses=(Sense(kind="number", value=_whole(n.value)),)) for n in words
    ]
