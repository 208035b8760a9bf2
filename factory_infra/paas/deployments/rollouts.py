"""Roll-outs: a version comes by its traffic step by step, and goes back by itself where it does not hold. Their state is in PostgreSQL."""

import builtins
import hashlib
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, EffectFailed, InvalidInput, LineshaftError, NotFound
from factory_infra.paas.deployments.models import EndpointState
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollout_models import (
    OPEN,
    Move,
    NewRollout,
    Rollout,
    RolloutPlan,
    RolloutReport,
    RolloutState,
    Strategy,
)
from factory_infra.paas.deployments.routes import DRAIN_SECONDS
from factory_infra.paas.deployments.rows import chats, check_name, find, lock_of, record, switch
from factory_infra.paas.deployments.serving import Server
from factory_infra.paas.deployments.standing import move, refuse_open
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.tally import CANDIDATE, LIVE, Side, counted
from factory_infra.paas.deployments.traffic_tables import RolloutMove, RolloutRow
from factory_infra.paas.deployments.verdicts import Finding, Verdict, judge

PAGE_MAX = 500


class Rollouts:
    """Starts, moves and ends roll-outs. Any number of processes may do so at once: each move is one transaction under the endpoint's lock.

    `turn` moves one as far as it goes now; the worker calls it every moment, and whoever does after a crash finds it where it was.

    A tenant of None in a read means an administrator, who sees all.
    """

    def __init__(self, database: Database, deployments: LocalDeployments) -> None:
        self._database = database
        self._deployments = deployments

    async def start(self, wanted: NewRollout) -> Rollout:
        """Begin a roll-out; its candidate's server is started by the next turn. Idempotent by key.

        Raises NotFound for an endpoint or version that is not there, Conflict `rollout_open` and `rollout_same`, InvalidInput
        `rollout_kind` for what cannot be split.
        """
        check_name(wanted.endpoint)
        async with self._database.transaction(lock=lock_of(wanted.tenant, wanted.endpoint)) as session:
            known = await session.scalar(select(RolloutRow).where(RolloutRow.key == wanted.key))
            if known is not None:
                return same(known, wanted)
            endpoint = await find(session, wanted.tenant, wanted.endpoint)
            if endpoint.state != EndpointState.LIVE:
                raise NotFound(f"Endpoint {endpoint.name} is retired.", remedy="Deploy a version to it.", code="endpoint_retired")
            await refuse_open(session, wanted.tenant, wanted.endpoint)
            row = await self._new(endpoint, wanted)
            session.add(row)
            await session.flush()
            move(session, row, RolloutState.PREPARING, "", "The candidate's server is started.")
            return to_model(row)

    async def _new(self, endpoint: EndpointRow, wanted: NewRollout) -> RolloutRow:
        version = await self._deployments.registered(wanted.tenant, wanted.model_name, wanted.version)
        if (endpoint.model_name, endpoint.version) == (wanted.model_name, wanted.version):
            raise Conflict(
                f"Endpoint {endpoint.name} answers with {wanted.model_name} version {wanted.version} already.",
                remedy="Roll out another version.",
                code="rollout_same",
            )
        check_kind(endpoint, wanted, chats_too=version.chats)
        return RolloutRow(
            id=rollout_id(wanted.key),
            key=wanted.key,
            tenant=wanted.tenant,
            name=wanted.endpoint,
            model_name=wanted.model_name,
            version=wanted.version,
            old_model_name=endpoint.model_name,
            old_version=endpoint.version,
            old_job_id=endpoint.job_id,
            plan=wanted.plan.model_dump(mode="json"),
            state=RolloutState.PREPARING.value,
            step=0,
            share=0.0,
            moves=0,
            asked_by=wanted.asked_by,
            thread_id=wanted.thread_id,
            job_id=self._deployments.first_job_id(version, wanted.endpoint, wanted.key, endpoint.pool),
        )

    async def get(self, name: str, tenant: str | None) -> Rollout:
        """Return a roll-out. Raises NotFound."""
        async with self._database.transaction() as session:
            return to_model(await row_of(session, name, tenant))

    async def list(
        self, tenant: str | None, endpoint: str | None = None, *, open_only: bool = False, limit: int = 100, offset: int = 0
    ) -> list[Rollout]:
        """Return roll-outs, newest first."""
        query = select(RolloutRow).order_by(RolloutRow.created_at.desc(), RolloutRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        query = query.where(RolloutRow.tenant == tenant) if tenant is not None else query
        query = query.where(RolloutRow.name == endpoint) if endpoint is not None else query
        query = query.where(RolloutRow.ended_at.is_(None)) if open_only else query
        async with self._database.transaction() as session:
            return [to_model(row) for row in await session.scalars(query)]

    async def report(self, name: str, tenant: str | None) -> RolloutReport:
        """A roll-out with its moves and the counts of its present step. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await row_of(session, name, tenant)
            moves = await session.scalars(select(RolloutMove).where(RolloutMove.rollout_id == name).order_by(RolloutMove.number))
            told = [Move.model_validate(each, from_attributes=True) for each in moves]
        candidate, live = [await counted(self._database, side_of(row, which)) for which in (CANDIDATE, LIVE)]
        return RolloutReport(rollout=to_model(row), moves=told, candidate=candidate.report(), live=live.report())

    async def pause(self, name: str, tenant: str | None) -> Rollout:
        """Keep the candidate's share as it is; it still goes back where a gate fails. Raises NotFound, Conflict `rollout_ended`."""
        return await self._by_hand(name, tenant, RolloutState.PAUSED, "A person holds it.")

    async def resume(self, name: str, tenant: str | None) -> Rollout:
        """Let a held roll-out go on. Raises NotFound, Conflict `rollout_ended`."""
        return await self._by_hand(name, tenant, RolloutState.RUNNING, "It goes on.")

    async def abort(self, name: str, tenant: str | None, reason: str = "") -> Rollout:
        """Give all traffic back to the live version. Raises NotFound, Conflict `rollout_ended` unless it was aborted before."""
        return await self._by_hand(name, tenant, RolloutState.ABORTED, reason or "A person ended it.")

    async def _by_hand(self, name: str, tenant: str | None, state: RolloutState, reason: str) -> Rollout:
        place = await self.get(name, tenant)
        async with self._database.transaction(lock=lock_of(place.tenant, place.endpoint)) as session:
            row = await row_of(session, name, tenant)
            now = RolloutState(row.state)
            if now is state:
                return to_model(row)
            if now.ended or (now is RolloutState.PREPARING and state is not RolloutState.ABORTED):
                raise Conflict(
                    f"Roll-out {name} is {now}.", remedy="See 'lineshaft endpoints rollouts'.", code="rollout_ended" if now.ended else None
                )
            if state is RolloutState.ABORTED:
                row.share, row.ended_at = 0.0, utcnow()
            move(session, row, state, "", reason)
        self._deployments.traffic.routes.forget(place.tenant, place.endpoint)
        return to_model(row)

    async def open_ids(self) -> builtins.list[str]:
        """Roll-outs on which something is to be done: open ones, and ended ones whose server is not stopped or whose moves are not told."""
        query = select(RolloutRow.id).where(~RolloutRow.tidied | RolloutRow.ended_at.is_(None) | (RolloutRow.told < RolloutRow.moves))
        async with self._database.transaction() as session:
            return list(await session.scalars(query.order_by(RolloutRow.created_at).limit(PAGE_MAX)))

    async def turn(self, name: str, *, may_advance: bool = True) -> Rollout:
        """Move a roll-out as far as it goes now.

        Args:
            may_advance: without it, it may only go back: every effect is stopped.
        """
        found = await self.get(name, None)
        if found.state is RolloutState.PREPARING:
            await self._prepare(found, may_start=may_advance)
        elif found.state in OPEN:
            await self._judge(found, may_advance=may_advance)
        elif found.ended_at is not None and utcnow() - found.ended_at > timedelta(seconds=DRAIN_SECONDS):
            await self._tidy(found)
        return await self.get(name, None)

    async def _prepare(self, found: Rollout, *, may_start: bool) -> None:
        """Start the candidate's server and give it its first share once it has proved itself."""
        if (utcnow() - found.created_at).total_seconds() >= found.plan.patience_seconds:
            await self._end(found.id, RolloutState.FAILED, "undecided", "The candidate's server could not be started in time.")
        elif may_start:
            await self._start(found, RolloutState.FAILED)

    async def _start(self, found: Rollout, otherwise: RolloutState) -> None:
        """Start the candidate's server, or start it again; one process at a time. Where it does not come up the roll-out ends so."""
        async with self._database.transaction(lock=f"rollout:{found.id}") as session:
            row = await row_of(session, found.id, None)
            if row.state != found.state or row.ended_at is not None:
                return
            try:
                version = await self._deployments.registered(row.tenant, row.model_name, row.version)
                pool = (await find(session, row.tenant, row.name)).pool
                server = await self._deployments.serving(pool).start(row.name, version, row.job_id)
            except (EffectFailed, NotFound, InvalidInput) as error:
                await self._end(found.id, otherwise, error.error_code, error.reason)
                return
            await self._started(found, server)

    async def _started(self, found: Rollout, server: Server) -> None:
        async with self._database.transaction(lock=lock_of(found.tenant, found.endpoint)) as session:
            row = await row_of(session, found.id, None)
            if row.ended_at is None:
                row.job_id, row.port = server.job_id, server.port
            if row.state == RolloutState.PREPARING:
                row.step, row.share, row.step_at = 0, found.plan.steps[0], utcnow()
                move(session, row, RolloutState.RUNNING, "", step_words(to_model(row)))
        self._deployments.traffic.routes.forget(found.tenant, found.endpoint)

    async def _judge(self, found: Rollout, *, may_advance: bool) -> None:
        """Look at the counts of the step: back, further, or wait."""
        async with self._database.transaction() as session:
            row = await row_of(session, found.id, None)
            endpoint = await find(session, row.tenant, row.name)
        await self._probe(found, row, endpoint)
        candidate, live = [await counted(self._database, side_of(row, which)) for which in (CANDIDATE, LIVE)]
        requests_min = 0 if chats(endpoint) else found.plan.requests_min
        verdict = judge(found.plan.gates, requests_min, candidate, live)
        lasted = (utcnow() - found.step_at).total_seconds()
        if verdict.finding is Finding.FAILS:
            await self._end(found.id, RolloutState.ROLLED_BACK, verdict.code, verdict.reason, found.step)
        elif found.state is RolloutState.PAUSED:
            return
        elif verdict.finding is Finding.HOLDS and lasted >= found.plan.step_seconds:
            if may_advance:
                await self._further(found)
        elif lasted >= found.plan.patience_seconds:
            await self._end(found.id, RolloutState.ROLLED_BACK, "undecided", f"Not decided in time: {verdict.reason}", found.step)
        else:
            await self._note(found, verdict)

    async def _probe(self, found: Rollout, row: RolloutRow, endpoint: EndpointRow) -> None:
        """Ask the candidate's server whether it is up. That it is not counts as a request that failed; then it is started again.

        The calls of a language model are not counted where they are made: these questions stand for them.
        """
        up = await self._deployments.serving(endpoint.pool).answers(row.tenant, Server(job_id=row.job_id, port=row.port))
        if up and not chats(endpoint):
            return
        counts = self._deployments.traffic.tally.of(side_of(row, CANDIDATE))
        (counts.answered if up else counts.failed)(0.0)
        await self._deployments.traffic.tally.write()
        if not up:
            await self._start(found, RolloutState.ROLLED_BACK)

    async def _note(self, found: Rollout, verdict: Verdict) -> None:
        """Say what a step waits for; no move."""
        reason = verdict.reason or step_words(found)
        if reason == found.reason:
            return
        async with self._database.transaction(lock=lock_of(found.tenant, found.endpoint)) as session:
            row = await row_of(session, found.id, None)
            if (row.state, row.step) == (found.state, found.step):
                row.code, row.reason = verdict.code, reason

    async def _further(self, found: Rollout) -> None:
        """Take the next step; after the last one the candidate is live, or a shadow is done."""
        if found.step + 1 >= len(found.plan.steps):
            if not found.plan.promote:
                await self._end(found.id, RolloutState.FINISHED, "", "It held beside the live version.", found.step)
            else:
                await self._promote(found)
            return
        async with self._database.transaction(lock=lock_of(found.tenant, found.endpoint)) as session:
            row = await row_of(session, found.id, None)
            if (row.state, row.step) == (RolloutState.RUNNING, found.step):
                row.step, row.step_at = found.step + 1, utcnow()
                row.share = found.plan.steps[row.step]
                move(session, row, RolloutState.RUNNING, "", step_words(to_model(row)))
        self._deployments.traffic.routes.forget(found.tenant, found.endpoint)

    async def _promote(self, found: Rollout) -> None:
        """Make the candidate the live version, in one transaction; what was live drains."""
        async with self._database.transaction(lock=lock_of(found.tenant, found.endpoint)) as session:
            row = await row_of(session, found.id, None)
            endpoint = await find(session, row.tenant, row.name)
            if (row.state, row.step) != (RolloutState.RUNNING, found.step) or endpoint.state != EndpointState.LIVE:
                return
            row.old_job_id = endpoint.job_id
            endpoint.previous = [*endpoint.previous, f"{endpoint.model_name}@{endpoint.version}"]
            switch(endpoint, row.model_name, row.version, Server(job_id=row.job_id, port=row.port))
            await record(session, endpoint, "rollout", row.key)
            row.step, row.share, row.ended_at = len(found.plan.steps), 1.0, utcnow()
            move(session, row, RolloutState.PROMOTED, "", f"{row.model_name} version {row.version} answers all requests.")
        self._deployments.traffic.routes.forget(found.tenant, found.endpoint)

    async def _end(self, name: str, state: RolloutState, code: str, reason: str, step: int | None = None) -> None:
        """Take the candidate's traffic away, unless somebody moved it since it was judged."""
        place = await self.get(name, None)
        async with self._database.transaction(lock=lock_of(place.tenant, place.endpoint)) as session:
            row = await row_of(session, name, None)
            if row.ended_at is None and step in (None, row.step):
                row.share, row.ended_at = 0.0, utcnow()
                move(session, row, state, code, reason)
        self._deployments.traffic.routes.forget(place.tenant, place.endpoint)

    async def _tidy(self, found: Rollout) -> None:
        """Stop the server that lost, now that nobody asks it any more."""
        async with self._database.transaction() as session:
            row = await row_of(session, found.id, None)
            if row.tidied:
                return
            row.tidied = True
        try:
            await self._deployments.tidy(found.tenant, found.endpoint)
        except LineshaftError:
            async with self._database.transaction() as session:
                (await row_of(session, found.id, None)).tidied = False
            raise

    async def untold(self, name: str) -> builtins.list[Move]:
        """Moves that its thread has not been told of, oldest first."""
        async with self._database.transaction() as session:
            row = await row_of(session, name, None)
            query = select(RolloutMove).where(RolloutMove.rollout_id == name, RolloutMove.number > row.told)
            moves = await session.scalars(query.order_by(RolloutMove.number))
            return [Move.model_validate(each, from_attributes=True) for each in moves]

    async def tell(self, name: str, number: int) -> None:
        """Remember that moves up to this one were told."""
        async with self._database.transaction() as session:
            row = await row_of(session, name, None)
            row.told = max(row.told, number)


def rollout_id(key: str) -> str:
    """The id that a key gives."""
    return f"ro-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def same(known: RolloutRow, wanted: NewRollout) -> Rollout:
    """The roll-out that this key began. Raises Conflict where it began another."""
    asked = (wanted.tenant, wanted.endpoint, wanted.model_name, wanted.version, wanted.plan)
    if (known.tenant, known.name, known.model_name, known.version, RolloutPlan.model_validate(known.plan)) != asked:
        raise Conflict(f"The key {wanted.key!r} was used for another roll-out.", remedy="Use a key once.", code="key_reused")
    return to_model(known)


def check_kind(endpoint: EndpointRow, wanted: NewRollout, *, chats_too: bool) -> None:
    """Raise InvalidInput where the old and the new version cannot stand side by side."""
    if chats(endpoint) != chats_too:
        raise InvalidInput(
            f"{wanted.model_name} version {wanted.version} and what endpoint {endpoint.name} answers with now are of different kinds.",
            remedy="Deploy it under another name.",
            code="rollout_kind",
        )
    if chats_too and wanted.plan.strategy is not Strategy.BLUE_GREEN:
        raise InvalidInput(
            f"The calls of language model {wanted.model_name} come through the gateway, which does not split them.",
            remedy="Use the strategy blue_green.",
            code="rollout_kind",
        )


def step_words(found: Rollout) -> str:
    """A step in words."""
    does = "is asked beside the live version for" if found.shadow else "answers"
    return f"Step {found.step + 1} of {len(found.plan.steps)}: the candidate {does} {found.share:.2%} of the requests."


def side_of(row: RolloutRow, which: str) -> Side:
    """Whose counts those of a side are, in the present step; once it is promoted, in the last one."""
    last = len(RolloutPlan.model_validate(row.plan).steps) - 1
    return Side(row.tenant, row.name, which, row.id, min(row.step, last))


async def row_of(session: AsyncSession, name: str, tenant: str | None) -> RolloutRow:
    """Return the row. Raises NotFound, also for another team's."""
    row = await session.get(RolloutRow, name)
    if row is None or tenant not in (None, row.tenant):
        raise NotFound(f"There is no roll-out {name[:40]}.", remedy="List them with GET /v1/rollouts.", code="rollout_unknown")
    return row


def to_model(row: RolloutRow) -> Rollout:
    """A roll-out as it is shown."""
    fields = {name: getattr(row, name) for name in Rollout.model_fields if name not in {"endpoint", "plan"}}
    created = {"created_at": row.created_at or utcnow(), "step_at": row.step_at or utcnow()}
    return Rollout.model_validate({**fields, **created, "endpoint": row.name, "plan": row.plan})
