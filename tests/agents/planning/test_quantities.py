"""Numbers with their units, in digits and in words."""

import pytest

from agents.planning.languages import languages_of, number_words
from agents.planning.quantities import quantities_in
from agents.planning.text import fold


def found(text: str) -> list[tuple[str, object]]:
    folded = fold(text)
    return [(mention.senses[0].kind, mention.senses[0].value) for mention in quantities_in(folded, languages_of(folded), [])]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("on two slots please", "count", 2),
        ("with 4 free GPUs", "count", 4),
        ("auf drei Kernen und mit dem", "count", 3),
        ("en dos núcleos de la", "count", 2),
        ("用两个槽位", "count", 2),
        ("at least 95 percent", "threshold", 0.95),
        ("accuracy of 0.95", "threshold", 0.95),
        ("ninety-five per cent", "threshold", 0.95),
        ("mindestens 95,5 % und", "threshold", 0.955),
        ("quatre-vingt-quinze pour cent et la", "threshold", 0.95),
        ("百分之九十五", "threshold", 0.95),
        ("an error below 5 %", "threshold", 0.95),
        ("version two", "version", 2),
        ("v3", "version", 3),
        ("for half an hour", "duration", 1800),
        ("for 2 hours", "duration", 7200),
        ("for less than $5", "money", 5),
        ("a slot", "count", 1),
        ("all free slots", "count", "free"),
        ("on a thousand GPUs", "count", 1000),
        ("two hundred and five slots", "count", 205),
        ("with 5k slots", "count", 5000),
        ("fünfhundert Slots", "count", 500),
        ("cinq mille slots", "count", 5000),
        ("一千个槽位", "count", 1000),
        ("on minus two slots", "count", -2),
        ("on half a slot", "count", 0.5),
        ("auf einen halben Slot", "count", 0.5),
        ("ninety-five point five percent", "threshold", 0.955),
        ("zero point nine five", "threshold", 0.95),
        ("two slots if über 90 Prozent", "threshold", 0.9),
    ],
)
def test_kind_and_value(text: str, kind: str, value: object) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    ("code", "word"),
    [("en", "ninety five"), ("de", "funfundneunzig"), ("fr", "quatre vingt quinze"), ("it", "novantacinque"), ("nl", "vijfennegentig")],
)
def test_number_words_are_composed(code: str, word: str) -> None:
    assert number_words(code)[word] == 95
