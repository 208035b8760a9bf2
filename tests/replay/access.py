"""One request for access, for its stored history: reminded, granted, told before its end, expired.

`python -m tests.replay.access` writes it anew.
"""

import asyncio
import json
import re

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from tests.replay.recording import FOLDER
from tests.workflows.line import time_skipping
from tests.workflows.test_access import DAY, Book
from workflows.access import AccessInput, AccessMove, AccessReminder
from workflows.definitions.access import AccessWorkflow
from workflows.sandbox import sandbox

REQUEST, QUEUE = "access-replay", "replay-access"


class Owner(Book):
    """Grants it when reminded: while an activity runs the server's clock does not jump."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._handle = client.get_workflow_handle_for(AccessWorkflow.run, REQUEST)

    @activity.defn(name="remind_access")
    async def answer(self, reminder: AccessReminder) -> None:
        """The first reminder is heard."""
        if not reminder.ending:
            await self._handle.execute_update(AccessWorkflow.move, AccessMove(act="granted", by="ann", reason="fine"))


async def play(client: Client) -> None:
    """Nobody decides for a day, then somebody grants it."""
    owner = Owner(client)
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[AccessWorkflow],
        activities=[owner.open, owner.move, owner.answer],
        workflow_runner=sandbox(),
    ):
        asked = AccessInput(request_id=REQUEST, decide_seconds=14 * DAY)
        await client.execute_workflow(AccessWorkflow.run, asked, id=REQUEST, task_queue=QUEUE)


async def write() -> None:
    """Play, and write the history."""
    async with time_skipping() as client:
        await play(client)
        history = await client.get_workflow_handle(REQUEST).fetch_history()
    kept = re.sub(r'"identity": "[^"]*"', '"identity": "worker"', json.dumps(history.to_json_dict()))
    (FOLDER / "access.json").write_text(kept + "\n")


if __name__ == "__main__":
    asyncio.run(write())
