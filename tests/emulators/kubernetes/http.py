"""The API server's HTTP face: paths, verbs, lists with pages, watches, and requests that answer instead of being kept."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.emulators.kubernetes.access import Ask, Doorman, User, account
from tests.emulators.kubernetes.admission import admit
from tests.emulators.kubernetes.controllers import namespace_parts
from tests.emulators.kubernetes.deployments import through
from tests.emulators.kubernetes.kubelet import Kubelets
from tests.emulators.kubernetes.logs import answer_log
from tests.emulators.kubernetes.store import Obj, Refusal, Resource, Store, merged, selects

WATCH_POLL_SECONDS = 0.05
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
VERSION = {"major": "1", "minor": "33", "gitVersion": "v1.33.0-emulator", "platform": "emulator"}
Handler = Callable[["Request"], Awaitable[web.StreamResponse]]


@dataclass
class Request:
    """A request whose path is understood and whose sender is known."""

    http: web.Request
    user: User
    resource: Resource
    namespace: str
    name: str
    part: str

    def ask(self) -> Ask:
        """What it asks for, as RBAC sees it."""
        part = self.part.partition("/")[0]
        method, plural = self.http.method, self.resource.plural + (f"/{part}" if part else "")
        if method == "GET":
            watching = self.http.query.get("watch") in {"1", "true"}
            verb = "get" if self.name else "watch" if watching else "list"
        elif method == "DELETE":
            verb = "delete" if self.name else "deletecollection"
        else:
            verb = VERBS.get(method, method.lower())
        return Ask(verb, self.resource.group, plural, self.namespace, self.name)


class ApiServer:
    """Answers requests from the store.

    Args:
        resources: what is installed.

    `faults` are asked before a request is done and `losses` afterwards; a refusal that one returns is answered instead.
    """

    def __init__(self, store: Store, doorman: Doorman, kubelets: Kubelets, resources: tuple[Resource, ...]) -> None:
        self._store, self._doorman, self._kubelets = store, doorman, kubelets
        self._resources = resources
        self.faults: list[Callable[[str, str], Refusal | None]] = []
        self.losses: list[Callable[[str, str], Refusal | None]] = []
        self.asked: list[tuple[str, str]] = []

    def application(self) -> web.Application:
        """The whole API."""
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        self.asked.append((http.method, http.path))
        try:
            for fault in self.faults:
                refusal = fault(http.method, http.path)
                if refusal is not None:
                    raise refusal
            if http.path in {"/healthz", "/readyz", "/livez"}:
                return web.Response(text="ok")
            user = self._doorman.authenticate(http.headers)
            discovered = self._discovery(http.path)
            if discovered is not None:
                return web.json_response(discovered)
            answer = await self._dispatch(http, user)
            lost = next(filter(None, (loss(http.method, http.path) for loss in self.losses)), None)
            if lost is not None:
                raise lost
            return answer
        except Refusal as refusal:
            return web.json_response(refusal.status(), status=refusal.code)

    def _discovery(self, path: str) -> Obj | None:
        parts = [part for part in path.split("/") if part]
        groups = sorted({(each.group, each.version) for each in self._resources if each.group})
        if parts == ["version"]:
            return VERSION
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            listed = [
                {"name": group, "versions": [{"groupVersion": f"{group}/{version}", "version": version}]} for group, version in groups
            ]
            return {"kind": "APIGroupList", "groups": listed}
        of = (
            ("", parts[1])
            if len(parts) == 2 and parts[0] == "api"
            else tuple(parts[1:])
            if len(parts) == 3 and parts[0] == "apis"
            else None
        )
        found = [each for each in self._resources if (each.group, each.version) == of]
        if not found:
            return None
        kinds: list[Obj] = [
            {"name": each.plural, "namespaced": each.namespaced, "kind": each.kind, "verbs": ["get", "list", "watch"]} for each in found
        ]
        return {"kind": "APIResourceList", "groupVersion": found[0].api_version, "resources": kinds}

    async def _dispatch(self, http: web.Request, user: User) -> web.StreamResponse:
        parts = [part for part in http.path.split("/") if part]
        group, rest = ("", parts[2:]) if parts[:1] == ["api"] else (parts[1] if len(parts) > 1 else "", parts[3:])
        if group in {"authentication.k8s.io", "authorization.k8s.io"}:
            return await self._review(http, user, rest[0])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and self._known(group, rest[2]):
            namespace, rest = rest[1], rest[2:]
        resource = self._known(group, rest[0]) if rest else None
        if resource is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        name, part = (rest[1] if len(rest) > 1 else ""), "/".join(rest[2:])
        request = Request(http, user, resource, namespace, name, part)
        self._doorman.demand(user, request.ask())
        return await self._handler(request)(request)

    def _known(self, group: str, plural: str) -> Resource | None:
        return next((each for each in self._resources if (each.group, each.plural) == (group, plural)), None)

    def _handler(self, request: Request) -> Handler:
        method = request.http.method
        if request.part.startswith("proxy/"):
            return self._proxy
        if request.part:
            return {"log": self._log, "token": self._token, "eviction": self._eviction, "exec": self._exec}.get(request.part, self._absent)
        if method == "GET":
            watching = request.http.query.get("watch") in {"1", "true"}
            return self._get if request.name else self._watch if watching else self._list
        return {"POST": self._create, "PUT": self._replace, "PATCH": self._patch, "DELETE": self._delete}[method]

    async def _absent(self, request: Request) -> web.StreamResponse:
        raise Refusal(404, "NotFound", f"the server could not find the requested resource {request.part} (not emulated)")

    async def _get(self, request: Request) -> web.StreamResponse:
        return web.json_response(self._store.read(request.resource.plural, request.namespace, request.name))

    def _selected(self, request: Request) -> list[Obj]:
        labels, fields = request.http.query.get("labelSelector", ""), request.http.query.get("fieldSelector", "")
        found = [
            each
            for each in self._store.all(request.resource.plural, request.namespace)
            if selects(labels, each["metadata"].get("labels") or {})
        ]
        return [each for each in found if selects(fields, flat(each))] if fields else found

    async def _list(self, request: Request) -> web.StreamResponse:
        found = self._selected(request)
        limit, begin = int(request.http.query.get("limit", "0") or 0), 0
        resume = request.http.query.get("continue", "")
        if resume:
            begin, version = json.loads(base64.urlsafe_b64decode(resume))
            if int(version) < self._store.oldest:
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
        page = found[begin : begin + limit] if limit else found[begin:]
        meta: Obj = {"resourceVersion": self._store.version}
        if limit and begin + limit < len(found):
            mark = json.dumps([begin + limit, self._store.version])
            meta |= {"continue": base64.urlsafe_b64encode(mark.encode()).decode(), "remainingItemCount": len(found) - begin - limit}
        kind = {"kind": f"{request.resource.kind}List", "apiVersion": request.resource.api_version}
        return web.json_response(kind | {"metadata": meta, "items": page})

    async def _watch(self, request: Request) -> web.StreamResponse:
        query = request.http.query
        since = int(query.get("resourceVersion") or self._store.version)
        if since < self._store.oldest:
            raise Refusal(410, "Expired", f"too old resource version: {since} ({self._store.oldest})")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request.http)
        until = asyncio.get_running_loop().time() + float(query.get("timeoutSeconds", "300"))
        while asyncio.get_running_loop().time() < until:
            for version, kind, plural, body in list(self._store.history):
                if version <= since or plural != request.resource.plural:
                    continue
                since = version
                if request.namespace in {"", body["metadata"].get("namespace", "")} and selects(
                    query.get("labelSelector", ""), body["metadata"].get("labels") or {}
                ):
                    await response.write(json.dumps({"type": kind, "object": body}).encode() + b"\n")
            await asyncio.sleep(WATCH_POLL_SECONDS)
        return response

    async def _create(self, request: Request) -> web.StreamResponse:
        body = await read_body(request.http)
        resource = request.resource
        if body.get("apiVersion", resource.api_version) != resource.api_version or body.get("kind", resource.kind) != resource.kind:
            raise Refusal(400, "BadRequest", f"the object provided is not a {resource.kind} of {resource.api_version}")
        if resource.namespaced:
            space = self._store.get("namespaces", "", request.namespace)
            if space is None:
                raise Refusal(404, "NotFound", f'namespaces "{request.namespace}" not found')
            if space["metadata"].get("deletionTimestamp"):
                raise Refusal(
                    403, "Forbidden", f"unable to create new content in namespace {request.namespace} because it is being terminated"
                )
        body.setdefault("metadata", {})
        self._doorman.may_grant(request.user, resource.plural, request.namespace, body)
        admit(self._store, resource, request.namespace, body)
        if resource.plural == "pods":
            body["status"] = {"phase": "Pending"}
        if "stringData" in body:
            encoded = {name: base64.b64encode(value.encode()).decode() for name, value in body.pop("stringData").items()}
            body["data"] = (body.get("data") or {}) | encoded
        if request.http.query.get("dryRun") == "All":
            return web.json_response(body, status=201)
        made = self._store.create(resource, request.namespace, body)
        if resource.plural == "namespaces":
            namespace_parts(self._store, made["metadata"]["name"])
        return web.json_response(made, status=201)

    async def _replace(self, request: Request) -> web.StreamResponse:
        body = await read_body(request.http)
        old = self._store.read(request.resource.plural, request.namespace, request.name)
        return self._changed(request, old, body)

    async def _patch(self, request: Request) -> web.StreamResponse:
        kind = request.http.content_type
        if kind not in {"application/merge-patch+json", "application/strategic-merge-patch+json"}:
            raise Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind} (not emulated)")
        old = self._store.read(request.resource.plural, request.namespace, request.name)
        return self._changed(request, old, merged(old, await read_body(request.http)))

    def _changed(self, request: Request, old: Obj, body: Obj) -> web.StreamResponse:
        plural = request.resource.plural
        meta = body.setdefault("metadata", {})
        expect = str(meta.get("resourceVersion") or "")
        for fixed in ("uid", "creationTimestamp", "namespace", "name", "deletionTimestamp"):
            if fixed in old["metadata"]:
                meta[fixed] = old["metadata"][fixed]
        if plural == "jobs" and body["spec"]["template"] != old["spec"]["template"] and not old["spec"].get("suspend"):
            raise Refusal(422, "Invalid", f'Job.batch "{request.name}" is invalid: spec.template: field is immutable')
        if plural == "rolebindings" and body["roleRef"] != old["roleRef"]:
            raise Refusal(422, "Invalid", f'RoleBinding "{request.name}" is invalid: roleRef: cannot change roleRef')
        self._doorman.may_grant(request.user, plural, request.namespace, body)
        if plural in {"configmaps", "secrets"}:
            admit(self._store, request.resource, "", body)
        body |= {"apiVersion": request.resource.api_version, "kind": request.resource.kind}
        if request.http.query.get("dryRun") == "All":
            return web.json_response(body)
        return web.json_response(self._store.update(plural, body, expect=expect))

    async def _delete(self, request: Request) -> web.StreamResponse:
        options = await read_body(request.http) if request.http.can_read_body else {}
        foreground = options.get("propagationPolicy") == "Foreground"
        plural = request.resource.plural
        found = [self._store.read(plural, request.namespace, request.name)] if request.name else self._selected(request)
        if request.http.query.get("dryRun") == "All":
            found = []
        for each in found:
            if plural == "namespaces":
                each["metadata"]["finalizers"] = ["kubernetes"]
            self._store.delete(plural, each, foreground=foreground, grace_seconds=options.get("gracePeriodSeconds"))
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    async def _log(self, request: Request) -> web.StreamResponse:
        pod = self._store.read("pods", request.namespace, request.name)
        return await answer_log(self._store, self._kubelets, pod, request.http)

    async def _proxy(self, request: Request) -> web.StreamResponse:
        path = request.part.removeprefix("proxy/")
        return await through(self._store, request.namespace, request.name, path, request.http)

    async def _exec(self, request: Request) -> web.StreamResponse:
        raise Refusal(501, "NotImplemented", "exec is not emulated; that it was let in is what an audit wants to know")

    async def _token(self, request: Request) -> web.StreamResponse:
        self._store.read("serviceaccounts", request.namespace, request.name)
        body = await read_body(request.http)
        seconds = float((body.get("spec") or {}).get("expirationSeconds", 3600))
        if seconds < 600:
            raise Refusal(422, "Invalid", "spec.expirationSeconds: may not specify a duration less than 10 minutes")
        token = self._doorman.issue_account(request.namespace, request.name, seconds)
        until = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.json_response(body | {"status": {"token": token, "expirationTimestamp": until}}, status=201)

    async def _eviction(self, request: Request) -> web.StreamResponse:
        pod = self._store.read("pods", request.namespace, request.name)
        if request.http.query.get("dryRun") != "All":
            self._store.delete("pods", pod)
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)

    async def _review(self, http: web.Request, user: User, kind: str) -> web.StreamResponse:
        body = await read_body(http)
        if kind == "tokenreviews":
            self._doorman.demand(user, Ask("create", "authentication.k8s.io", "tokenreviews"))
            found = self._doorman.known(body["spec"]["token"])
            status: Obj = {"authenticated": found is not None}
            if found is not None:
                status["user"] = {"username": found.name, "groups": list(found.groups)}
        elif kind in {"selfsubjectaccessreviews", "subjectaccessreviews"}:
            status = self._may(http, user, kind, body)
        else:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return web.json_response(body | {"status": status}, status=201)

    def _may(self, http: web.Request, user: User, kind: str, body: Obj) -> Obj:
        if kind == "subjectaccessreviews":
            self._doorman.demand(user, Ask("create", "authorization.k8s.io", "subjectaccessreviews"))
            parts = body["spec"]["user"].split(":")
            user = account(parts[2], parts[3]) if len(parts) == 4 else User(body["spec"]["user"])
        asked = body["spec"].get("resourceAttributes") or {}
        plural = asked.get("resource", "") + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        ask = Ask(asked.get("verb", ""), asked.get("group", ""), plural, asked.get("namespace", ""), asked.get("name", ""))
        return {"allowed": self._doorman.allows(user, ask)}


async def read_body(http: web.Request) -> dict[str, Any]:
    """The JSON of a request. Raises Refusal 400."""
    try:
        body = json.loads(await http.read() or b"{}")
    except ValueError as error:
        raise Refusal(400, "BadRequest", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "BadRequest", "the body is not an object")
    return body


def flat(body: Obj, prefix: str = "") -> dict[str, str]:
    """The fields that a field selector may name."""
    found: dict[str, str] = {}
    for name, value in body.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | bool):
            found[f"{prefix}{name}"] = str(value)
    return found
