"""A browser over the console's files, and a small factory of the same routes behind them."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from api.doors import SecurityHeaders
from api.errors import problem
from tests.console.desk import Desk
from tools.plan import DryRun, Effect, Plan, Price, Step

CHROMIUM = Path("/usr/bin/chromium")
CONSOLE = Path(__file__).parents[2] / "console"
KEY = "the-key-of-the-test"
THREAD = "thread-0001"
PLAN = "plan-0001-1"
COST = {
    "currency": "USD",
    "spent": "0.000512",
    "reserved": "0",
    "lines": [{"unit": "slot_seconds", "subject": "cpu", "quantity": "24.4", "quantity_out": "0", "amount": "0.000512"}],
}

LINE = {
    "project": "ocr",
    "key": "k1",
    "model": "<b>fast</b>",
    "unit": "tokens",
    "calls": 12,
    "quantity": "15300.000000",
    "quantity_out": "2100.000000",
    "quantity_cached": "0",
    "quantity_reasoning": "0",
    "amount": "0.000432100000",
}
INVOICE = {
    "tenant": "vision",
    "since": "2026-11-01",
    "until": "2026-12-01",
    "currency": "USD",
    "by": ["project", "key", "model"],
    "lines": [LINE],
    "total": "0.000432100000",
}


def example_plan() -> Plan:
    """A plan with what a card has to show: references, a gate, a price, an undo, a note."""
    lease = Step(
        id="lease",
        tool="leases.acquire",
        agent="provisioner",
        summary="Lease 2 slots for an hour at most",
        arguments={"slots": 2, "purpose": "training digits-classifier", "seconds": 3600},
        effect=Effect.COSTLY,
        undo="release the lease",
        postcondition="the lease is active with as many slots, and reserved in the ledger",
        dry_run=DryRun(quota="0 of 2 slots of team vision in use; 2 more", reason="free now", starts_in_seconds=0.0),
        price=Price(low="0.0008", high="0.1", basis="2 cpu slots for 30 to 3600 s, price book 2025-01"),
    )
    train = Step(
        id="train",
        tool="training.run",
        agent="trainer",
        summary="Train digits-classifier on digits (algorithm: auto)",
        arguments={"dataset": "digits", "lease_id": {"from_step": "lease", "field": "lease_id"}},
        after=("lease",),
        effect=Effect.COSTLY,
        runs_as="job",
        undo="cancel the job; its run stays in MLflow as a record",
    )
    gate = Step(
        id="gate",
        tool="deployments.gate",
        agent="deployer",
        summary="Go on only if the accuracy beats 95 %",
        arguments={"metric": "accuracy", "threshold": 0.95},
        after=("train",),
        gate=True,
    )
    deploy = Step(
        id="deploy",
        tool="deployments.deploy",
        agent="deployer",
        summary="Put the new version live as digits",
        arguments={"endpoint": "digits"},
        after=("gate",),
        effect=Effect.WRITE,
        undo="roll back to the version before",
    )
    return Plan(
        id=PLAN,
        tenant="vision",
        thread_id=THREAD,
        requested_by="ada (key-1)",
        request="Train a digit classifier.",
        title="Train digits-classifier on digits and put it live as digits if it beats 95 % accuracy",
        steps=(lease, train, gate, deploy),
        price=Price(low="0.0008", high="0.1", basis="2 cpu slots for 30 to 3600 s"),
        notes=("No GPU is here: a slot is a CPU core.",),
        planner="playbook (no model)",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )


class FakeFactory:
    """The API's routes as far as the console calls them, over what a test puts in."""

    def __init__(self) -> None:
        self.url = ""
        self.role = "admin"
        self.tenant: str | None = None
        self.events: list[dict[str, Any]] = []
        self.threads: list[dict[str, Any]] = []
        self.record: dict[str, Any] = {}
        self.log = ""
        self.log_complete = False
        self.messages: list[dict[str, Any]] = []
        self.decisions: list[tuple[str, dict[str, Any]]] = []
        self.resumed_from: list[int] = []
        self.cut_after: int | None = None
        self.messages_fail = False
        self.revoked = False
        self.asked: list[str] = []
        self.invoice: dict[str, Any] = INVOICE
        self.fleet: dict[str, Any] = {"/v1/pools": [], "/v1/nodes": [], "/v1/jobs": []}
        self.desk = Desk()
        self.provider: str | None = None
        self.answers: dict[str, Any] = {}
        self.broken = False
        self.acts: list[tuple[str, str, Any]] = []
        self.stopping = False

    def open_thread(self, title: str = "Train a digit classifier") -> None:
        """Have a thread."""
        made = {"id": THREAD, "tenant": None, "created_by": "ada (key-1)", "title": title, "created_at": datetime.now(UTC).isoformat()}
        self.threads.append(made)

    def tell(self, kind: str, payload: dict[str, Any], plan_id: str = "") -> None:
        """Have something happen."""
        event = {"id": len(self.events) * 3 + 1, "tenant": None, "thread_id": THREAD, "plan_id": plan_id, "kind": kind}
        self.events.append({**event, "payload": payload, "at": datetime.now(UTC).isoformat()})

    def propose(self, plan: Plan | None = None) -> Plan:
        """Have a plan proposed, in the record first, as the workflow does."""
        plan = plan or example_plan()
        document = plan.model_dump(mode="json")
        self.record = {"id": plan.id, "digest": plan.digest(), "state": "proposed", "document": document, "outcome": {}, "decided_by": None}
        self.tell("plan.proposed", {"plan": document, "digest": plan.digest()}, plan.id)
        return plan

    def step(self, kind: str, step: str, **payload: Any) -> None:
        """Have something happen to a step of the plan."""
        self.tell(f"step.{kind}", {"step": step, **payload}, PLAN)

    def end(self, state: str, **outcome: Any) -> None:
        """Have the plan end."""
        empty = {"done": [], "skipped": [], "undone": [], "undo_failed": [], "results": {}, "code": "", "reason": "", "remedy": ""}
        document = {**empty, **outcome, "state": state, "cost": COST}
        self.record.update(state=state, outcome=document)
        self.tell("plan.ended", {**document, "text": ""}, PLAN)
        links = [{"title": f"plan {PLAN}", "url": f"/v1/plans/{PLAN}"}, {"title": "not a link", "url": "javascript:alert(1)"}]
        self.tell("message.assistant", {"text": f"It is {state}.", "citations": links, "plan_id": PLAN, "state": state}, PLAN)

    async def sign_in(self, request: Request) -> Response:
        if (await request.json())["key"] != KEY:
            return problem(401, "unauthenticated", "The key is not known.", "Use a key that is not revoked.")
        response = Response(status_code=204)
        response.set_cookie("lineshaft_session", "signed", httponly=True, samesite="strict", path="/")
        return response

    async def sign_out(self, request: Request) -> Response:
        response = Response(status_code=204)
        response.delete_cookie("lineshaft_session", path="/")
        return response

    async def read(self, request: Request) -> Response:
        """Every plain GET."""
        if "lineshaft_session" not in request.cookies or self.revoked:
            return problem(401, "unauthenticated", "A key is needed.", "Sign in.")
        self.asked.append(str(request.url.query))
        if self.broken and request.url.path != "/v1/me":
            return problem(503, "unavailable", "The database does not answer.", "Try again in a moment.")
        known = {**self._known(), **self.answers}
        if request.url.path not in known:
            return problem(404, "not_found", "It is not there.", "List what there is.")
        return JSONResponse(self._page(known[request.url.path], request))

    def _page(self, known: Any, request: Request) -> Any:
        """The part of a list that is asked for."""
        if not isinstance(known, list) or "limit" not in request.query_params:
            return known
        query = request.query_params
        first = int(query.get("offset", 0))
        rows = [row for row in known if row["seq"] > int(query["after"])] if "after" in query else known
        return rows[first : first + int(query["limit"])]

    async def act(self, request: Request) -> Response:
        """Whatever else is asked to be done: kept for the test, answered as the test says."""
        path, body = request.url.path, await request.body()
        self.acts.append((request.method, path + (f"?{request.url.query}" if request.url.query else ""), json.loads(body or b"null")))
        answer = self.answers.get(f"{request.method} {path}")
        if isinstance(answer, tuple):
            return problem(*answer)
        return Response(status_code=204) if answer is None else JSONResponse(answer)

    def _known(self) -> dict[str, Any]:
        team = {"name": "vision", "budget": "20", "quota_slots": 2, "created_at": datetime.now(UTC).isoformat()}
        slots = [{"index": index, "kind": "cpu", "name": "core", "memory_gib": 4.0} for index in range(2)]
        return {
            "/v1/me": {"name": "ada", "role": self.role, "tenant": self.tenant},
            "/v1/links": {
                "temporal_url": "http://127.0.0.1:8233",
                "temporal_namespace": "default",
                "mlflow_url": "http://127.0.0.1:5000",
                "model": "none",
            },
            "/v1/tenants": [team],
            "/v1/tenants/vision": team,
            "/v1/threads": self.threads,
            f"/v1/plans/{PLAN}": self.record,
            "/v1/accelerators": {"name": "local", "slots": slots, "note": ""},
            "/v1/leases": [],
            "/v1/endpoints": [],
            "/v1/cost": {**COST, "lines": []},
            "/v1/invoices": self.invoice,
            "/v1/keys": self.desk.keys,
            "/v1/limits": self.desk.limits,
            **self.fleet,
        }

    async def open(self, request: Request) -> Response:
        self.open_thread(title="")
        return JSONResponse(self.threads[-1], status_code=201)

    async def message(self, request: Request) -> Response:
        """Take a message, or fail after it was taken, as a broken connection does."""
        body = await request.json()
        if all(each["message_id"] != body["message_id"] for each in self.messages):
            self.messages.append(body)
            if not self.messages_fail:
                self.tell("message.user", {"text": body["text"], "actor": "ada (key-1)", "message_id": body["message_id"]})
        if self.messages_fail:
            return problem(503, "unavailable", "Temporal does not answer.", "See 'lineshaft status'; try again.")
        return JSONResponse({"message_id": body["message_id"], "turn": 1}, status_code=202)

    async def decide(self, request: Request) -> Response:
        """Take the first decision."""
        action, body = request.path_params["action"], await request.json()
        self.decisions.append((action, body))
        if self.record["state"] != "proposed" and action != "cancel":
            reason = f"Plan {PLAN} is {self.record['state']} already."
            return problem(409, "conflict", reason, "Read its present state and decide again.")
        state = {"approve": "approved", "refuse": "refused", "cancel": "running"}[action]
        if action == "approve":
            self.record.update(state="running", decided_by="ada (key-1)")
            self.tell("plan.approved", {"actor": "ada (key-1)", "digest": body["digest"]}, PLAN)
            self.tell("plan.started", {"steps": 4}, PLAN)
        elif action == "refuse":
            self.tell("plan.refused", {"actor": "ada (key-1)", "reason": body["reason"]}, PLAN)
            self.end("refused", code="refused", reason=body["reason"])
        return JSONResponse({"state": state, "steps": {}})

    async def logs(self, request: Request) -> Response:
        data, offset = self.log.encode(), int(request.query_params["offset"])
        return JSONResponse({"text": data[offset:].decode(), "next_offset": len(data), "complete": self.log_complete})

    async def listen(self, request: Request) -> Response:
        """Events as a page or as a stream, which `cut_after` breaks once."""
        after = int(request.headers.get("last-event-id", request.query_params.get("after", "0")))
        if "text/event-stream" not in request.headers.get("accept", ""):
            return JSONResponse([event for event in self.events if event["id"] > after])
        self.resumed_from.append(after)
        return StreamingResponse(self._stream(request, after), media_type="text/event-stream")

    async def _stream(self, request: Request, after: int) -> AsyncIterator[str]:
        yield "retry: 500\n\n"
        while not self.stopping and not await request.is_disconnected():
            for event in [event for event in self.events if event["id"] > after]:
                if self.cut_after is not None and event["id"] > self.cut_after:
                    self.cut_after = None
                    yield f"id: {event['id']}\nevent: {event['kind']}\nda"
                    return
                after = event["id"]
                yield f"id: {event['id']}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n"
            await asyncio.sleep(0.02)

    def app(self) -> Starlette:
        routes = [
            Route("/v1/session", self.sign_in, methods=["POST"]),
            Route("/v1/sign-in/provider", lambda request: JSONResponse({"provider": self.provider})),
            Route("/v1/session", self.sign_out, methods=["DELETE"]),
            Route("/v1/threads", self.open, methods=["POST"]),
            Route("/v1/threads/{thread}/messages", self.message, methods=["POST"]),
            Route("/v1/threads/{thread}/events", self.listen),
            Route("/v1/plans/{plan}/{action}", self.decide, methods=["POST"]),
            Route("/v1/jobs/{job}/logs", self.logs),
            *self.desk.routes(),
            Route("/v1/{rest:path}", self.read),
            Route("/v1/{rest:path}", self.act, methods=["POST", "PUT", "PATCH", "DELETE"]),
            Route("/", lambda request: RedirectResponse("/console/")),
            Mount("/console", StaticFiles(directory=CONSOLE, html=True)),
        ]
        app = Starlette(routes=routes)
        app.add_middleware(SecurityHeaders)
        return app


@pytest.fixture
def fake() -> Iterator[FakeFactory]:
    """A served factory without anything in it."""
    factory = FakeFactory()
    server = uvicorn.Server(uvicorn.Config(factory.app(), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    limit = threading.Event()
    while not server.started and thread.is_alive():
        limit.wait(0.02)
    factory.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield factory
    factory.stopping = server.should_exit = True
    thread.join(10)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One real browser for all pages: to start it takes seconds."""
    if not CHROMIUM.exists():
        pytest.skip(f"There is no browser at {CHROMIUM}: install Debian's chromium to run this.")
    expect.set_options(timeout=30_000)  # of a machine that does much else
    async with async_playwright() as driver:
        started = await driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that knows nothing of others; an error in the console's own code, or a breach of its content policy, fails the test."""
    troubles: list[str] = []
    context = await browser.new_context()
    opened = await context.new_page()
    opened.set_default_timeout(30_000)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    await context.close()
    assert troubles == []
