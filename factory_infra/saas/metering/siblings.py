"""Asking the other processes for what they do not need, before a call is refused."""

import asyncio
import contextlib

import structlog
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.database import Database
from factory_infra.notices import News, tell
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.records import Place

log = structlog.get_logger("metering")

CHANNEL = "ledger_blocks"
ANSWER_SECONDS_MAX = 0.25


class Siblings:
    """The processes that draw from the same limits. One question a limit is open at a time; whoever needs its answer shares it."""

    def __init__(self, database: Database, process_id: str) -> None:
        self._database = database
        self._process_id = process_id
        self._questions: dict[Place, asyncio.Task[bool]] = {}
        self._missing: dict[str, set[str]] = {}
        self._answered: dict[str, asyncio.Event] = {}
        self._asked: set[str] = set()
        self.wake = asyncio.Event()
        """Set when somebody asked us."""

    def listen(self, news: News) -> None:
        """Hear questions and answers."""
        news.on(CHANNEL, self.hear)

    def hear(self, payload: str) -> None:
        """Take in `ask PROCESS LIMIT` or `gave PROCESS LIMIT`."""
        word, _, rest = payload.partition(" ")
        process_id, _, limit_id = rest.partition(" ")
        if process_id == self._process_id or not limit_id:
            return
        if word == "ask":
            self._asked.add(limit_id)
            self.wake.set()
        elif limit_id in self._missing:
            self._missing[limit_id].discard(process_id)
            if not self._missing[limit_id]:
                self._answered[limit_id].set()

    def asked(self) -> set[str]:
        """The limits that others asked for since the last call; each wants `gave` in the transaction that returns them."""
        asked, self._asked = self._asked, set()
        self.wake.clear()
        return asked

    def gave(self, limit_id: str) -> str:
        """The words that answer a question."""
        return f"gave {self._process_id} {limit_id}"

    async def ask(self, place: Place) -> bool:
        """Ask the others to return what is free; wait until all have, a quarter of a second at most. False where nobody has any."""
        question = self._questions.get(place)
        if question is None:
            question = self._questions[place] = asyncio.create_task(self._ask(place))
            question.add_done_callback(lambda _: self._questions.pop(place, None))
        return await asyncio.shield(question)

    async def _ask(self, place: Place) -> bool:
        limit_id, _ = place
        answered = self._answered[limit_id] = asyncio.Event()
        try:
            async with self._database.transaction() as session:
                self._missing[limit_id] = await draws.others(session, self._process_id, place)
                if not self._missing[limit_id]:
                    return False
                await tell(session, CHANNEL, f"ask {self._process_id} {limit_id}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), ANSWER_SECONDS_MAX)
        except (SQLAlchemyError, OSError) as error:
            log.warning("siblings could not be asked", limit=limit_id, error=type(error).__name__)
            return False
        finally:
            self._missing.pop(limit_id, None)
            self._answered.pop(limit_id, None)
        return True
