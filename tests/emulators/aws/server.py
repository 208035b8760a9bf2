"""The emulator's server: moto behind a door that counts, injects faults, and says clearly what is not emulated."""

import contextlib
import io
import itertools
import json
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import BackendRequest, DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

from tests.emulators.aws import ec2, ec2_instances, hyperpod
from tests.emulators.aws.faults import Fault, FaultPlan
from tests.emulators.aws.protocol import about, action_of, error, signed
from tests.emulators.aws.remembered import remember
from tests.emulators.aws.world import FROM_MOTO, Answer, Request, World, answering

ACCOUNTS = itertools.count(100_000_000_001)
PLUGINS: list[Callable[[World], None]] = [ec2.plug, ec2_instances.plug, hyperpod.plug]
"""Each puts its handlers and its state into a fresh world; other services add theirs by `PLUGINS.append`."""
Raw = tuple[bytes, int, dict[str, str]]


class Emulator:
    """One AWS on a port of the loopback interface. `fresh` gives a new, empty account; everything else looks at the present one."""

    def __init__(self) -> None:
        self.world = World(account="")
        self.faults = FaultPlan()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer | None = None
        self._lock = threading.RLock()
        self.fresh()

    def fresh(self) -> World:
        """Begin a new account: nothing of the one before is seen in it."""
        with self._lock:
            self.world, self.faults = World(account=str(next(ACCOUNTS))), FaultPlan()
            for plug in PLUGINS:
                plug(self.world)
            return self.world

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None, "the emulator is not started"
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Listen on a free port of the loopback interface, in threads that end with the process."""
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Quiet)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @contextlib.contextmanager
    def serving(self) -> Iterator["Emulator"]:
        """Listen until the block ends."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one call."""
        body, call = self._read(environ)
        with self._lock:
            world = self.world
            world.calls[call.service, call.action] += 1
            world.bodies[call.service, call.action] = call.body.decode("latin1")
            world.told.append((call.service, call.action, about(call.service, call.body, call.path)))
            fault = self.faults.of(call.service, call.action)
        if fault is not None and fault.seconds:
            time.sleep(fault.seconds)
        if fault is not None and fault.kind == "dropped_before":
            return _hang_up(environ, start_response)
        answer = self._faulty(call, fault)
        if answer is None:
            environ["wsgi.input"] = io.BytesIO(body)
            if not call.temporary:
                environ["HTTP_X_MOTO_ACCOUNT_ID"] = world.account
            answer = self._answer(world, call, environ)
        if fault is not None and fault.kind == "dropped":
            return _hang_up(environ, start_response)
        return _send(answer, start_response, head=call.method == "HEAD")

    def _read(self, environ: dict[str, Any]) -> tuple[bytes, Request]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        key, region, service = signed(environ.get("HTTP_AUTHORIZATION", ""))
        action = action_of(service, BackendRequest(environ), body) if service else environ["PATH_INFO"]
        environ["wsgi.input"] = io.BytesIO(body)
        call = Request(
            service=service,
            action=action,
            region=region,
            account=self.world.account,
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            query=environ.get("QUERY_STRING", ""),
            body=body,
            temporary=key.startswith("ASIA"),
        )
        return body, call

    @staticmethod
    def _faulty(call: Request, fault: Fault | None) -> Raw | None:
        if fault is None or fault.error is None:
            return None
        code, message, status = fault.error
        return error(call.service, code, message, status)

    def _answer(self, world: World, call: Request, environ: dict[str, Any]) -> Raw:
        with world.lock:
            try:
                handler = world.handlers.get((call.service, call.action))
                answered = handler(world, call) if handler is not None else FROM_MOTO
                if isinstance(answered, Answer):
                    return _raw(call, answered)
                with answering(world):
                    return self._from_moto(call, environ)
            except NotImplementedError as missing:
                return error(call.service, "NotEmulated", f"{call.service} {call.action} is not emulated ({missing})", 501)
            except Exception:  # noqa: BLE001 - told to the test, whatever it is
                world.broken.append(traceback.format_exc())
                return error(call.service, "NotEmulated", f"the emulator broke in {call.service} {call.action}", 501)

    def _from_moto(self, call: Request, environ: dict[str, Any]) -> Raw:
        chunks, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
        code, body = int(str(status).split()[0]), b"".join(chunks)
        page = headers.get("Content-Type", "").startswith("text/html") and call.service != "s3"
        if page and (code >= 500 or code == 404):
            return error(call.service, "NotEmulated", f"{call.service} {call.action} is not emulated", 501)
        return body, code, dict(headers.items())


def _raw(call: Request, answer: Answer) -> Raw:
    if answer.code:
        return error(call.service, answer.code, str(answer.body), answer.status if answer.status != 200 else 400)
    if isinstance(answer.body, bytes | str):
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    else:
        body = json.dumps(answer.body, default=str).encode()
    return body, answer.status, {"Content-Type": "application/x-amz-json-1.1", **answer.headers}


def _send(answer: Raw, start_response: Callable[..., Any], *, head: bool = False) -> Iterable[bytes]:
    """Send an answer; one to HEAD has the length of what it does not send."""
    body, status, headers = answer
    length = next((value for name, value in headers.items() if head and name.lower() == "content-length"), str(len(body)))
    kept = {name: value for name, value in headers.items() if name.lower() not in {"content-length", "connection"}}
    told = {"x-amzn-RequestId": str(uuid.uuid4()), **kept, "Content-Length": length}
    start_response(f"{status} X", list(told.items()))
    return [body]


def _hang_up(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Break the connection: the caller never learns what happened."""
    with contextlib.suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    start_response("200 X", [("Content-Length", "1"), ("Connection", "close")])
    return [b" "]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args: Any, **more: Any) -> None:
        """Say nothing."""


remember()
default_user_config["batch"] = {"use_docker": False}
default_user_config["lambda"] = {"use_docker": False}
