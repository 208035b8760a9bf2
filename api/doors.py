"""What every request passes first: its size, the host that it names, what it may see, and the headers that bound a page."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from factory_infra.errors import TooLarge
from factory_infra.records.audit import PLATFORM_ACTOR, who_acts
from factory_infra.second_wall import NOBODY, seen_by

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "content-security-policy": CONTENT_POLICY}


class SizeLimit:
    """Refuses a body above a limit, by its declared length or by what arrives."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > self._bytes_max:
            await self._refusal()(scope, receive, send)
            return
        await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut a body off as soon as it is too large; what the application says of the piece that it saw is not sent."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._bytes_max:
                raise TooLarge(f"The body is larger than {self._bytes_max} bytes.", remedy="Send less.")
            return message

        async def guarded(message: Message) -> None:
            if seen <= self._bytes_max:
                await send(message)

        await self._app(scope, counted, guarded)
        if seen > self._bytes_max:
            await self._refusal()(scope, receive, send)

    def _refusal(self) -> JSONResponse:
        return problem(413, TooLarge.code, f"The body is larger than {self._bytes_max} bytes.", "Send less.")


class SecondWall:
    """Lets a request see no team's rows until it is known who asks: a route that forgets to ask finds nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. What the application does outside of requests, such as connecting, sees everything."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        acts = who_acts.set((PLATFORM_ACTOR, "api"))
        try:
            with seen_by(NOBODY):
                await self._app(scope, receive, send)
        finally:
            who_acts.reset(acts)


class SecurityHeaders:
    """Adds the headers that keep a page from loading, leaking or being framed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the response's headers."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", "no-cache" if scope["path"].startswith("/console") else "no-store")
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, complete if scope["type"] == "http" else send)
