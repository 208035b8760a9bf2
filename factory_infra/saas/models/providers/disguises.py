"""Finds words under disguises: other alphabets, invisible letters, encodings. The obedient model reads what is hidden as well."""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from urllib.parse import unquote

HOMOGLYPHS = str.maketrans("аеорсухіјѕԁһԛԝκνορτυχΑΒΕΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТУХ", "aeopcyxijsdhqwkvoptuxABEHIKMNOPTYXABEKMHOPCTYX")
TAGS = {0xE0000 + code: code for code in range(0x20, 0x7F)}
INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]"
)
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){12,}")
SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*|]{1,3}){5,}\w(?!\w)")
ESCAPED = re.compile(r"\\{1,2}u([0-9a-fA-F]{4})|\\{1,2}x([0-9a-fA-F]{2})")
MARKUP = re.compile(r"[*_`~#>|]+")
HYPHENED = re.compile(r"(?<![\w-])[A-Za-z0-9.]+(?:[-_][A-Za-z0-9.]+){2,}")
ASCII = re.compile(r"[^\x00-\x7f]")
READABLE = 0.85


def revealed(text: str) -> list[str]:
    """Return a text in every reading: plain first, then decoded ones, each once."""
    plain = uncovered(text)
    readings = [
        plain,
        plain.translate(HOMOGLYPHS),
        *decoded(plain),
        MARKUP.sub("", plain),
        codecs.decode(ASCII.sub(" ", plain), "rot13"),
        plain[::-1],
    ]
    readings += [unspaced(match) for match in SPACED.findall(plain)]
    readings += [match.replace("-", " ") for match in HYPHENED.findall(plain)]
    return list(dict.fromkeys(readings))


def uncovered(text: str) -> str:
    """One form of each letter, tag letters as letters, nothing invisible, escapes and entities resolved."""
    opened = ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    opened = html.unescape(unquote(opened)).translate(TAGS)
    folded = unicodedata.normalize("NFKC", INVISIBLE.sub("", opened))
    return INVISIBLE.sub("", folded).replace("\\n", "\n").replace("\\t", " ").replace('\\"', '"')


def decoded(text: str) -> list[str]:
    """What stands in base64 or in hexadecimal, where it reads as text."""
    found = [base64_text(match) for match in BASE64.findall(text)]
    found += [hexadecimal_text(match) for match in HEXADECIMAL.findall(text)]
    return [each for each in found if each]


def base64_text(blob: str) -> str:
    """Decode one blob; empty where it is none."""
    try:
        raw = base64.b64decode(blob.replace("-", "+").replace("_", "/").rstrip("=") + "=" * (-len(blob.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return readable(raw)


def hexadecimal_text(blob: str) -> str:
    """Decode one blob; empty where it is none."""
    digits = re.sub(r"[ :]", "", blob)
    return readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def readable(raw: bytes) -> str:
    """Bytes as text if nearly all of it can be read."""
    text = raw.decode("utf-8", errors="replace")
    letters = sum(char.isprintable() and char != "\ufffd" for char in text)
    return uncovered(text) if text and letters / len(text) >= READABLE else ""


def unspaced(text: str) -> str:
    """'l e a s e   4': letters apart are joined, wider gaps are spaces."""
    separator = text[1]
    words = re.split(rf"{re.escape(separator)}{{2,}}", text)
    return " ".join(word.replace(separator, "") for word in words)
