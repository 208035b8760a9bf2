"""Logs of CloudWatch as one text with byte offsets: streams one after the other, and in each its events as lines."""

from typing import cast

from factory_infra.errors import NotFound
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.iaas.jobs.providers.aws_engine import Stream

EVENTS_MAX = 10_000
TAIL_EVENTS = 1000
Mark = tuple[int, str]
"""A byte offset in a stream, and the token with which reading goes on there; empty at the start."""


class Piece:
    """What was read from an offset.

    Attributes:
        data: the bytes.
        at_end: whether nothing more is there now.
        last_stream_bytes: how long the last stream is, once it was read to its end; else None.
    """

    def __init__(self) -> None:
        self.data = b""
        self.at_end = False
        self.last_stream_bytes: int | None = None


class CloudLogs:
    """Reads one group of logs. Offsets are found by marks that this process keeps; a fresh process reads from the start once.

    A stream begins to be told only when the one before it is over: else what was told would move. So of a job over several nodes
    the first node's lines are seen at once, and those of the others when it has ended.

    Args:
        access: the pool's door to AWS.
        group: the group's name.
    """

    def __init__(self, access: AwsAccess, group: str) -> None:
        self._access = access
        self._group = group
        self._marks: dict[str, list[Mark]] = {}
        self._lengths: dict[str, int] = {}

    async def read(self, streams: list[Stream], offset: int, limit: int) -> Piece:
        """Read at most so many bytes from an offset in the whole."""
        piece, start = Piece(), 0
        for number, stream in enumerate(streams):
            known = self._lengths.get(stream.name) if stream.over else None
            if known is not None and start + known <= offset and number < len(streams) - 1:
                start += known
                continue
            wanted = limit + 1 - len(piece.data)
            data, length = await self._read(stream.name, max(offset - start, 0), wanted)
            piece.data += data
            if length is None:
                break
            if stream.over:
                self._lengths[stream.name] = length
            piece.last_stream_bytes = length
            piece.at_end = number == len(streams) - 1
            if not stream.over or len(piece.data) > limit:
                break
            start += length
        piece.at_end = (piece.at_end or not streams) and len(piece.data) <= limit
        piece.data = piece.data[:limit]
        return piece

    async def tail(self, streams: list[Stream], limit: int) -> str:
        """Whole lines from the end, at most so many bytes."""
        data = b""
        for stream in reversed(streams):
            answer = await self._events(stream.name, startFromHead=False, limit=TAIL_EVENTS)
            data = lines_of(answer) + data
            if len(data) >= limit:
                break
        if len(data) <= limit:
            return data.decode(errors="replace")
        kept = data[-limit:]
        _, newline, rest = kept.partition(b"\n")
        return (rest if newline and rest else kept).decode(errors="replace")

    async def _read(self, stream: str, offset: int, limit: int) -> tuple[bytes, int | None]:
        """Bytes of one stream; and its length where its present end was reached."""
        marks = self._marks.setdefault(stream, [(0, "")])
        position, token = max((mark for mark in marks if mark[0] <= offset), key=lambda mark: mark[0])
        data = b""
        while True:
            answer = await self._events(stream, startFromHead=True, limit=EVENTS_MAX, **({"nextToken": token} if token else {}))
            page, following = lines_of(answer), str(answer.get("nextForwardToken") or "")
            data += page[max(offset - position, 0) :]
            position += len(page)
            if not page and (following == token or not following or not answer.get("events")):
                return data[:limit], position
            token = following
            if position > marks[-1][0]:
                marks.append((position, token))
            if len(data) >= limit:
                return data[:limit], None

    async def _events(self, stream: str, **arguments: object) -> Answer:
        try:
            return await self._access.read("logs", "get_log_events", logGroupName=self._group, logStreamName=stream, **arguments)
        except NotFound:
            return {}


def lines_of(answer: Answer) -> bytes:
    """The events of an answer, each a line."""
    events = cast("list[dict[str, object]]", answer.get("events") or [])
    return b"".join(str(event["message"]).encode() + b"\n" for event in events)
