"""Runs: one request with all that came of it, projected from its events in the transaction that writes them."""

from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound
from factory_infra.records.control_tables import RunRow
from factory_infra.records.models import NewEvent

OPEN = ("thinking", "proposed", "approved", "running", "paused")
PAGE_MAX = 500

Payload = dict[str, JsonValue]


class Run(BaseModel):
    """One run: how far it went and where it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str | None
    thread_id: str
    actor: str
    title: str
    state: str
    model_calls: int
    tokens: int
    tool_calls: int
    steps_done: int
    code: str
    reason: str
    started_at: datetime
    ended_at: datetime | None
    bounds: dict[str, JsonValue]

    @property
    def open(self) -> bool:
        """Whether it may still do something."""
        return self.state in OPEN


class Runs:
    """Reads runs. A tenant of None means an administrator, who sees all; another tenant's run gives the same NotFound as none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, run_id: str, tenant: str | None) -> Run:
        """Return a run. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(RunRow, run_id)
        if row is None or (tenant is not None and row.tenant != tenant):
            raise NotFound(f"There is no run {run_id}.", remedy="List your runs with GET /v1/runs.")
        return Run.model_validate(row)

    async def list(self, tenant: str | None, *, state: str | None = None, limit: int = 50, offset: int = 0) -> list[Run]:
        """Return runs, newest first; the state `open` means every run that may still do something."""
        query = select(RunRow).order_by(RunRow.started_at.desc(), RunRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(RunRow.tenant == tenant)
        if state is not None:
            query = query.where(RunRow.state.in_(OPEN) if state == "open" else RunRow.state == state)
        async with self._database.transaction() as session:
            return [Run.model_validate(row) for row in await session.scalars(query)]


async def project(session: AsyncSession, event: NewEvent) -> None:
    """Move the run of an event that was written just now; an event without a run moves nothing."""
    move = MOVES.get(event.kind)
    if not event.run_id or move is None:
        return
    row = await session.get(RunRow, event.run_id, with_for_update=True)
    if row is None:
        row = RunRow(id=event.run_id, tenant=event.tenant, thread_id=event.thread_id, actor="", title="", state="thinking")
        row.model_calls = row.tokens = row.tool_calls = row.steps_done = 0
        row.code = row.reason = ""
        row.started_at, row.bounds = utcnow(), {}
        session.add(row)
    move(row, event.payload)


def _asked(row: RunRow, payload: Payload) -> None:
    row.actor, row.title, row.state = str(payload["actor"]), str(payload["text"])[:200], "thinking"


def _called(row: RunRow, payload: Payload) -> None:
    tokens = payload.get("tokens")
    row.model_calls += 1
    row.tokens += int(tokens) if isinstance(tokens, int | float) else 0


def _read(row: RunRow, payload: Payload) -> None:
    row.tool_calls += 1


def _refused(row: RunRow, payload: Payload) -> None:
    row.code, row.reason = str(payload["code"])[:64], str(payload["reason"])[:500]


def _turned(row: RunRow, payload: Payload) -> None:
    if payload.get("plan_id") is None:
        row.state, row.ended_at = "refused" if row.code else "done", utcnow()


def _to(state: str) -> Callable[[RunRow, Payload], None]:
    def move(row: RunRow, payload: Payload) -> None:
        row.state = state

    return move


def _proposed(row: RunRow, payload: Payload) -> None:
    plan = payload["plan"]
    row.state = row.state if row.state == "paused" else "proposed"  # an edit of a held plan leaves it held
    if isinstance(plan, dict):
        verdict = plan.get("verdict")
        row.actor = row.actor or str(plan.get("requested_by", ""))[:128]
        row.title = row.title or str(plan.get("title", ""))[:200]
        bounds = verdict.get("bounds") if isinstance(verdict, dict) else None
        row.bounds = bounds if isinstance(bounds, dict) else row.bounds


def _stepped(row: RunRow, payload: Payload) -> None:
    row.steps_done += 1


def _ended(row: RunRow, payload: Payload) -> None:
    row.state, row.ended_at = str(payload["state"]), utcnow()
    row.code, row.reason = str(payload.get("code") or "")[:64], str(payload.get("reason") or "")[:500]


MOVES: dict[str, Callable[[RunRow, Payload], None]] = {
    "message.user": _asked,
    "model.called": _called,
    "tool.returned": _read,
    "refusal": _refused,
    "turn.done": _turned,
    "plan.proposed": _proposed,
    "plan.started": _to("running"),
    "plan.paused": _to("paused"),
    "plan.resumed": _to("running"),
    "step.done": _stepped,
    "plan.ended": _ended,
}
"""What each kind of event says of its run."""
