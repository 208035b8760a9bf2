"""The small words of each language, one file a language: what is a number, a negation, a condition, a time, a yes."""

import re
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from agents.planning.text import compile_terms, fold, has_cjk
from factory_infra.errors import InvalidInput

VOCABULARY_DIR = Path(__file__).parent / "vocabulary"
ENGLISH = "en"
_KANA = re.compile(r"[\u3040-\u30ff]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")

Terms = tuple[str, ...]


class Language(BaseModel):
    """One language's lists. Terms are compared folded; `*` ends a stem and `...` is a gap of a few words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function_words: Terms
    numbers: dict[str, int]
    number_form: str = ""
    teens_after: tuple[int, ...] = ()
    one: Terms
    slot: Terms
    gpu: Terms
    core: Terms
    second: Terms
    minute: Terms
    hour: Terms
    day: Terms
    half_hour: Terms
    hour_and_half: Terms
    percent: Terms
    version: Terms
    latest: Terms
    team: Terms
    dataset: Terms
    model: Terms
    on: Terms
    for_: Terms
    endpoint_as: Terms
    model_as: Terms
    negation: Terms
    correction: Terms
    condition: Terms
    soft_condition: Terms
    time: Terms
    now: Terms
    hypothetical: Terms
    polite: Terms
    question: Terms
    past: Terms
    all: Terms
    all_free: Terms
    never_mind: Terms
    yes: Terms
    no: Terms
    greeting: Terms
    thanks: Terms
    help: Terms
    unsupported: Terms
    accuracy: Terms
    other_metric: Terms
    error: Terms
    above: Terms
    below: Terms
    gate_word: Terms
    unless: Terms
    current: Terms
    it: Terms
    split: Terms
    definite: Terms
    earliest: Terms
    nouns: dict[str, Terms]
    stop: Terms
    sign_off: Terms
    otherwise: Terms
    keep: Terms
    harmless: Terms
    denied_after: Terms
    subject: Terms
    erase: Terms


def _compounds(language: Language) -> dict[str, int]:
    """Number words from 21 to 99 (and 70 or 90 where teens follow) as the language puts them together."""
    by_value: dict[int, list[str]] = {}
    for word, value in language.numbers.items():
        by_value.setdefault(value, []).append(fold(word))
    made: dict[str, int] = {}
    for tens in range(20, 100, 10):
        top = 20 if tens in language.teens_after else 10
        for unit in range(1, top):
            for tens_word in by_value.get(tens, []):
                made.update({fold(language.number_form.format(tens=tens_word, unit=word)): tens + unit for word in by_value.get(unit, [])})
    return made | (_multiples(by_value) if " " not in language.number_form else {})


def _multiples(by_value: dict[int, list[str]]) -> dict[str, int]:
    """'funfhundert', 'zweitausend': hundreds and thousands, where they are written as one word."""
    return {
        unit_word + word: unit * magnitude
        for magnitude in (100, 1000)
        for word in by_value.get(magnitude, [])
        for unit in range(2, 20)
        for unit_word in by_value.get(unit, [])
    }


@cache
def number_words(code: str) -> dict[str, int]:
    """Every number word of a language, folded, hyphens as spaces."""
    language = LANGUAGES[code]
    words = _compounds(language) if language.number_form else {}
    words.update({fold(word): value for word, value in language.numbers.items()})
    return {word.replace("-", " "): value for word, value in words.items()}


def _load(path: Path) -> Language:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Language.model_validate({("for_" if key == "for" else key): value for key, value in content.items()})
    except (ValidationError, yaml.YAMLError, AttributeError) as error:
        raise InvalidInput(f"{path.name}: {error}", remedy="Mend the list; en.yaml shows the form.", code="vocabulary_invalid") from error


def load_languages(folder: Path = VOCABULARY_DIR) -> dict[str, Language]:
    """Read every language of a folder by its code. Raises InvalidInput naming the file."""
    return {path.stem: _load(path) for path in sorted(folder.glob("*.yaml"))}


LANGUAGES = load_languages()


@cache
def _markers(code: str) -> re.Pattern[str]:
    language = LANGUAGES[code]
    return compile_terms(
        (*language.function_words, *language.slot, *language.percent, *language.version, *language.model, *language.dataset)
    )


@cache
def terms(codes: tuple[str, ...], section: str) -> re.Pattern[str]:
    """One expression for a section's terms in these languages."""
    return compile_terms(tuple(term for code in codes for term in getattr(LANGUAGES[code], section)))


@cache
def negation_terms(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Negations of the text's own language; of English only those that are no word elsewhere ('no' is)."""
    own = LANGUAGES[codes[0]].negation
    return compile_terms(own if codes[0] == ENGLISH else (*own, "not", "don't", "without"))


def languages_of(text: str, extra: dict[str, int] | None = None) -> tuple[str, ...]:
    """The languages to read a folded text in: the likeliest, and English, whose trade words are everywhere.

    Args:
        extra: further hits by language, such as the cue words that were found.
    """
    if has_cjk(text):
        return ("ja" if _KANA.search(text) else "zh", ENGLISH)
    if _CYRILLIC.search(text):
        return ("ru", ENGLISH)
    hits = {code: len(_markers(code).findall(text)) + 3 * (extra or {}).get(code, 0) for code in LANGUAGES}
    best = max(hits, key=lambda code: (hits[code], code == ENGLISH))
    return (ENGLISH,) if best == ENGLISH else (best, ENGLISH)
