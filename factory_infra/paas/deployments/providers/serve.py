"""The server of one model version, run as a job: `python -m factory_infra.paas.deployments.providers.serve`, in the job's folder."""

import asyncio
import hmac
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import numpy.typing as npt
import onnxruntime
import uvicorn
from pydantic import BaseModel, JsonValue, ValidationError

from factory_infra.paas.deployments.providers.wire import (
    ADDRESS_FILE,
    BODY_BYTES_MAX,
    ORDER_FILE,
    TOKEN_FILE,
    TOKEN_HEADER,
    Address,
    Answer,
    Complaint,
    Holdout,
    Order,
    Rows,
)

Scope = MutableMapping[str, object]
Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PROBABILITY_TOLERANCE = 1e-3
KEEP_SECONDS = 60


class Refused(Exception):
    """A request that is answered with a status and a complaint."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.complaint = Complaint(code=code, reason=reason)


class Model:
    """The loaded model with the names of its classes."""

    def __init__(self, order: Order) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(order.model_path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        holdout = Holdout.model_validate_json(Path(order.holdout_path).read_bytes())
        self._class_names, self._features = holdout.class_names, holdout.features

    def predict(self, rows: list[list[float]]) -> Answer:
        """Name the class of each row. Raises Refused for rows of another length."""
        if any(len(row) != self._features for row in rows):
            raise Refused(422, "features_wrong", f"Each row must have {self._features} numbers.")
        labels, scores = self._session.run(None, {self._input: np.asarray(rows, dtype=np.float32)})[:2]
        return Answer(labels=[self._class_names[int(label)] for label in labels], probabilities=probabilities(scores))


def probabilities(scores: npt.NDArray[np.float32]) -> list[list[float]] | None:
    """Return scores that are probabilities, and nothing for those that only rank."""
    sums = scores.sum(axis=1) if scores.ndim == 2 else np.zeros(1)
    true_ones = bool(np.all(np.abs(sums - 1) < PROBABILITY_TOLERANCE)) and bool(np.all(scores >= 0))
    return cast("list[list[float]]", scores.astype(float).tolist()) if true_ones else None


class App:
    """Two routes behind a bearer token: GET /health and POST /predict."""

    health: ClassVar[str] = "/health"
    asks: ClassVar[str] = "/predict"

    def __init__(self, model: Model, token: str) -> None:
        self._model = model
        self._token = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            self.authorise(scope)
            status, body = 200, await self._route(scope, receive)
        except Refused as refusal:
            status, body = refusal.status, refusal.complaint
        await respond(send, status, body)

    def authorise(self, scope: Scope) -> None:
        """Raise Refused for who does not show the token."""
        headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        shown = headers.get(b"authorization", b"Bearer " + headers.get(TOKEN_HEADER.encode(), b""))
        if not hmac.compare_digest(shown, self._token):
            raise Refused(401, "unauthenticated", "The token is missing or wrong.")

    async def _route(self, scope: Scope, receive: Receive) -> BaseModel:
        route = (scope["method"], scope["path"])
        if route == ("GET", self.health):
            return Answer(labels=[])
        if route != ("POST", self.asks):
            raise Refused(404, "not_found", "There is no such route.")
        try:
            rows = Rows.model_validate_json(await read_body(receive)).rows
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise Refused(422, "rows_invalid", f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}.") from error
        return await asyncio.to_thread(self._model.predict, rows)


async def read_body(receive: Receive) -> bytes:
    """Read a request's body. Raises Refused for one that is too large or breaks off."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "broken_off", "The request broke off.")
        body += cast("bytes", message.get("body", b""))
        if len(body) > BODY_BYTES_MAX:
            raise Refused(413, "too_large", f"The request is larger than {BODY_BYTES_MAX} bytes.")
        if not message.get("more_body"):
            return body


async def respond(send: Send, status: int, body: BaseModel) -> None:
    """Send a JSON response."""
    data = body.model_dump_json().encode()
    headers: list[JsonValue | tuple[bytes, bytes]] = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def main() -> None:
    """Load the model, say where it listens, serve until SIGTERM and then drain."""
    order = Order.model_validate_json(Path(ORDER_FILE).read_bytes())
    serve(App(Model(order), Path(TOKEN_FILE).read_text(encoding="utf-8")), order)


def serve(app: App, order: Order) -> None:
    """Say in a file where it listens, and serve until SIGTERM; what is open then is answered first."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=4,
        # Longer than who asks keeps a connection: else one is closed here in the moment in which it is used there.
        timeout_keep_alive=KEEP_SECONDS,
    )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((order.host, order.port))
        listener.listen(128)
        port = listener.getsockname()[1]
        draft = Path(f".{ADDRESS_FILE}.new")
        draft.write_text(Address(port=port).model_dump_json(), encoding="utf-8")
        draft.replace(ADDRESS_FILE)
        sys.stdout.write(f"{order.model_name} version {order.version} answers on port {port}\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
