"""Keys and limits as the API's routes tell them, over what a test puts in."""

import itertools
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from api.errors import problem

SECRET = "ls_0a1b2c3d4e5f_" + "s" * 43


class Desk:
    """What was asked for is kept, so that a test can look."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.keys: list[dict[str, Any]] = []
        self.limits: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def key(self, name: str, **more: Any) -> dict[str, Any]:
        """Have a key."""
        usual = {
            "role": "user",
            "project": "",
            "models": None,
            "scopes": ["gateway"],
            "expires_at": None,
            "old_until": None,
            "state": "active",
        }
        made = {"id": f"{next(self._numbers):012x}", "tenant": "vision", "name": name, **usual, **more}
        self.keys.append(made)
        return made

    def limit(self, resource: str, window: str, cap: str, used: str = "0", **more: Any) -> dict[str, Any]:
        """Have a limit."""
        usual = {"tenant": "vision", "project": "", "key_id": "", "set_by": "ada (key-1)", "set_at": "2026-11-01T00:00:00Z"}
        whose = f":{more['key_id']}" if more.get("key_id") else ""
        made = {
            "id": f"vision{whose}:{resource}:{window}",
            "resource": resource,
            "window": window,
            "cap": cap,
            "used": used,
            **usual,
            **more,
        }
        self.limits = [each for each in self.limits if each["id"] != made["id"]] + [made]
        return made

    async def act(self, request: Request) -> Response:
        """Everything that changes something."""
        body = await request.json() if await request.body() else {}
        self.asked.append((request.method, request.url.path, body))
        match request.method, request.url.path.removeprefix("/v1/").split("/"):
            case "POST", ["keys"]:
                if body["name"] == "refused":
                    return problem(403, "forbidden", "An approver makes no such key.", "Ask an administrator.")
                given = {name: body[name] for name in ("role", "project", "scopes", "models", "expires_at") if name in body}
                return JSONResponse({"key": self.key(body["name"], **given), "secret": SECRET}, status_code=201)
            case "POST", ["keys", name, "rotate"]:
                return JSONResponse({"key": next(each for each in self.keys if each["id"] == name), "secret": SECRET})
            case "DELETE", ["keys", name]:
                self.keys = [each for each in self.keys if each["id"] != name]
            case "DELETE", ["limits", name]:
                self.limits = [each for each in self.limits if each["id"] != name]
            case _:
                return JSONResponse(self.limit(body["resource"], body["window"], body["cap"], key_id=body["key_id"]))
        return Response(status_code=204)

    def routes(self) -> list[BaseRoute]:
        """Where the console finds it."""
        return [
            Route("/v1/keys", self.act, methods=["POST"]),
            Route("/v1/keys/{key}", self.act, methods=["DELETE"]),
            Route("/v1/keys/{key}/rotate", self.act, methods=["POST"]),
            Route("/v1/limits", self.act, methods=["PUT"]),
            Route("/v1/limits/{limit}", self.act, methods=["DELETE"]),
        ]
