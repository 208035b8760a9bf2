"""Access as a workflow: reminded, lapsed, granted until it expires, revoked; in a server whose clock jumps."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.worker import Worker

from factory_infra.errors import Conflict, Unavailable
from factory_infra.paas.catalog.access_models import NewAccess
from factory_infra.paas.catalog.models import CatalogEntry, Viewer
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from workflows.access import REMINDERS_MAX, AccessInput, AccessMove, AccessReminder, AccessStands, Act
from workflows.activities.access import AccessActivities, thread_of
from workflows.definitions.access import AccessWorkflow
from workflows.failures import to_application_error
from workflows.sandbox import sandbox

pytestmark = pytest.mark.stack
DAY = 86_400.0


class Book:
    """A request in memory; what a test sets to fail fails once."""

    def __init__(self, state: str = "asked", days: float = 30) -> None:
        self.state, self.seconds = state, days * DAY
        self.reminded: list[AccessReminder] = []
        self.moves: list[str] = []
        self.broken = 0

    def stands(self) -> AccessStands:
        left = self.seconds if self.state == "granted" else None
        return AccessStands(request_id="access-1", state=self.state, seconds_left=left)

    @activity.defn(name="open_access")
    async def open(self, request_id: str) -> AccessStands:
        return self.stands()

    @activity.defn(name="move_access")
    async def move(self, move: AccessMove) -> AccessStands:
        self.moves.append(move.act)
        if self.broken:
            self.broken -= 1
            raise to_application_error(Unavailable("The database does not answer."))
        if self.state not in {"asked", "granted"} and move.act not in {self.state, "lapsed", "expired"}:
            raise to_application_error(Conflict("It is decided.", code="access_decided"))
        if self.state in {"asked", "granted"}:
            self.state = move.act
        return self.stands()

    @activity.defn(name="remind_access")
    async def remind(self, reminder: AccessReminder) -> None:
        self.reminded.append(reminder)


@asynccontextmanager
async def following(client: Client, book: Book, days: float = 14) -> AsyncIterator[WorkflowHandle[AccessWorkflow, AccessStands]]:
    """The workflow at work on a request."""
    queue = f"q-{uuid.uuid4().hex[:8]}"
    async with Worker(
        client,
        task_queue=queue,
        workflows=[AccessWorkflow],
        activities=[book.open, book.move, book.remind],
        workflow_runner=sandbox(),
    ):
        asked = AccessInput(request_id="access-1", decide_seconds=days * DAY)
        yield await client.start_workflow(AccessWorkflow.run, asked, id=f"access-{uuid.uuid4().hex[:8]}", task_queue=queue)


async def word(handle: WorkflowHandle[AccessWorkflow, AccessStands], act: Act) -> str:
    stands = await handle.execute_update(AccessWorkflow.move, AccessMove(act=act, by="ann"))
    return stands.state


async def test_nobody_decides_reminded_so_often_then_lapsed(client: Client) -> None:
    book = Book()
    async with following(client, book) as handle:
        assert (await handle.result()).state == "lapsed"
    assert [each.number for each in book.reminded] == list(range(1, REMINDERS_MAX + 1))
    assert book.moves == ["lapsed"]


async def test_granted_told_before_its_end_and_expired(client: Client) -> None:
    book = Book()
    async with following(client, book) as handle:
        assert await word(handle, "granted") == "granted"
        assert (await handle.result()).state == "expired"
    assert [each.ending for each in book.reminded][-1:] == [True]
    assert book.moves == ["granted", "expired"]


@pytest.mark.parametrize("acts", [["refused"], ["withdrawn"], ["granted", "revoked"], ["granted", "withdrawn"]])
async def test_what_people_say_ends_it(client: Client, acts: list[Act]) -> None:
    book = Book()
    async with following(client, book) as handle:
        for act in acts:
            assert await word(handle, act) == act
        assert (await handle.result()).state == acts[-1]
    assert book.moves == acts


async def test_only_time_lets_it_lapse_and_what_is_decided_is_not_decided_again(client: Client) -> None:
    book = Book()
    async with following(client, book) as handle:
        early: list[Act] = ["lapsed", "expired"]
        for act in early:
            with pytest.raises(WorkflowUpdateFailedError):
                await word(handle, act)
        assert await word(handle, "granted") == "granted"
        book.state = "revoked"  # by another door, which the workflow was not told of
        with pytest.raises(WorkflowUpdateFailedError):
            await word(handle, "refused")
        assert (await handle.result()).state == "revoked"


async def test_a_grant_that_was_shared_is_followed_from_its_start(client: Client) -> None:
    book = Book(state="granted", days=1)
    async with following(client, book) as handle:
        assert (await handle.result()).state == "expired"
    assert book.reminded == []


async def test_a_database_that_is_away_delays_and_loses_nothing(client: Client) -> None:
    book = Book()
    book.broken = 3
    async with following(client, book, days=1) as handle:
        assert (await handle.result()).state == "lapsed"
    assert book.moves == ["lapsed"] * 4


async def test_both_teams_are_told_once_each_in_a_thread_of_its_own(connected: Settings) -> None:
    factory = factory_with_slots(connected, 1)
    entry = CatalogEntry(
        id="model/vision/m", kind="model", tenant="vision", name="m", description="", visibility="shared", access="request"
    )
    await factory.catalog.put(entry)
    viewer = Viewer.of("language", actor="lea (3)")
    request = await factory.access.ask(viewer, "language", NewAccess(entry_id=entry.id, reason="to read"))
    acts = AccessActivities(factory)
    for _ in range(2):
        assert (await acts.open(request.id)).state in {"asked", "granted"}
        await acts.remind(AccessReminder(request_id=request.id, number=1))
        stands = await acts.move(AccessMove(request_id=request.id, act="granted", by="ann (1)"))
    assert stands.seconds_left is not None
    assert stands.seconds_left > 29 * DAY
    assert (await acts.move(AccessMove(request_id=request.id, act="lapsed"))).state == "granted"
    for team in ("vision", "language"):
        thread = await factory.records.thread(thread_of(request, team), team)
        assert [event.kind for event in await factory.records.read_events(thread.id)] == [
            "access.asked",
            "access.reminded",
            "access.decided",
        ]
    await factory.close()
