"""HTTP to one upstream: a pool of kept connections, one deadline a call, bounded answers, and faults as our own errors."""

import asyncio
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from factory_infra.errors import LineshaftError
from factory_infra.saas.models.backends import faults

ANSWER_BYTES_MAX = 64_000_000
ERROR_BYTES_MAX = 65_536
CONNECT_SECONDS_MAX = 10.0
IDLE_SECONDS_MAX = 4.0
"""Below what common servers keep an idle connection: one that they close as we write to it costs the call."""
READ_BYTES = 65_536
END_SECONDS_MAX = 0.25
FAULTS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(slots=True)
class Outgoing:
    """One request. `accept` is what the answer's content type must begin with."""

    method: str
    path: str
    call_id: str
    deadline_seconds: float
    data: bytes | aiohttp.FormData | None = None
    accept: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Connection:
    """The way to one upstream. Opens with the first call, in the loop of that call. No proxy, no cookie, no redirect, no retry."""

    def __init__(self, name: str, url: str, key: str | None, connections_max: int) -> None:
        self.name = name
        self._url = url
        self._key = key or ""
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None
        self._addresses: dict[str, URL] = {}

    async def close(self) -> None:
        """Give the connections back; a later call would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, outgoing: Outgoing) -> aiohttp.ClientResponse:
        """Send, and return the answer once it says 200 in the right type; its body is still to be read, or to be closed.

        Raises what the seam's contract says of faults.
        """
        try:
            response = await self._request(outgoing)
        except FAULTS as error:
            raise self.fault_of(error, outgoing.deadline_seconds) from error
        kind = response.headers.get("Content-Type", "")
        if response.status == 200 and kind.startswith(outgoing.accept) and "Content-Encoding" not in response.headers:
            return response
        raise await self._refusal(response, kind)

    async def whole(self, outgoing: Outgoing) -> tuple[bytes, str]:
        """Send, and return the whole answer, bounded, and its content type."""
        response = await self.send(outgoing)
        try:
            return await self._read(response, ANSWER_BYTES_MAX), response.headers.get("Content-Type", "")
        except FAULTS as error:
            raise self.fault_of(error, outgoing.deadline_seconds) from error
        finally:
            response.close()

    async def finish(self, response: aiohttp.ClientResponse) -> None:
        """Read a stream's last bytes after it told its end, so that the connection can be used again; not for long."""
        try:
            async with asyncio.timeout(END_SECONDS_MAX):
                while await response.content.readany():
                    pass
        except FAULTS:
            response.close()

    def fault_of(self, error: Exception, deadline_seconds: float) -> LineshaftError:
        """A fault of the transport in our words."""
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            return faults.too_late(self.name, deadline_seconds)
        if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
            return faults.not_the_protocol(self.name, "with what is not HTTP")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return faults.unavailable(self.name, "cannot be reached")
        return faults.unavailable(self.name, "broke the connection off")

    async def _request(self, outgoing: Outgoing) -> aiohttp.ClientResponse:
        session = self._session if self._session is not None else self._open()
        headers = {"X-Request-Id": outgoing.call_id, "Accept": outgoing.accept, **outgoing.headers}
        if isinstance(outgoing.data, bytes):
            headers["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=outgoing.deadline_seconds, sock_connect=min(CONNECT_SECONDS_MAX, outgoing.deadline_seconds))
        return await session.request(
            outgoing.method, self._address(outgoing.path), data=outgoing.data, headers=headers, timeout=timeout, allow_redirects=False
        )

    def _address(self, path: str) -> URL:
        address = self._addresses.get(path)
        if address is None:
            address = URL(self._url + path)
            if len(self._addresses) < 16:  # the fixed paths; those with an id in them are not worth keeping
                self._addresses[path] = address
        return address

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Accept-Encoding": "identity", "User-Agent": "lineshaft"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connector = aiohttp.TCPConnector(limit=self._connections_max, keepalive_timeout=IDLE_SECONDS_MAX, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers, trust_env=False, auto_decompress=False
        )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse, kind: str) -> LineshaftError:
        """What an answer other than the wanted one becomes; it is read as far as an error's message goes."""
        try:
            if response.status == 200:
                what = "in an encoding" if "Content-Encoding" in response.headers else f"with the type '{faults.told(kind)[:60]}'"
                return faults.not_the_protocol(self.name, what)
            raw = await self._read(response, ERROR_BYTES_MAX)
        except (*FAULTS, LineshaftError):
            raw = b""
        finally:
            response.close()
        message = faults.told(faults.message_in(raw), self._key, self._url)
        return faults.of_status(self.name, response.status, message, response.headers.get("Retry-After"))

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        content = response.content
        first = await content.readany()
        if content.at_eof():
            return first
        parts, size = [first], len(first)
        while data := await content.readany():
            parts.append(data)
            size += len(data)
            if size > limit:
                raise faults.not_the_protocol(self.name, f"with more than {limit:,} bytes")
        return b"".join(parts)
