"""Looks at pools now and then, for as long as the worker lives: what stood idle can only be told by who looked."""

import asyncio
import time

import structlog
from sqlalchemy.exc import OperationalError

from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory

LOOK_SECONDS = 60.0
FORGET_SECONDS = 24 * 3600.0
JUDGE_SECONDS = 300.0
"""How often it is told anew on the catalog's entries what they cost."""
log = structlog.get_logger("looking")


async def watch_costs(factory: Factory) -> None:
    """Look every minute, and forget what is too old once a day. What cannot be seen now is left for the next look."""
    forgotten, judged, told = 0.0, 0.0, set[str]()
    while True:
        try:
            looked = await factory.lookout.look()
            await factory.budgets.alert()
            if fresh := set(looked.silent) - told:
                log.warning("pools not seen", pools=sorted(fresh))
            told = set(looked.silent)
            if time.monotonic() - judged > JUDGE_SECONDS:
                await factory.cost_badges.look()
                judged = time.monotonic()
            if time.monotonic() - forgotten > FORGET_SECONDS:
                await factory.lookout.forget()
                forgotten = time.monotonic()
        except (LineshaftError, OperationalError) as error:
            log.warning("pools not looked at", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
