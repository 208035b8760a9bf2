"""What a route needs, in the words of roles of one's own: `noun:action`. Pure, and read from the route itself."""

from collections.abc import Collection

from factory_infra.errors import Forbidden, InvalidInput

ALWAYS = frozenset({"me:read", "session:create", "session:delete", "sign-in:read"})
"""What everybody may who is known at all."""
CALL_MODELS = "models:call"
"""What the gateway asks for: its doors are no routes of the API."""
_ACTIONS = {"GET": "read", "HEAD": "read", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


def permission_of(method: str, template: str) -> str:
    """The permission that a route asks for: its noun, and what is done: read, create, change, delete, or the verb that it ends with.

    `POST /v1/plans/{plan_id}/approve` is `plans:approve`, `GET /v1/plans/{plan_id}/text` is `plans:read`.
    """
    parts = [part for part in template.split("/") if part and part != "v1"]
    noun = parts[0].partition(".")[0] if parts else "root"
    if method in {"GET", "HEAD"}:
        return f"{noun}:read"
    verb = parts[-1] if len(parts) > 1 and not parts[-1].startswith("{") else ""
    return f"{noun}:{verb or _ACTIONS.get(method, 'create')}"


def grants(permissions: Collection[str], wanted: str) -> bool:
    """Whether a set of permissions has one: itself, every action on its noun, or every reading."""
    noun, _, action = wanted.partition(":")
    return wanted in ALWAYS or wanted in permissions or f"{noun}:*" in permissions or (action == "read" and "*:read" in permissions)


def check_granted(permissions: Collection[str], wanted: str) -> None:
    """Raise Forbidden where a role of one's own has not what a route or the gateway asks for."""
    if not grants(permissions, wanted):
        raise Forbidden(
            f"This needs the permission {wanted}, which your role does not have.",
            remedy=f"Ask for {wanted} in the role, or use another key.",
            code="permission_needed",
        )


def check_known(permissions: Collection[str], known: Collection[str]) -> None:
    """Raise InvalidInput for a permission that no route asks for: a role with it would promise what it does not give."""
    nouns = {each.partition(":")[0] for each in known}
    for each in permissions:
        noun, _, action = each.partition(":")
        if each not in known and each != "*:read" and not (action == "*" and noun in nouns):
            raise InvalidInput(f"There is no permission '{each}'.", remedy="List them with GET /v1/permissions.", code="permission_unknown")
