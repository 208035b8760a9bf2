"""What the workflow of an access request does to the world: moves its row, tells both teams."""

from temporalio import activity

from factory_infra.database import utcnow
from factory_infra.errors import Conflict
from factory_infra.factory import Factory
from factory_infra.paas.catalog.access_models import AccessRequest, AccessState
from factory_infra.records.models import NewEvent, Thread
from workflows.access import AccessMove, AccessReminder, AccessStands
from workflows.activities.context import translated

Payload = dict[str, str | int | bool]
BY_TIME = frozenset({"lapsed", "expired"})


class AccessActivities:
    """Activities over one factory."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="open_access")
    @translated
    async def open(self, request_id: str) -> AccessStands:
        """Tell both teams that it was asked. Idempotent."""
        request = await self._factory.access.get(request_id, None)
        payload: Payload = {"reason": request.reason, "days": request.days, "asked_by": request.asked_by}
        await self._tell(request, "asked", payload, kind="access.asked")
        return stands(request)

    @activity.defn(name="move_access")
    @translated
    async def move(self, move: AccessMove) -> AccessStands:
        """Move it on, and tell both teams. Idempotent; what time does gives way to what a person did meanwhile."""
        try:
            request = await self._factory.access.move(move.request_id, AccessState(move.act), move.by, move.reason)
        except Conflict:
            if move.act not in BY_TIME:
                raise
            return stands(await self._factory.access.get(move.request_id, None))
        expires_at = request.expires_at.isoformat() if request.expires_at else ""
        payload: Payload = {"state": request.state.value, "by": move.by, "reason": move.reason, "expires_at": expires_at}
        if move.act in {"granted", "refused"}:
            await self._tell(request, move.act, payload, kind="access.decided")
        else:
            await self._tell(request, move.act, payload, kind="access.ended")
        return stands(request)

    @activity.defn(name="remind_access")
    @translated
    async def remind(self, reminder: AccessReminder) -> None:
        """Tell the owners again that a decision is waited for, or both teams that a grant ends soon."""
        access = self._factory.access
        request = await (access.get(reminder.request_id, None) if reminder.ending else access.remind(reminder.request_id, reminder.number))
        word = "ending" if reminder.ending else f"reminder-{reminder.number}"
        expires_at = request.expires_at.isoformat() if request.expires_at else ""
        payload: Payload = {"number": reminder.number, "ending": reminder.ending, "expires_at": expires_at}
        await self._tell(request, word, payload, kind="access.reminded")

    async def _tell(self, request: AccessRequest, word: str, payload: Payload, *, kind: str) -> None:
        """Write into a thread of each team, once."""
        records = self._factory.records
        about = {"request_id": request.id, "entry_id": request.entry_id, "entry_name": request.entry_name, "team": request.tenant}
        for team in (request.owner_tenant, request.tenant):
            thread = thread_of(request, team)
            title = f"Access to {request.entry_name}"[:200]
            await records.create_thread(Thread(id=thread, tenant=team, created_by=request.asked_by[:128], title=title, created_at=utcnow()))
            event = NewEvent(key=f"{request.id}/{team}/{word}", tenant=team, thread_id=thread, kind=kind, payload={**about, **payload})
            await records.write_event(event)


def thread_of(request: AccessRequest, team: str) -> str:
    """The thread in which a request is told to a team."""
    return f"thread-{request.id}-{'owner' if team == request.owner_tenant else 'asked'}"


def stands(request: AccessRequest) -> AccessStands:
    """As the workflow needs it."""
    left = None
    if request.state is AccessState.GRANTED and request.expires_at is not None:
        left = (request.expires_at - utcnow()).total_seconds()
    return AccessStands(request_id=request.id, state=request.state.value, seconds_left=left)
