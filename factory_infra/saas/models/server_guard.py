"""The model server's wall: one key, a bounded body, and errors in the OpenAI shape."""

import secrets

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from factory_infra.errors import LineshaftError, TooLarge, Unauthenticated

BODY_BYTES_MAX = 2_000_000
OPEN_PATH = "/health"


def problem(error: LineshaftError) -> JSONResponse:
    """An error as OpenAI's clients read it, with our code and remedy."""
    body = {"message": error.reason, "remedy": error.remedy, "code": error.error_code, "type": error.code}
    return JSONResponse({"error": body}, status_code=error.http_status)


class Guard:
    """Lets `/health` through, and everything else only with `Authorization: Bearer KEY` and a body of known, bounded length."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by itself or hand the request on."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else problem(refusal))(scope, receive, send)

    def _refusal(self, scope: Scope) -> LineshaftError | None:
        if scope["path"] == OPEN_PATH:
            return None
        headers = Headers(scope=scope)
        if not secrets.compare_digest(headers.get("authorization", "").encode(), self._expected):
            return Unauthenticated("This server wants its key.", remedy="Send it as 'Authorization: Bearer KEY'.")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            return TooLarge(f"The body is larger than {BODY_BYTES_MAX:,} bytes, or of unknown length.", remedy="Send less at once.")
        return None
