"""What a thread keeps: bounded, and never text from outside."""

from agents.planning.interface import Pending
from agents.state import RECENT_MAX, Memory, TurnInput

RECENT_CHARACTERS_MAX = 500


def remember(turn: TurnInput, pending: Pending | None) -> Memory:
    """Return the memory after a turn: what is open, and the asker's last few messages, shortened."""
    recent = [*turn.memory.recent, turn.text[:RECENT_CHARACTERS_MAX]][-RECENT_MAX:]
    return Memory(pending=pending, recent=recent)
