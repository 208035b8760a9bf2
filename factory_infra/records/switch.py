"""The switch that stops every effect of an installation while reads go on."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from factory_infra.database import Database, utcnow
from factory_infra.errors import EffectsStopped
from factory_infra.records.control_tables import SwitchRow

INSTALLATION = "installation"


class SwitchState(BaseModel):
    """How the switch stands, who turned it and why."""

    model_config = ConfigDict(from_attributes=True)

    stopped: bool = False
    reason: str = ""
    actor: str = ""
    at: datetime | None = None


class Switch:
    """Kept in PostgreSQL, so that every process sees it at its next effect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> SwitchState:
        """Tell how it stands."""
        async with self._database.transaction() as session:
            row = await session.get(SwitchRow, INSTALLATION)
        return SwitchState.model_validate(row) if row is not None else SwitchState()

    async def turn(self, *, stopped: bool, actor: str, reason: str = "") -> SwitchState:
        """Stop effects, or let them go on. Turning it as it stands keeps who turned it first."""
        async with self._database.transaction(lock="switch") as session:
            row = await session.get(SwitchRow, INSTALLATION)
            if row is None:
                row = SwitchRow(scope=INSTALLATION, stopped=False, actor=actor)
                session.add(row)
            if row.stopped != stopped:
                row.stopped, row.actor, row.reason, row.at = stopped, actor, reason[:500], utcnow()
        return await self.state()

    async def check(self) -> None:
        """Raise EffectsStopped while effects are stopped."""
        found = await self.state()
        if found.stopped:
            reason = f"Every effect is stopped by {found.actor}{': ' + found.reason if found.reason else ''}."
            raise EffectsStopped(reason, remedy="It goes on when an administrator lets it: lineshaft runs start-effects.")
