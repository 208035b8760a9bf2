"""Splits what a connection brings into server-sent events, without keeping more than the piece that is not whole yet."""

EVENT_BYTES_MAX = 8_000_000


class EventTooLarge(ValueError):
    """One event is larger than anything that a model says."""


class Events:
    """Feed it reads, get the data of whole events. Comments, names and ids of events are skipped; several data lines are joined."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._seen = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that this read completed. Raises EventTooLarge."""
        if b"\r" in data:
            data = data.replace(b"\r", b"")  # JSON has no bare CR: it is only ever part of a line's end
        rest = self._rest
        if rest:
            rest += data
            # Only the new part is searched, one byte earlier: the blank line may straddle two reads.
            end = rest.rfind(b"\n\n", max(self._seen - 1, 0))
            if end < 0:
                return self._kept(rest)
            data = bytes(rest[: end + 2])
            del rest[: end + 2]
        elif not data.endswith(b"\n\n"):
            end = data.rfind(b"\n\n")
            rest += data[end + 2 :] if end >= 0 else data
            data = data[: end + 2] if end >= 0 else b""
        self._seen = len(rest)
        return [payload for event in data.split(b"\n\n") if event and (payload := _data_of(event)) is not None]

    def end(self) -> list[bytes]:
        """The connection has ended: the data of a last event that no blank line follows."""
        payload = _data_of(bytes(self._rest).strip(b"\n"))
        self._rest.clear()
        return [] if payload is None else [payload]

    def _kept(self, rest: bytearray) -> list[bytes]:
        self._seen = len(rest)
        if len(rest) > EVENT_BYTES_MAX:
            raise EventTooLarge
        return []


def _data_of(event: bytes) -> bytes | None:
    """The data of one event; None where it has none."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
