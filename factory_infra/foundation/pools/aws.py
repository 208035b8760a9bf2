"""How a pool of AWS is reached: sessions, clients, calls in threads under a deadline, and AWS's faults in our words."""

import asyncio
import functools
import random
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_after_delay

from factory_infra.errors import InvalidInput, LineshaftError, Unavailable
from factory_infra.foundation.pools.aws_errors import credentials_expired, not_answering, of_client_error, region_unknown, told
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings

if TYPE_CHECKING:
    from botocore.session import Session

Answer = dict[str, object]
Result = TypeVar("Result")
ATTEMPTS_OF_READS = 4
ATTEMPTS_OF_CHANGES = 3
"""How often one change is asked for at most, by one call of ours: each time under the same client token."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
ROLE_SECONDS = 3600
"""For so long a role is assumed; botocore renews it about a quarter of an hour before its end."""
THREADS = 16
PAUSE_SECONDS = 0.4
PAUSE_SECONDS_MAX = 8.0
RETRIES_SAVED_MAX = 50.0
RETRY_COST, RETRY_REWARD = 1.0, 0.2


class Client(Protocol):
    """A client of botocore: its operations are made from a description, so no type knows them."""

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        """An operation."""
        ...


class RetryBudget:
    """How many retries a pool may still spend: each takes one, each success gives a fifth back. An outage is not made worse."""

    def __init__(self, saved_max: float = RETRIES_SAVED_MAX) -> None:
        self._max = saved_max
        self._saved = saved_max

    def spend(self) -> bool:
        """Take a retry. False when none is left."""
        if self._saved < RETRY_COST:
            return False
        self._saved -= RETRY_COST
        return True

    def reward(self) -> None:
        """Note a success."""
        self._saved = min(self._max, self._saved + RETRY_REWARD)


class AwsAccess:
    """The sessions and clients of one pool. Nothing opens before the first call.

    Credentials are the profile's or the default chain's; with `role_arn` that role is assumed, with the external id and the session
    tag `lineshaft:tenant`, and renewed before it ends. `for_tenant` gives the same door with another tenant's tag.
    """

    def __init__(self, pool: AwsPool, settings: Settings, tenant: str = "") -> None:
        self.pool = pool
        self.settings = settings
        self.tenant = tenant
        self.budget = RetryBudget()
        self._clients: dict[tuple[str, int, float], Client] = {}
        self._tenants: dict[str, AwsAccess] = {}
        self._session: Session | None = None
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix=f"aws-{pool.name}")

    def for_tenant(self, tenant: str) -> "AwsAccess":
        """The same pool, acting for a tenant: with the tenant's tag on an assumed role's session; without a role it is this one."""
        if not self.pool.role_arn or tenant == self.tenant:
            return self
        if tenant not in self._tenants:
            self._tenants[tenant] = AwsAccess(self.pool, self.settings, tenant)
        return self._tenants[tenant]

    async def close(self) -> None:
        """Forget the clients; threads end with what they still wait for."""
        for other in self._tenants.values():
            await other.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def client(self, service: str, attempts_max: int = ATTEMPTS_OF_READS, read_seconds: float = READ_SECONDS) -> Client:
        """A client, made once in a thread. `attempts_max` is how often botocore itself tries: 1 for what takes capacity or money."""
        key = (service, attempts_max, read_seconds)
        known = self._clients.get(key)
        return known if known is not None else await self._in_thread(lambda: self._open(key), CONNECT_SECONDS + READ_SECONDS)

    async def call(self, method: Callable[..., Answer], **arguments: object) -> Answer:
        """Call an operation of a client in a thread and return its answer. Raises LineshaftError only.

        A call that is given up goes on in its thread until AWS answers: it cannot be called back, so changes carry client tokens.
        """
        seconds = self._seconds_of(method)
        return await self._in_thread(functools.partial(method, **arguments), seconds)

    async def read(self, service: str, operation: str, **arguments: object) -> Answer:
        """Call an operation that changes nothing; throttling and faults are tried again by botocore."""
        client = await self.client(service)
        return await self.call(getattr(client, operation), **arguments)

    async def read_all(self, service: str, operation: str, result: str, **arguments: object) -> list[Answer]:
        """Call an operation that answers in pages and return what is under `result` of all pages."""
        client = await self.client(service)

        def pages() -> list[Answer]:
            found: list[Answer] = []
            paginator = client.get_paginator(operation)
            for page in paginator.paginate(**arguments):  # type: ignore[attr-defined]
                found += page.get(result) or []
            return found

        return await self._in_thread(pages, READ_SECONDS * ATTEMPTS_OF_READS)

    async def change(self, service: str, operation: str, **arguments: object) -> Answer:
        """Call an operation that changes something, at most `ATTEMPTS_OF_CHANGES` times, only after faults that may pass.

        The arguments are the same each time, so a client token in them makes it one effect. Raises LineshaftError only.
        """
        client = await self.client(service, attempts_max=1)
        method = getattr(client, operation)
        return await self.patiently(lambda: self.call(method, **arguments))

    async def patiently(self, work: Callable[[], Awaitable[Result]], attempts_max: int = ATTEMPTS_OF_CHANGES) -> Result:
        """Do something again while it is Unavailable: with pauses that grow and differ, bounded by attempts, time and the pool's budget."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, Unavailable) and self.budget.spend()),
            stop=stop_after_attempt(attempts_max) | stop_after_delay(READ_SECONDS * 2),
            wait=_pause,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                result = await work()
                self.budget.reward()
                return result
        raise not_answering(self.pool.name, "was not asked")

    @staticmethod
    def _seconds_of(method: Callable[..., Answer]) -> float:
        config = getattr(getattr(getattr(method, "__self__", None), "meta", None), "config", None)
        attempts = (getattr(config, "retries", None) or {}).get("total_max_attempts", ATTEMPTS_OF_READS)
        return float((getattr(config, "read_timeout", READ_SECONDS) + CONNECT_SECONDS) * attempts)

    async def _in_thread(self, work: Callable[[], Result], deadline_seconds: float) -> Result:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - heavy, paid only by who uses it
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with botocore

        try:
            async with asyncio.timeout(deadline_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise not_answering(self.pool.name, f"did not answer in {deadline_seconds:.0f} s", "timed_out") from error
        except ClientError as error:
            raise of_client_error(self.pool.name, error.response) from error
        except BotoCoreError as error:
            raise _of_botocore(self.pool, error) from error
        except (HTTPError, OSError) as error:
            raise not_answering(self.pool.name, "broke the connection off") from error

    def _open(self, key: tuple[str, int, float]) -> Client:
        from botocore.config import Config  # noqa: PLC0415 - heavy, paid only by who uses it

        with self._opening:
            if key in self._clients:
                return self._clients[key]
            service, attempts_max, read_seconds = key
            session = self._session = self._session or self._begin()
            config = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=read_seconds,
                retries={"total_max_attempts": attempts_max, "mode": "standard"},
                max_pool_connections=THREADS,
                s3={"addressing_style": "path"} if self.pool.endpoint_url else None,
                user_agent_extra="lineshaft",
            )
            client: Client = session.create_client(service, region_name=self.pool.region, endpoint_url=self._endpoint(), config=config)
            self._clients[key] = client
            return client

    def _endpoint(self) -> str | None:
        return str(self.pool.endpoint_url).rstrip("/") if self.pool.endpoint_url else None

    def _begin(self) -> "Session":
        from botocore.session import Session  # noqa: PLC0415 - heavy, paid only by who uses it

        session = Session(profile=self.pool.profile or None)
        session.register_component("data_loader", _descriptions())
        # A region that is none would only show as an address that is not found.
        if not any(self.pool.region in session.get_available_regions("ec2", part) for part in session.get_available_partitions()):
            raise region_unknown(self.pool.name, self.pool.region)
        if self.pool.role_arn:
            self._assume(session)
        return session

    def _assume(self, session: "Session") -> None:
        """Put the role's credentials, which renew themselves, in the place of those that may assume it."""
        from botocore.credentials import (  # noqa: PLC0415 - heavy, paid only by who uses it
            AssumeRoleCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        source = session.get_credentials()
        if source is None:
            raise credentials_expired(self.pool.name, "there are none")
        extra: dict[str, object] = {
            "RoleSessionName": f"lineshaft-{self.tenant or 'platform'}"[:64],
            "DurationSeconds": ROLE_SECONDS,
            "Tags": [{"Key": "lineshaft:tenant", "Value": self.tenant or "platform"}],
        }
        if self.pool.external_id:
            extra["ExternalId"] = self.pool.external_id

        def creator(service: str, **more: object) -> Client:
            more.setdefault("region_name", self.pool.region)
            made: Client = session.create_client(service, endpoint_url=self._endpoint(), **more)
            return made

        fetcher = AssumeRoleCredentialFetcher(
            client_creator=creator, source_credentials=source, role_arn=self.pool.role_arn, extra_args=extra
        )
        session._credentials = DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")


@functools.cache
def _descriptions() -> object:
    """What botocore knows of services, read once a process: EC2's alone takes half a second."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - heavy, paid only by who uses it

    return create_loader()


def _pause(state: RetryCallState) -> float:
    """Full jitter; what AWS names itself comes first."""
    error = state.outcome.exception() if state.outcome is not None else None
    told_seconds = getattr(error, "retry_after_seconds", None)
    longest = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2 ** (state.attempt_number - 1))
    return float(told_seconds) if told_seconds is not None else random.uniform(longest / 4, longest)  # noqa: S311 - no secret


def _of_botocore(pool: AwsPool, error: Exception) -> LineshaftError:
    from botocore import exceptions as known  # noqa: PLC0415 - comes with the client

    words = told(str(error))
    if isinstance(error, known.ReadTimeoutError | known.ConnectTimeoutError):
        return not_answering(pool.name, "did not answer in time", "timed_out")
    if isinstance(error, known.ParamValidationError):
        return InvalidInput(f"A request to AWS is not well formed: {words}.", code="aws_refused", remedy="Correct what it names.")
    if isinstance(error, known.HTTPClientError | known.ConnectionError | known.ResponseStreamingError):
        return not_answering(pool.name, "cannot be reached")
    if isinstance(error, known.InvalidRegionError | known.NoRegionError | known.UnknownRegionError):
        return region_unknown(pool.name, words)
    if isinstance(error, known.NoCredentialsError | known.PartialCredentialsError | known.ProfileNotFound | known.CredentialRetrievalError):
        return credentials_expired(pool.name, words)
    if isinstance(error, known.SSOError | known.TokenRetrievalError | known.UnauthorizedSSOTokenError):
        return credentials_expired(pool.name, words)
    return not_answering(pool.name, f"answered what nobody can read ({type(error).__name__})")


def tags(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as most services want them; empty ones are left out."""
    return [{"Key": key, "Value": value} for key, value in pairs.items() if value]
