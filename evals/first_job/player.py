"""Plays one case: a factory, a worker and an API of its own, the requests said at the door, the state read before and after."""

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from temporalio.client import Client

from agents.planning.playbook import load_playbooks
from agents.planning.rank import Similarity
from api.app import build_app
from api.deps import House
from api.sessions import Sessions
from evals.first_job.doors import Heard, Person
from evals.first_job.scene import ACTOR, Workshop, forget_models, prepare, read_state
from evals.first_job.suite import Case, PlanSeen, Recorded, Strict
from evals.scratch import Scratch
from factory_infra.errors import CapacityExceeded
from factory_infra.factory import Factory, address, connect
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.paas.tenants.models import Role
from factory_infra.saas.vectors.interface import Embeddings
from factory_infra.saas.vectors.providers.http_embeddings import HttpEmbeddings
from factory_infra.settings import Settings
from workflows.seed import seed
from workflows.temporal import connect_temporal
from workflows.worker import build_worker

HERE = "http://127.0.0.1"


class Played(Strict):
    """A case's record, with the two halves of its time: until the last answer, and from the approval to the plan's end."""

    recorded: Recorded
    planning_seconds: float
    execution_seconds: float | None = None


class SharedEmbeddings:
    """Embeds the planner's examples once for the whole evaluation, as one long-lived worker does; a request's own text always anew."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], list[list[float]]] = {}

    def over(self, inner: Embeddings) -> Embeddings:
        """Return embeddings that share what this has kept."""
        return _Remembering(inner, self._kept)


@dataclass
class _Remembering:
    inner: Embeddings
    kept: dict[tuple[str, ...], list[list[float]]]

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text; see the interface."""
        if len(texts) == 1:
            return await self.inner.embed(texts)
        key = tuple(texts)
        if key not in self.kept:
            self.kept[key] = await self.inner.embed(texts)
        return self.kept[key]


class Player:
    """Plays cases one after another on one scratch stack."""

    def __init__(self, scratch: Scratch, temporal: Client) -> None:
        self._scratch = scratch
        self._temporal = temporal
        self._number = 0
        self._examples = SharedEmbeddings()
        self._workshop = Workshop(scratch.settings.home / "workshop", scratch.settings)

    @classmethod
    async def on(cls, scratch: Scratch) -> "Player":
        """Make a player on a scratch stack that runs, warm: a worker that lives long has embedded its examples long ago."""
        made = cls(scratch, await connect_temporal(scratch.settings))
        server_key = scratch.settings.model_server_key
        inner = HttpEmbeddings(
            address(scratch.settings.model_server_url, "the model server"), server_key.get_secret_value() if server_key else ""
        )
        await Similarity(load_playbooks(), made._examples.over(inner)).of("warm")
        await inner.close()
        return made

    async def play(self, case: Case, model: str) -> Played:
        """Play a case with a model. Raises CapacityExceeded where this machine has not the slots that the case is about."""
        self._number += 1
        await forget_models(self._scratch.settings)
        async with self._factory(case, model) as factory:
            await refuse_other_pool(factory, case)
            await prepare(factory, case.setup, self._workshop)
            async with self._working(factory), self._person(factory, case) as person:
                return await self._talk(case, factory, person)

    async def close(self) -> None:
        """End what the setups still train."""
        await asyncio.to_thread(self._workshop.stop)

    async def _talk(self, case: Case, factory: Factory, person: Person) -> Played:
        before = await read_state(factory)
        began = time.monotonic()
        answers = [await person.say(text) for text in case.requests]
        planned = time.monotonic()
        seen, executed = await self._decide(case, person, answers[-1])
        ended = time.monotonic()
        recorded = Recorded(
            case_id=case.id,
            outcomes=tuple(answer.outcome for answer in answers),
            refusal_code=answers[-1].code,
            plan=seen,
            before=before,
            after=await read_state(factory),
            seconds=round(ended - began, 3),
        )
        spent = round(ended - planned, 3) if executed else None
        return Played(recorded=recorded, planning_seconds=round(planned - began, 3), execution_seconds=spent)

    async def _decide(self, case: Case, person: Person, answer: Heard) -> tuple[PlanSeen | None, bool]:
        if answer.plan is None:
            return None, False
        state = await (person.approve(answer.plan, answer.digest) if case.approve else person.state_of(answer.plan))
        return PlanSeen(team=answer.plan.tenant, steps=answer.plan.steps, state=state), case.approve

    @asynccontextmanager
    async def _factory(self, case: Case, model: str) -> AsyncIterator[Factory]:
        """The case's own factory on a database and in a folder of its own; nothing of it runs or stays afterwards."""
        home = self._scratch.settings.home / "cases" / str(self._number)
        home.mkdir(mode=0o700, parents=True)
        async with self._scratch.database(f"eval_case_{self._number}") as url:
            changed: dict[str, object] = {"home": home, "model": model, "database_url": url, "slots_max": case.setup.slots_max}
            built = connect(self._scratch.settings.model_copy(update=changed))
            factory = replace(built, embeddings=self._examples.over(built.embeddings))
            try:
                await seed(factory)
                yield factory
            finally:
                await factory.close()
                await asyncio.to_thread(clear, home, factory.settings)

    @asynccontextmanager
    async def _working(self, factory: Factory) -> AsyncIterator[None]:
        async with build_worker(self._temporal, factory, self._queue):
            yield

    @property
    def _queue(self) -> str:
        return f"eval-{self._number}"

    @asynccontextmanager
    async def _person(self, factory: Factory, case: Case) -> AsyncIterator[Person]:
        """The API in this process, with the key that the case asks with."""
        app = build_app(factory.settings)
        sessions = Sessions(secrets.token_hex(32))
        app.state.house = House(factory=factory, temporal=self._temporal, sessions=sessions, task_queue=self._queue)
        role = Role.ADMIN if case.as_team is None else Role.APPROVER
        _, key = await factory.tenants.issue_key(case.as_team, ACTOR, role)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HERE, headers={"Authorization": f"Bearer {key}"}) as http:
            yield Person(http)


async def refuse_other_pool(factory: Factory, case: Case) -> None:
    """Raise CapacityExceeded unless the pool has exactly the slots that the case names."""
    wanted, there = case.setup.slots_max, len((await factory.accelerators.pool()).slots)
    if wanted is not None and wanted != there:
        raise CapacityExceeded(f"The case is about {wanted} slots and this machine has {there}.", remedy="Play it on a larger machine.")


def clear(home: Path, settings: Settings) -> None:
    """End every job and server of a case, and remove its folder."""
    stop_all(settings.jobs_dir)
    shutil.rmtree(home, ignore_errors=True)
