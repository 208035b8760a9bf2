"""Logs to count: drawn from a seed, with what real logs have too (late events, ends without a beginning, numbers that are none)."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.paas.kpis.facts import LogEvent

BEGIN = datetime(2026, 3, 1, 5, 17, 33, 123457, tzinfo=UTC)
TEAMS = ("vision", "language", "audit-victim", "platform", None)
Payload = dict[str, JsonValue]


class Draw:
    """Draws one log."""

    def __init__(self, seed: int, days: float = 5) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a test's own log
        self.seconds = days * 86_400
        self.events: list[LogEvent] = []

    def moment(self, after: datetime = BEGIN, within: float | None = None) -> datetime:
        return after + timedelta(microseconds=self.random.randrange(int((within or self.seconds) * 1e6) or 1))

    def add(self, subject: str, what: str, at: datetime, payload: Payload) -> None:
        tenant = self.random.choice(TEAMS)
        self.events.append(LogEvent(f"{subject}/{what.rpartition('.')[2]}", what, tenant, payload, at))

    def number(self, most: int) -> JsonValue:
        odd: list[JsonValue] = [-1, "7", None, True, 2.5, 10**19, {}]
        return self.random.choice(odd) if self.random.random() < 0.05 else self.random.randrange(most)

    def word(self, *words: str) -> JsonValue:
        odd: list[JsonValue] = [*words, 7]
        return self.random.choice(odd) if self.random.random() < 0.05 else self.random.choice(words)

    def spans(self, count: int, noun: str, verbs: tuple[str, str], **fixed: Sequence[str]) -> None:
        """Beginnings and ends; some of either are missing, and some ends come before."""
        for each in range(count):
            begin = self.moment()
            end = self.moment(begin, 86_400) if self.random.random() < 0.9 else begin - timedelta(seconds=5)
            payload: Payload = {name: self.word(*words) for name, words in fixed.items()}
            payload |= {"slots": self.number(9), "provision_ms": self.number(90_000)}
            for verb, at in zip(verbs, (begin, end), strict=True):
                if self.random.random() < 0.9:
                    state = self.word("succeeded", "failed", "released")
                    self.add(f"{noun}-{each}", f"{noun}.{verb}", at, payload | {"state": state})

    def points(self, count: int, what: str, **fixed: Sequence[str]) -> None:
        """Things that happen."""
        fields = ("samples", "busy", "provision_ms", "ok", "failed", "attempts", "refused", "cycle_seconds", "amount_nano", "slot_ms")
        for each in range(count):
            payload: Payload = {name: self.word(*words) for name, words in fixed.items()}
            self.add(f"{what}-{each}", what, self.moment(), payload | {name: self.number(5000) for name in fields})


def drawn(seed: int, size: int = 30, days: float = 5) -> list[LogEvent]:
    """A log with every kind of event in it, in no order."""
    draw = Draw(seed, days)
    place = {"kind": ("gpu", "cpu"), "pool": ("a", "b/c")}
    node = {"pool": ("a", "b"), "node": ("n1", "n2")}
    draw.spans(size, "lease", ("begun", "ended"), **place)
    draw.spans(size, "job", ("started", "ended"), **place)
    draw.spans(size // 5, "pool", ("grown", "shrunk"), **place)
    draw.spans(size // 3, "node", ("seen", "retired"), **node)
    draw.spans(size, "incident", ("failed", "mended"), **node)
    draw.spans(size // 3, "team", ("made", "closed"))
    draw.spans(size, "deployment", ("live", "rolled_back"))
    for kind in ("node.sampled", "cluster.ready", "cluster.refused", "lease.refused", "surface.watched", "surface.probed"):
        draw.points(size, kind, pool=("a", "b"), surface=("api", "gateway"))
    for kind in (
        "usage.settled",
        "isolation.audited",
        "model.live",
        "deployment.failed",
        "deployment.aborted",
        "models.used",
        "plan.closed",
    ):
        draw.points(size, kind, currency=("EUR",), subject=("cpu", "gpu:H100"), state=("done", "failed"), hands=("team", "platform"))
    renamed = {"incident.failed": "node.failed", "incident.mended": "node.mended"}
    events = [each._replace(kind=renamed.get(each.kind, each.kind)) for each in draw.events]
    draw.random.shuffle(events)
    return events


async def write(database: Database, events: Sequence[LogEvent]) -> None:
    """Append to the log, in one transaction."""
    rows = [
        {"key": each.key, "tenant": each.tenant, "kind": each.kind, "payload": dict(each.payload), "at": each.at.isoformat()}
        for each in events
    ]
    async with database.transaction() as session:
        await session.execute(APPEND, {"rows": json.dumps(rows)})


APPEND = text(
    "INSERT INTO events (key, tenant, thread_id, plan_id, kind, payload, at) SELECT key, tenant, '', '', kind, payload, at "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS told (key text, tenant text, kind text, payload jsonb, at timestamptz)"
)
