"""Changes the policy file: only from the text that its writer has read, so that of two people who edit one policy neither loses a word."""

import hashlib
from pathlib import Path

from pydantic import BaseModel, Field

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.file_locks import hold
from factory_infra.settings import Settings
from tools.policy_file import BYTES_MAX, SHIPPED, PolicyBroken, parse_policy, policy_path, source_of

BEFORE = ".before"
"""What the name of the file before the last change ends with."""
SHOWN_AS = Path("policy.yaml")
"""How a text that was sent is named where it cannot be read: the caller knows no path of this machine."""


class PolicyText(BaseModel):
    """The policy as it is written."""

    text: str
    revision: str = Field(description="SHA-256 of the text: name it in a change, and nobody's is overwritten.")
    source: str = Field(description="Which file counts: shipped, home, or LINESHAFT_POLICY.")


def policy_text(settings: Settings) -> PolicyText:
    """Return the file that counts, also one that cannot be used. Raises PolicyBroken where it cannot be read at all."""
    path = policy_path(settings)
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyBroken("The policy file cannot be read as text.", remedy="Look at the file where it is kept, and mend it.") from error
    return PolicyText(text=text, revision=revision_of(text), source=source_of(settings))


def write_policy(settings: Settings, text: str, revision: str) -> PolicyText:
    """Put a text in the place of the one of a revision, whole or not at all; it counts at once. The text before is kept beside it.

    Raises InvalidInput `policy_invalid` for a text that is no policy, Conflict `revision_stale` where the file is another one by now,
    and Conflict `policy_read_only` where it is kept elsewhere. The shipped file is never changed: a change of it is the home's own.
    """
    check_policy(text)
    target = settings.policy or settings.home / SHOWN_AS
    settings.home.mkdir(parents=True, exist_ok=True)
    with hold(settings.home / ".policy.lock"):
        now = policy_text(settings)
        if now.revision != revision:
            raise Conflict(
                "The policy was changed meanwhile: it is not the text that you read any more.",
                remedy="Read it again, and make your change to that.",
                code="revision_stale",
            )
        if target.is_symlink() or target == SHIPPED:
            raise read_only()
        replace_with(target, text, now.text)
    return PolicyText(text=text, revision=revision_of(text), source=source_of(settings))


def revision_of(text: str) -> str:
    """The digest of a text: comments count, for they are somebody's words too."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_policy(text: str) -> None:
    """Raise InvalidInput for a text that is no policy."""
    if len(text.encode()) > BYTES_MAX:
        raise InvalidInput(f"The policy is larger than {BYTES_MAX} bytes.", remedy="Say less.", code="policy_invalid")
    try:
        parse_policy(text, SHOWN_AS)
    except PolicyBroken as error:
        raise InvalidInput(error.reason, remedy="Mend it and send it again; nothing was changed.", code="policy_invalid") from error


def replace_with(target: Path, text: str, before: str) -> None:
    """Write a file whole or not at all, and keep the one before. Raises Conflict where that is not allowed."""
    draft = target.with_name(f".{target.name}.new")
    try:
        if target.exists():
            target.with_name(target.name + BEFORE).write_bytes(before.encode())
        draft.write_bytes(text.encode())
        draft.replace(target)
    except OSError as error:
        raise read_only() from error


def read_only() -> Conflict:
    """The policy is not this installation's to write."""
    return Conflict("The policy file cannot be written here.", remedy="Change it where it is kept.", code="policy_read_only")
