"""Byte offsets over an API that has none.

A job's log is a row of segments: one for each start of each of its pods, by start and then by index. An offset is the segment's number
times 2^34 and the byte in it, so that the first start's offsets are plain bytes. A pod that still exists is asked for its log from the
beginning, for so many bytes, and what was read before is skipped; one that is gone left the end of its log with its carrier. A node
keeps only the newest file of a log that it rotates: that is told in the log itself, where it shows.
"""

from dataclasses import dataclass, field

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.foundation.pools.kubernetes import Kubernetes, Params
from factory_infra.iaas.jobs.models import LogChunk
from factory_infra.iaas.jobs.providers.kubernetes_objects import MAIN, Seen
from factory_infra.iaas.jobs.providers.reading import whole_characters

SEGMENT_BITS = 34
SEGMENT = 1 << SEGMENT_BITS
AGAIN = "--- attempt {attempt} ---\n"
GONE = "[the log of start {attempt} is gone with its pod]\n"
ROTATED = b"[the node rotated this log; what stood here is gone]\n"
CUT = "[the first {count} bytes are gone with the pod]\n"
STAMP_BYTES = 30
LINES_OF_A_TAIL_MAX = 10_000
FIRSTS_MAX = 2000


@dataclass(frozen=True)
class Segment:
    """One start of one pod: the line that tells of it, and the pod's name where it still exists, or what is left of its log."""

    number: int
    pod: str = ""
    ended: bool = True
    left: bytes = b""
    head: bytes = b""


@dataclass
class _Turn:
    """What is known of a pod's log: when its first line was written, how far we have read, and what was rotated away before it."""

    first: str = ""
    read_to: int = 0
    base: int = 0


@dataclass
class JobLogs:
    """Reads logs of one cluster."""

    api: Kubernetes
    _turns: dict[str, _Turn] = field(default_factory=dict)

    async def chunk(self, namespace: str, seen: Seen, index: int | None, offset: int, limit: int) -> LogChunk:
        """Return a piece of a job's log, or of one task's. `complete` once the job has ended and nothing follows."""
        parts = segments(seen, index)
        over = ended_for_good(seen, index)
        number, byte = divmod(max(offset, 0), SEGMENT)
        data = b""
        while True:
            part = next((each for each in parts if each.number >= number), None)
            if part is None:
                return LogChunk(text=data.decode(errors="replace"), next_offset=number * SEGMENT + byte, complete=over)
            if part.number > number:
                number, byte = part.number, 0
            piece, byte, at_end = await self._read(namespace, part, byte, limit - len(data))
            data += piece
            last = part is parts[-1]
            if last or not (at_end and part.ended) or len(data) >= limit:
                break
            number, byte = part.number + 1, 0
        done = over and last and at_end and part.ended
        if not done:
            whole = whole_characters(data)
            data, byte = data[:whole], byte - (len(data) - whole)
        return LogChunk(text=data.decode(errors="replace"), next_offset=number * SEGMENT + byte, complete=done)

    async def tail(self, namespace: str, seen: Seen, index: int | None, limit: int) -> str:
        """Return whole lines from the end of the newest start's log, at most so many bytes."""
        parts = segments(seen, index)
        if not parts:
            return ""
        part, cut = parts[-1], False
        if part.pod:
            kept = b""
            lines = min(max(limit, 1), LINES_OF_A_TAIL_MAX)
            try:
                async with self.api.stream(path_of(namespace, part.pod), {"container": MAIN, "tailLines": lines}) as pieces:
                    async for piece in pieces:
                        cut = cut or len(kept) + len(piece) > limit
                        kept = (kept + piece)[-limit:]
            except (NotFound, InvalidInput):
                return ""
        else:
            cut, kept = len(part.left) > limit, part.left[-limit:]
        text = kept.decode(errors="replace")
        _, newline, rest = text.partition("\n")
        return rest if cut and newline and rest else text

    async def _read(self, namespace: str, part: Segment, byte: int, limit: int) -> tuple[bytes, int, bool]:
        """Read from a byte of a segment; return the bytes, where they end, and whether that was all there is now."""
        front = part.head if part.pod else part.head + part.left
        piece = front[byte : byte + limit]
        if not part.pod or len(piece) == limit:
            return piece, byte + len(piece), not part.pod and byte + limit >= len(front)
        length = len(part.head)
        try:
            data, to, at_end = await self._read_pod(namespace, part.pod, max(byte - length, 0), limit - len(piece))
            return piece + data, to + length, at_end
        except (NotFound, InvalidInput):
            # Not begun, or gone between two questions: nothing now.
            return piece, byte + len(piece), True

    async def _read_pod(self, namespace: str, pod: str, byte: int, limit: int) -> tuple[bytes, int, bool]:
        turn = await self._turn(namespace, pod)
        # What was rotated away is skipped; a notice stands in front of what is there now.
        notice, byte = ROTATED if turn.base else b"", max(byte, turn.base)
        begin = byte - turn.base
        data = notice[begin : begin + limit]
        skip, room = max(begin - len(notice), 0), limit - len(data)
        passed, found = 0, b""
        async with self.api.stream(path_of(namespace, pod), {"container": MAIN, "limitBytes": skip + room + 1}) as pieces:
            async for piece in pieces:
                found += piece[max(skip - passed, 0) :]
                passed += len(piece)
        if passed < skip:
            # It is shorter than what was read of it before: rotated while nobody here watched.
            turn.base = byte
            return b"", byte, False
        data += found[:room]
        turn.read_to = max(turn.read_to, byte + len(data))
        return data, byte + len(data), len(found) <= room

    async def _turn(self, namespace: str, pod: str) -> _Turn:
        """See whether the log begins with another line than before: then it was rotated."""
        turn = self._turns.setdefault(pod, _Turn())
        if len(self._turns) > FIRSTS_MAX:
            del self._turns[next(iter(self._turns))]
        params: Params = {"container": MAIN, "limitBytes": STAMP_BYTES, "timestamps": "true"}
        stamp = b""
        async with self.api.stream(path_of(namespace, pod), params) as pieces:
            async for piece in pieces:
                stamp += piece
        first = stamp.decode(errors="replace")
        if turn.first and first and first != turn.first:
            turn.base = turn.read_to
        turn.first = first or turn.first
        return turn


