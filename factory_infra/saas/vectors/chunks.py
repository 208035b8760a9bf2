"""Cuts a document into parts that a model of meaning reads whole, at headings, paragraphs and sentences."""

import re

CHUNK_CHARACTERS = 700
CHUNKS_MAX = 120
"""Parts of one document that are searched by meaning; its words are all searched."""
HEADING = re.compile(r"^#{1,6}\s+(.*)$")
SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")


def chunks(text: str) -> list[str]:
    """Return the parts in their order, each under the heading that it stands under."""
    parts: list[str] = []
    heading, held = "", ""
    for paragraph in re.split(r"\n\s*\n|(?=^#{1,6}\s)", text, flags=re.MULTILINE):
        first, _, rest = paragraph.strip().partition("\n")
        if found := HEADING.match(first):
            parts.append(_under(heading, held))
            heading, held, paragraph = found.group(1).strip(), "", rest
        for piece in _pieces(" ".join(paragraph.split())):
            if held and len(held) + len(piece) > CHUNK_CHARACTERS:
                parts.append(_under(heading, held))
                held = ""
            held = f"{held} {piece}".strip()
    parts.append(_under(heading, held))
    return [part for part in parts if part][:CHUNKS_MAX]


def _under(heading: str, words: str) -> str:
    return f"{heading}: {words}" if heading and words else words or heading


def _pieces(paragraph: str) -> list[str]:
    """Sentences, and of endless ones pieces."""
    return [
        sentence[start : start + CHUNK_CHARACTERS]
        for sentence in SENTENCE.split(paragraph)
        for start in range(0, len(sentence), CHUNK_CHARACTERS)
    ]
