"""Lineage: what was made from what, from data over training to endpoints and invoices, as edges of a graph."""

import re
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Literal, get_args

from pydantic import BaseModel, Field
from sqlalchemy import delete, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput
from factory_infra.paas.catalog.tables import EdgeRow

How = Literal["read", "made", "joined", "trained", "evaluated", "registered", "deployed", "ran", "billed", "planned"]
HOWS: tuple[How, ...] = get_args(How)
Direction = Literal["up", "down", "both"]
NODE = re.compile(r"^[a-z_]{1,40}(/[^/\x00-\x1f]{1,200}){1,5}$")
NODE_LENGTH_MAX = 300
DEPTH_MAX = 12
EDGES_MAX = 2_000


class Edge(BaseModel):
    """`target` was made from `source`, or runs on it."""

    source: str
    target: str
    how: How
    at: datetime


class Node(BaseModel):
    """A thing in the graph, and how many steps it is away: above, what it was made from, is negative."""

    id: str
    kind: str
    distance: int


class Graph(BaseModel):
    """What is around a thing."""

    start: str
    nodes: list[Node]
    edges: list[Edge]
    truncated: bool = Field(default=False, description="There is more: ask for it from one of the outermost nodes.")


def node(kind: str, *parts: str | int) -> str:
    """The name of a thing in the graph: its kind and what names it. Raises InvalidInput for what cannot be one."""
    return checked("/".join([kind, *(str(part) for part in parts)]))


def checked(name: str) -> str:
    """A name that can be a node's. Raises InvalidInput."""
    if len(name) > NODE_LENGTH_MAX or not NODE.fullmatch(name):
        raise InvalidInput(
            f"'{name[:100]}' names no thing of the lineage.", code="node_invalid", remedy="Write KIND/NAME, such as model/vision/reader/3."
        )
    return name


class Lineage:
    """Keeps edges. A team sees those of its own history, whoever else used the same shared data."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def link(self, tenant: str, source: str, target: str, how: How, session: AsyncSession | None = None) -> None:
        """Note that `target` was made from `source`, or runs on it. Idempotent: the first note stands. Raises InvalidInput.

        Args:
            tenant: whose history it is.
            source: see `node`.
            target: see `node`.
            how: in one word.
            session: a transaction of the caller's, in which it happens.
        """
        if how not in HOWS:
            raise InvalidInput(f"'{how}' is no way of being made.", remedy=f"Use one of: {', '.join(HOWS)}.")
        row = {"tenant": tenant, "source": checked(source), "target": checked(target), "how": how, "at": utcnow()}
        if source == target:
            raise InvalidInput(f"'{source}' cannot be made from itself.", code="node_invalid", remedy="Link two things.")
        statement = insert(EdgeRow).values(row).on_conflict_do_nothing()
        async with nullcontext(session) if session is not None else self._database.transaction() as own:
            await own.execute(statement)

    async def around(self, tenant: str | None, start: str, direction: Direction = "both", depth: int = 6) -> Graph:
        """Return what is above a thing, below it, or both; each node once, at its least distance, cycles or not.

        Args:
            tenant: whose history; None for every team's.
            start: see `node`. One that nothing is known of stands alone.
            direction: up to what it was made from, down to what came of it.
            depth: how many steps, 1 to 12.
        """
        if not 1 <= depth <= DEPTH_MAX:
            raise InvalidInput(f"The depth is 1 to {DEPTH_MAX}.", remedy="Ask again from an outer node for more.")
        walk = _Walk(checked(start))
        async with self._database.transaction() as session:
            for way in ("up", "down"):
                if direction in (way, "both"):
                    await walk.go(session, tenant, way, depth)
        return walk.graph()

    async def forget_team(self, tenant: str) -> None:
        """Forget a team's history."""
        async with self._database.transaction() as session:
            await session.execute(delete(EdgeRow).where(EdgeRow.tenant == tenant))


class _Walk:
    """A walk outward, one round of all that was reached at a time."""

    def __init__(self, start: str) -> None:
        self._start = start
        self._distances = {start: 0}
        self._edges: dict[tuple[str, str], Edge] = {}
        self._truncated = False

    async def go(self, session: AsyncSession, tenant: str | None, way: str, depth: int) -> None:
        """Walk up or down."""
        near, far = (EdgeRow.target, EdgeRow.source) if way == "up" else (EdgeRow.source, EdgeRow.target)
        reached, sign = {self._start}, -1 if way == "up" else 1
        front: Sequence[str] = [self._start]
        for step in range(1, depth + 2):
            mine = EdgeRow.tenant == tenant if tenant is not None else true()
            room = EDGES_MAX - len(self._edges)
            rows = list(await session.scalars(select(EdgeRow).where(mine, near.in_(front)).order_by(EdgeRow.at, far).limit(room + 1)))
            if step > depth or len(rows) > room:
                self._truncated |= any(getattr(row, far.key) not in reached for row in rows) or len(rows) > room
                if step > depth:
                    return
            front = self._note(rows[:room], far.key, reached, sign * step)
            if not front:
                return

    def _note(self, rows: Sequence[EdgeRow], far: str, reached: set[str], distance: int) -> list[str]:
        found: deque[str] = deque()
        for row in rows:
            self._edges[(row.source, row.target)] = Edge.model_validate(row, from_attributes=True)
            other = getattr(row, far)
            if other not in reached:
                reached.add(other)
                found.append(other)
                self._distances.setdefault(other, distance)
        return list(found)

    def graph(self) -> Graph:
        """What was reached."""
        nodes = [Node(id=name, kind=name.partition("/")[0], distance=away) for name, away in self._distances.items()]
        nodes.sort(key=lambda each: (each.distance, each.id))
        return Graph(start=self._start, nodes=nodes, edges=list(self._edges.values()), truncated=self._truncated)