def path_of(namespace: str, pod: str) -> str:
    """Where a pod's log is."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}/log"


def segments(seen: Seen, index: int | None) -> list[Segment]:
    """The starts of a job, or of one of its tasks, in order."""
    there = {pod.metadata.name: pod for pod in [*seen.before, *seen.pods]}
    width = seen.record.width if index is None else 1
    indices = range(seen.record.width) if index is None else (index,)
    found: list[Segment] = []
    for place, each in enumerate(indices):
        for attempt in range(1, seen.attempt(each) + 1):
            number = (attempt - 1) * width + place
            name = seen.out.get(f"t{each}.a{attempt}", "")
            pod = there.get(name)
            head = AGAIN.format(attempt=attempt).encode() if attempt > 1 else b""
            if pod is not None:
                found.append(Segment(number, pod=name, ended=pod.ended, head=head))
            else:
                found.append(Segment(number, left=left_of(seen, each, attempt), head=head))
    return sorted(found, key=lambda segment: segment.number)


def left_of(seen: Seen, index: int, attempt: int) -> bytes:
    """What is left of the log of a pod that is gone."""
    kept = seen.out.get(f"t{index}.l{attempt}")
    if kept is None:
        return GONE.format(attempt=attempt).encode()
    before = int(seen.out.get(f"t{index}.b{attempt}", "0") or 0)
    return (CUT.format(count=before) if before else "").encode() + kept.encode()


def ended_for_good(seen: Seen, index: int | None) -> bool:
    """Whether no line can follow."""
    if any(not pod.ended for pod in seen.pods_of(index)):
        return False
    if seen.record.end is not None:
        return True
    verdict = seen.job is not None and (seen.job.succeeded or seen.job.failed)
    if index is None or verdict:
        return bool(verdict)
    pods = seen.pods_of(index)
    return any(pod.status.phase == "Succeeded" for pod in pods)
