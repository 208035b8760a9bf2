"""Numbers in a text, in digits, in words and in Han characters, before anything is known of what they count."""

import re
from functools import cache

from agents.planning.languages import LANGUAGES, number_words
from agents.planning.mentions import free_of
from agents.planning.text import WORD, fold, has_cjk

_DIGITS = re.compile(rf"(?<![{WORD}.,])[-+]?(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+(?:[.,]\d+)?|[.,]\d+)")
_TOKEN = re.compile(rf"[{WORD}]+")
_HAN = re.compile(r"(?!百分之)[零〇一二两三四五六七八九十百千万]+")
_HAN_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_MAGNITUDES = frozenset({100, 1000, 1_000_000})
_AND = frozenset({"", "-", "and", "und", "et", "y", "e", "en", "и"})
_POINT = frozenset({"point", "dot", "komma", "comma", "virgule", "coma", "virgola", "virgula", "punto", "ponto", "целых"})
_MINUS = re.compile(rf"(?<![{WORD}])(?:minus|negative|минус|负|マイナス)\s*$")
_THOUSANDS = re.compile(rf"k(?![{WORD}])")
_SHORT = 2


class Number:
    """A number in the text, before its unit is known."""

    def __init__(self, start: int, end: int, value: float, *, word: bool) -> None:
        self.start, self.end, self.value, self.word = start, end, value, word


def _digit_value(text: str) -> float:
    if re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})+", text):
        return float(text.replace(",", ""))
    return float(text.replace(",", "."))


def _han_value(text: str) -> int:
    total, current = 0, 0
    for char in text:
        if char in _HAN_UNITS:
            total, current = total + (current or 1) * _HAN_UNITS[char], 0
        else:
            current = current * 10 + _HAN_DIGITS[char]
    return total + current


@cache
def _all_words() -> dict[str, int]:
    """Number words of every language, less those that are common words of English ('once' is eleven in Spanish)."""
    english = {
        fold(word) for section in ("function_words", "stop", "condition", "on", "now", "time") for word in getattr(LANGUAGES["en"], section)
    }
    words = {word: value for code in LANGUAGES for word, value in number_words(code).items()}
    return {word: value for word, value in words.items() if word not in english and len(word) > _SHORT}


@cache
def own_words(codes: tuple[str, ...]) -> frozenset[str]:
    """The number words of some languages."""
    return frozenset(word for code in codes for word in number_words(code))


def _word_numbers(text: str, codes: tuple[str, ...]) -> list[Number]:
    tokens = list(_TOKEN.finditer(text))
    words = _all_words() | {word: value for code in reversed(codes) for word, value in number_words(code).items()}
    found, index = [], 0
    while index < len(tokens):
        for width in (5, 4, 3, 2, 1):
            window = tokens[index : index + width]
            key = text[window[0].start() : window[-1].end()].replace("-", " ")
            if len(window) == width and key in words:
                found.append(Number(window[0].start(), window[-1].end(), words[key], word=True))
                index += width - 1
                break
        index += 1
    return found


def numbers_in(text: str, codes: tuple[str, ...]) -> list[Number]:
    """Every number of a folded text in order, digits and words."""
    found = [Number(m.start(), m.end(), _digit_value(m.group()), word=False) for m in _DIGITS.finditer(text)]
    found += [n for n in _word_numbers(text, codes) if free_of((n.start, n.end), [(f.start, f.end) for f in found])]
    if has_cjk(text):
        found += [
            Number(m.start(), m.end(), _han_value(m.group()), word=True)
            for m in _HAN.finditer(text)
            if text[m.end() : m.end() + 2] != "分之"
        ]
    return [_signed(text, number) for number in _joined(text, sorted(found, key=lambda n: n.start))]


def _joined(text: str, numbers: list[Number]) -> list[Number]:
    """Neighbours that are one number together: 'two hundred and five', 'ninety-five point five'."""
    found: list[Number] = []
    for number in numbers:
        whole = _together(text[found[-1].end : number.start].strip(), found[-1], number) if found else None
        if whole is None:
            found.append(number)
        else:
            found[-1] = Number(found[-1].start, number.end, whole, word=found[-1].word)
    return found


def _together(between: str, left: Number, right: Number) -> float | None:
    """The value of two neighbours as one number, if they are one."""
    if between in _POINT and right.value == int(right.value):
        return left.value + float(f"0.{int(right.value)}")
    if not right.word:
        return None
    if between in {"", "-"} and right.value in _MAGNITUDES and 0 < left.value < right.value:
        return left.value * right.value
    if between in _AND and left.word and left.value >= min(_MAGNITUDES) and left.value % 100 == 0 and 0 < right.value < 100:
        return left.value + right.value
    return _next_decimal(left, right) if between in {"", "-"} else None


def _next_decimal(left: Number, right: Number) -> float | None:
    """'point nine five': a further digit after the decimal point."""
    if left.value == int(left.value) or not left.word or not 0 <= right.value <= 9:
        return None
    return float(f"{left.value:g}{int(right.value)}")


def _signed(text: str, number: Number) -> Number:
    """'minus two', '5k'."""
    thousands = None if number.word else _THOUSANDS.match(text, number.end)
    value = number.value * 1000 if thousands else number.value
    minus = _MINUS.search(text[: number.start])
    if minus:
        return Number(minus.start(), number.end, -value, word=number.word)
    return Number(number.start, thousands.end() if thousands else number.end, value, word=number.word)
