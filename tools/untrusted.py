"""Text from outside, kept in one field and cut to a length: it is shown and searched, never followed."""

import re

CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def cut(text: str, characters_max: int) -> str:
    """Return the end of a text, without control characters, at most so long."""
    clean = CONTROL.sub("", text)
    return clean if len(clean) <= characters_max else "…" + clean[1 - characters_max :]
