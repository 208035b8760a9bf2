"""How quick a target has been lately: exponentially weighted means that forget."""

from collections.abc import Callable

WEIGHT = 0.2
"""Of the newest reading: about the last ten count."""
STALE_SECONDS = 60.0


class Mean:
    """An exponentially weighted moving mean. Not read for a while, it is unknown again: so a slow target gets a new chance."""

    __slots__ = ("_at", "_clock", "_value")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._value: float | None = None
        self._at = 0.0

    @property
    def value(self) -> float | None:
        """The mean, or None where it is unknown."""
        return None if self._value is None or self._clock() - self._at > STALE_SECONDS else self._value

    def read(self, value: float) -> None:
        """Take a reading."""
        known = self.value
        self._value = value if known is None else known + WEIGHT * (value - known)
        self._at = self._clock()

    def assume(self, value: float) -> None:
        """Take a value until the first reading: of those that ask in the meantime not all shall be sent where nothing is known."""
        if self.value is None:
            self._value, self._at = value, self._clock()


class Pulse:
    """One target's readings."""

    __slots__ = ("first_seconds", "speed", "tokens_out", "whole_seconds")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.first_seconds = Mean(clock)
        """Of streams: from the call to the first piece."""
        self.whole_seconds = Mean(clock)
        """Of calls that are answered as a whole."""
        self.speed = Mean(clock)
        """Tokens out in a second, over whole calls."""
        self.tokens_out = Mean(clock)

    def waiting(self, *, stream: bool) -> Mean:
        """How long a client waits before it sees anything."""
        return self.first_seconds if stream else self.whole_seconds

    def ended(self, seconds: float, tokens_out: int) -> None:
        """Read a call that ended well."""
        self.tokens_out.read(tokens_out)
        if seconds > 0 and tokens_out > 0:
            self.speed.read(tokens_out / seconds)
