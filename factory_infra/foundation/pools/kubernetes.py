"""The API of a Kubernetes cluster: requests, pages, streams, and its refusals as our errors. Connects when it is first asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from factory_infra.errors import (
    Conflict,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    QuotaExceeded,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from factory_infra.foundation.pools.kubeconfig import Access, access_for
from factory_infra.foundation.pools.spec import KubernetesPool

Manifest = Mapping[str, object]
Params = Mapping[str, str | int]
MERGE = "application/merge-patch+json"
PAGE = 500
PAGES_MAX = 200
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
REFUSAL_CHARACTERS = 400


class Refused(Forbidden):
    """The cluster knows who asks, and says no: a right is missing, or a policy stands against it."""

    code = "permission_missing"


class Read(BaseModel):
    """A part of an answer of the cluster: what is not named is passed over."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)


class ListMeta(Read):
    """How a list goes on."""

    resume: str = Field(default="", alias="continue")
    resource_version: str = ""


class Page(Read):
    """A page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[dict[str, object]] = []


class Status(Read):
    """How the cluster says no."""

    message: str = ""
    reason: str = ""


class _Group(Read):
    name: str


class _Groups(Read):
    groups: list[_Group] = []


R = TypeVar("R", bound=BaseModel)


class Kubernetes:
    """One cluster, asked with one right.

    Args:
        pool: which cluster.
        access: where it is and as whom; found from the pool at the first request if None.
    """

    def __init__(self, pool: KubernetesPool, access: Access | None = None) -> None:
        self.pool = pool
        self._access = access
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._groups: frozenset[str] | None = None

    def bearing(self, token: str) -> "Kubernetes":
        """The same cluster, asked as whoever has this token."""
        mine = self._found()
        user = type(mine.user)(token=token)
        return Kubernetes(self.pool, Access(mine.server, mine.cluster, user, mine.folder))

    async def get(self, path: str, model: type[R], params: Params | None = None) -> R:
        """Return one object. Raises NotFound."""
        answer = await self._ask("GET", path, params=params)
        return parsed(model, answer.content, path)

    async def find(self, path: str, model: type[R]) -> R | None:
        """Return one object, or None where there is none."""
        try:
            return await self.get(path, model)
        except NotFound:
            return None

    async def items(self, path: str, model: type[R], params: Params | None = None) -> list[R]:
        """Return every object of a list, page by page."""
        found: list[R] = []
        resume = ""
        for _ in range(PAGES_MAX):
            page = await self.get(path, Page, {**(params or {}), "limit": PAGE, **({"continue": resume} if resume else {})})
            found += [parsed_object(model, item, path) for item in page.items]
            resume = page.metadata.resume
            if not resume:
                break
        return found

    async def create(self, path: str, manifest: Manifest, params: Params | None = None) -> None:
        """Create an object. Raises Conflict where one of this name exists."""
        await self._ask("POST", path, body=manifest, params=params)

    async def post(self, path: str, manifest: Manifest, model: type[R]) -> R:
        """Send a request that answers with an object, such as one for a token."""
        return parsed(model, (await self._ask("POST", path, body=manifest)).content, path)

    async def ensure(self, path: str, manifest: Manifest) -> bool:
        """Create an object unless one of this name exists. Returns whether it was made now."""
        try:
            await self.create(path, manifest)
        except Conflict:
            return False
        return True

    async def patch(self, path: str, change: Manifest, params: Params | None = None) -> None:
        """Merge a change into an object. Raises NotFound; Conflict where it names a resourceVersion that passed."""
        await self._ask("PATCH", path, body=change, params=params, kind=MERGE)

    async def replace(self, path: str, manifest: Manifest) -> None:
        """Put an object in the place of one."""
        await self._ask("PUT", path, body=manifest)

    async def delete(
        self, path: str, *, propagation: str = "Background", grace_seconds: int | None = None, params: Params | None = None
    ) -> bool:
        """Ask for an object's end. Returns False where there is none."""
        body: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._ask("DELETE", path, body=body, params=params)
        except NotFound:
            return False
        return True

    async def groups(self) -> frozenset[str]:
        """Return the API groups that are installed, asked once."""
        if self._groups is None:
            self._groups = frozenset(each.name for each in (await self.get("/apis", _Groups)).groups)
        return self._groups

    @asynccontextmanager
    async def stream(self, path: str, params: Params) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a long answer piece by piece; leaving the block ends it."""
        request = self._connected().build_request("GET", path, params=dict(params), headers=await self._headers())
        try:
            answer = await self._connected().send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        try:
            if answer.is_error:
                await answer.aread()
                raise refusal(answer, self.pool.name)
            yield answer.aiter_bytes()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            await answer.aclose()

    async def aclose(self) -> None:
        """Let go of the connections; the next request opens new ones."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _ask(
        self, method: str, path: str, *, body: Manifest | None = None, params: Params | None = None, kind: str = "application/json"
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        for fresh in (False, True):
            headers = await self._headers(fresh=fresh) | ({"Content-Type": kind} if content is not None else {})
            try:
                answer = await self._connected().request(method, path, content=content, params=dict(params or {}), headers=headers)
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
            if answer.status_code != httpx.codes.UNAUTHORIZED or not self._found().renewable:
                break
        if answer.is_error:
            raise refusal(answer, self.pool.name)
        return answer

    async def _headers(self, *, fresh: bool = False) -> dict[str, str]:
        token = (await self._found().token(fresh=fresh)).strip()
        return {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}

    def _found(self) -> Access:
        if self._access is None:
            self._access = access_for(self.pool)
        return self._access

    def _connected(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            # Connections belong to the loop that opened them; those of one that has ended are of no use.
            self._loop = loop
            timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
            self._client = httpx.AsyncClient(base_url=self._found().server, verify=self._found().verify(), timeout=timeout)
        return self._client

    def _unreachable(self, error: httpx.HTTPError) -> Unavailable:
        slow = "did not answer in time" if isinstance(error, httpx.TimeoutException) else f"cannot be reached ({type(error).__name__})"
        return Unavailable(
            f"The cluster of pool '{self.pool.name}' {slow}.",
            remedy=f"See that {self._found().server} is up and can be reached from here.",
            code="pool_unreachable",
        )


def parsed(model: type[R], content: bytes, path: str) -> R:
    """Read an answer. Raises EffectFailed for one that is none of this kind."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise EffectFailed(f"The cluster's answer to {path} cannot be read.", remedy="See that its address is an API server.") from error


def parsed_object(model: type[R], item: object, path: str) -> R:
    """The same for one object of a list."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        raise EffectFailed(f"An object under {path} cannot be read.", remedy="See which version the cluster runs.") from error


def refusal(answer: httpx.Response, pool: str) -> LineshaftError:
    """Turn a refusal into an error of ours: what the cluster said, and what to do."""
    try:
        status = Status.model_validate_json(answer.content)
    except ValidationError:
        status = Status(message=answer.text)
    said = " ".join((status.message or answer.reason_phrase).split())[:REFUSAL_CHARACTERS]
    if answer.status_code in {401, 403}:
        return _of_access(answer.status_code, said, pool)
    if answer.status_code in {429, 500, 502, 503, 504}:
        reason = f"The cluster of pool '{pool}' does not answer now: {said}"
        return Unavailable(reason, remedy="It is tried again.", code="pool_unreachable", retry_after_seconds=waits(answer))
    return _of_object(answer.status_code, said, pool)


def _of_access(status: int, said: str, pool: str) -> LineshaftError:
    if status == 401:
        return Unauthenticated(
            f"The cluster of pool '{pool}' does not take our credentials: they have expired, were revoked, or are of another cluster.",
            remedy="Sign in again, or renew the token in the kubeconfig, and check with 'lineshaft pools check'.",
            code="credentials_expired",
        )
    if "exceeded quota" in said:
        return QuotaExceeded(f"The namespace's quota refuses it: {said}", remedy="End something of the team, or raise its quota.")
    return Refused(f"The cluster of pool '{pool}' refuses: {said}", remedy="Give our account the role in docs/kubernetes.md.")


def _of_object(status: int, said: str, pool: str) -> LineshaftError:
    match status:
        case 404:
            return NotFound(f"The cluster has none: {said}")
        case 409:
            return Conflict(f"The cluster says: {said}")
        case 410:
            return Conflict(f"The cluster has forgotten where the list stood: {said}", remedy="List again.", code="list_expired")
        case 413:
            return TooLarge(f"The cluster does not take so much: {said}", remedy="A ConfigMap or Secret holds at most 1 MiB.")
        case 400 | 422:
            return InvalidInput(f"The cluster does not take it: {said}", code="cluster_invalid")
        case _:
            return EffectFailed(f"The cluster of pool '{pool}' answered {status}: {said}")


def waits(answer: httpx.Response) -> float | None:
    """How long the server asks to wait, in seconds."""
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isdigit() else None
