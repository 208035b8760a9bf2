"""Asks an endpoint: the live version or, for its share, the candidate. What one server fails, another is asked."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, Unavailable
from factory_infra.paas.deployments.models import Prediction
from factory_infra.paas.deployments.providers.wire import Answer
from factory_infra.paas.deployments.routes import Candidate, Route, Routes
from factory_infra.paas.deployments.rows import check_rows, rows_only
from factory_infra.paas.deployments.serving import Server, Serving
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.tally import CANDIDATE, LIVE, Side, Tally

ASKS_MAX = 4
CANDIDATE_SECONDS_MAX = 5.0
"""So long a caller waits for a candidate; then the live version answers."""
ASIDE_MAX = 16
"""Mirrored and compared requests at one time; more are left out, and not counted."""
Table = list[list[float]]


@dataclass
class Tried:
    """What came of asking a candidate."""

    answer: Answer | None = None
    refused: bool = False
    """It said that the rows do not fit: whether that is its fault is known once the live version was asked."""
    milliseconds: float = 0.0


class Traffic:
    """Splits, mirrors and counts the requests that come through this process.

    Args:
        database: says where requests go.
        serving: the servers of a pool.
        revive: starts the live version's server again unless it is up.
        chance: a number from 0 up to 1.
    """

    def __init__(
        self,
        database: Database,
        serving: Callable[[str], Serving],
        revive: Callable[[EndpointRow], Awaitable[None]],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.routes = Routes(database)
        self.tally = Tally(database)
        self.keep: Callable[[Route, Table, Prediction], None] = kept_nowhere
        """Takes note of a request that the team consented to have kept."""
        self._serving = serving
        self._revive = revive
        self._chance = chance
        self._open: Counter[str] = Counter()
        self._waking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._aside: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up what is done aside, and write the counts."""
        await self.abandon()
        await self.tally.close()

    async def abandon(self) -> None:
        """End what is done aside; nobody waits for it."""
        aside = set(self._aside)
        for task in aside:
            task.cancel()
        if aside:
            await asyncio.wait(aside)

    async def predict(self, tenant: str, name: str, rows: Table) -> Prediction:
        """Ask an endpoint. Raises NotFound, InvalidInput, EffectFailed where no server can be started, Unavailable."""
        check_rows(rows)
        tried = Tried()
        silent: set[str] = set()
        for attempt in range(ASKS_MAX):
            route = await self.routes.get(tenant, name, anew=attempt > 0)
            rows_only(route.row)
            candidate = route.candidate
            if attempt == 0 and candidate is not None and not candidate.shadow and self._chance() < candidate.share:
                tried = await self._by_candidate(route, candidate, rows)
                if tried.answer is not None:
                    return self._told(route, candidate.model_name, candidate.version, rows, tried.answer)
            server = self._least_busy(route, silent)
            if server is None:
                await self._wake(route.row)
                silent.clear()
                continue
            try:
                answer = await self._by_live(route, server, rows)
            except Unavailable:
                silent.add(server.job_id)
                continue
            self._beside(route, rows, answer, tried)
            return self._told(route, route.row.model_name, route.row.version, rows, answer)
        raise Unavailable(f"Endpoint {name} does not answer.", remedy="Try again in a moment.", code="endpoint_down")

    async def feedback(self, tenant: str, name: str, told: "Feedback") -> None:
        """Count which answers of a version were right: what the gate of accuracy goes by. Raises NotFound, Conflict `feedback_stale`."""
        route = await self.routes.get(tenant, name)
        version, candidate = (told.model_name, told.version), route.candidate
        if candidate is not None and version == (candidate.model_name, candidate.version):
            side = candidate_side(route, candidate)
        elif version == (route.row.model_name, route.row.version):
            side = live_side(route)
        else:
            raise Conflict(
                f"Endpoint {name} answers no more with {told.model_name} version {told.version}.",
                remedy="Send feedback while the version answers.",
                code="feedback_stale",
            )
        counts = self.tally.of(side)
        counts.labelled += len(told.truth)
        counts.right += sum(said == true for said, true in zip(told.labels, told.truth, strict=True))

    def _told(self, route: Route, model_name: str, version: int, rows: Table, answer: Answer) -> Prediction:
        prediction = Prediction(model_name=model_name, version=version, labels=answer.labels, probabilities=answer.probabilities)
        if route.keep_share and self._chance() < route.keep_share:
            self.keep(route, rows, prediction)
        return prediction

    def _least_busy(self, route: Route, silent: set[str]) -> Server | None:
        """The server of the live version that has the fewest of our requests; none where all are silent or there is none."""
        up = [server for server in route.live if server.job_id not in silent]
        return min(up, key=lambda server: (self._open[server.job_id], self._chance()), default=None)

    async def _ask(self, route: Route, server: Server, rows: Table) -> Answer:
        self._open[server.job_id] += 1
        try:
            return await self._serving(route.row.pool).ask(route.row.tenant, server, rows)
        finally:
            self._open[server.job_id] -= 1
            if not self._open[server.job_id]:
                del self._open[server.job_id]

    async def _by_live(self, route: Route, server: Server, rows: Table) -> Answer:
        began = time.perf_counter()
        try:
            answer = await self._ask(route, server, rows)
        except Unavailable:
            self.tally.of(live_side(route)).failed(since(began))
            raise
        self.tally.of(live_side(route)).answered(since(began))
        return answer

    async def _by_candidate(self, route: Route, candidate: Candidate, rows: Table) -> Tried:
        """Ask the candidate; where it fails, that counts against it and the live version is asked."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(CANDIDATE_SECONDS_MAX):
                answer = await self._ask(route, candidate.server, rows)
        except InvalidInput:
            return Tried(refused=True, milliseconds=since(began))
        except (Unavailable, TimeoutError):
            self.tally.of(candidate_side(route, candidate)).failed(since(began))
            return Tried()
        self.tally.of(candidate_side(route, candidate)).answered(since(began))
        if candidate.compares and route.live:
            self._do_aside(self._compare(route, candidate, rows, answer))
        return Tried(answer=answer)

    def _beside(self, route: Route, rows: Table, answer: Answer, tried: Tried) -> None:
        """What the live version's answer means for the candidate: blame for rows that only it refuses, or a question of its own."""
        candidate = route.candidate
        if candidate is None:
            return
        if tried.refused:
            self.tally.of(candidate_side(route, candidate)).failed(tried.milliseconds)
        elif candidate.shadow and self._chance() < candidate.share:
            self._do_aside(self._mirror(route, candidate, rows, answer))

    def _do_aside(self, work: Coroutine[object, object, None]) -> None:
        if len(self._aside) >= ASIDE_MAX:
            work.close()
            return
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _mirror(self, route: Route, candidate: Candidate, rows: Table, live: Answer) -> None:
        """Ask a shadow for what the live version has answered, and compare."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(CANDIDATE_SECONDS_MAX):
                answer = await self._ask(route, candidate.server, rows)
        except (Unavailable, TimeoutError, InvalidInput):
            self.tally.of(candidate_side(route, candidate)).failed(since(began))
            return
        counts = self.tally.of(candidate_side(route, candidate))
        counts.answered(since(began))
        counts.compared += len(rows)
        counts.agreed += agreeing(answer, live)

    async def _compare(self, route: Route, candidate: Candidate, rows: Table, said: Answer) -> None:
        """Ask the live version for what the candidate has answered. Where it does not answer, nothing is compared."""
        try:
            live = await self._ask(route, route.live[0], rows)
        except (Unavailable, InvalidInput):
            return
        counts = self.tally.of(candidate_side(route, candidate))
        counts.compared += len(rows)
        counts.agreed += agreeing(said, live)

    async def _wake(self, row: EndpointRow) -> None:
        """Have the live version's server started, once for all callers: none of them holds a connection while it waits."""
        place = (row.tenant, row.name)
        waking = self._waking.get(place)
        if waking is None:
            waking = self._waking[place] = asyncio.create_task(self._woken(row))
            waking.add_done_callback(lambda task: self._waking.pop(place, None))
        await asyncio.shield(waking)

    async def _woken(self, row: EndpointRow) -> None:
        try:
            await self._revive(row)
        finally:
            self.routes.forget(row.tenant, row.name)


def kept_nowhere(route: Route, rows: Table, prediction: Prediction) -> None:
    """Where no log of requests is connected."""


@dataclass(frozen=True)
class Feedback:
    """What a version said, and what is true."""

    model_name: str
    version: int
    labels: list[str]
    truth: list[str]


def live_side(route: Route) -> Side:
    """Whose counts the live version's answers go to."""
    candidate = route.candidate
    step = (candidate.rollout_id, candidate.step) if candidate is not None else ("", 0)
    return Side(route.row.tenant, route.row.name, LIVE, *step)


def candidate_side(route: Route, candidate: Candidate) -> Side:
    """Whose counts the candidate's answers go to."""
    return Side(route.row.tenant, route.row.name, CANDIDATE, candidate.rollout_id, candidate.step)


def agreeing(one: Answer, other: Answer) -> int:
    """How many rows both name alike."""
    return sum(first == second for first, second in zip(one.labels, other.labels, strict=False))


def since(began: float) -> float:
    """Milliseconds since a moment of `time.perf_counter`."""
    return (time.perf_counter() - began) * 1000
