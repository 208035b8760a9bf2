"""What all AWS backends share: clients that never retry, calls in threads under a deadline, and AWS's faults in our words."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

from factory_infra.errors import LineshaftError
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.spec import AwsSpeechSpec, BedrockSpec, SageMakerSpec

AwsSpec = BedrockSpec | SageMakerSpec | AwsSpeechSpec
Event = Mapping[str, object]
Result = TypeVar("Result")

CONNECT_SECONDS = 10.0
THROTTLED_SECONDS = 1.0
"""AWS seldom says when to come back."""
THROTTLED = frozenset({"ThrottlingException", "TooManyRequestsException", "Throttling", "RequestLimitExceeded", "SlowDown"})
BUSY = frozenset(
    {
        "InternalDependencyException",
        "InternalFailure",
        "InternalFailureException",
        "InternalServerException",
        "InternalStreamFailure",
        "LimitExceededException",
        "ModelErrorException",
        "ModelNotReadyException",
        "ModelStreamError",
        "ModelStreamErrorException",
        "ServiceQuotaExceededException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
REFUSED = frozenset(
    {
        "BadRequestException",
        "InvalidSampleRateException",
        "InvalidSsmlException",
        "LanguageNotSupportedException",
        "ResourceNotFoundException",
        "TextLengthExceededException",
        "ValidationError",
        "ValidationException",
    }
)
KEYS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class Client(Protocol):
    """A client of boto3: its operations are made from a description, so no type knows them."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, object]]:
        """An operation."""
        ...


class Aws:
    """The clients of one backend and the threads that wait for them. Nothing opens before the first call."""

    def __init__(self, name: str, spec: AwsSpec) -> None:
        self.name = name
        self._spec = spec
        self._clients: dict[str, Client] = {}
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(max_workers=spec.connections_max, thread_name_prefix=f"aws-{name}")

    async def close(self) -> None:
        """Forget the clients; threads end with what they still wait for."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def call(self, service: str, operation: str, deadline_seconds: float, **arguments: object) -> dict[str, object]:
        """Call an operation in a thread. Raises what the seam's contract says of faults.

        A call that is given up goes on in its thread until AWS answers: a whole answer cannot be called back.
        """
        client = await self._client(service)
        return await self.in_thread(lambda: getattr(client, operation)(**arguments), deadline_seconds)

    async def in_thread(self, work: Callable[[], Result], deadline_seconds: float) -> Result:
        """Do what waits for AWS in one of the backend's threads; AWS's faults come back as ours."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - heavy, paid only by who uses it
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with botocore

        try:
            async with asyncio.timeout(deadline_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise faults.too_late(self.name, deadline_seconds) from error
        except ClientError as error:
            raise of_client_error(self.name, error.response) from error
        except BotoCoreError as error:
            raise _of_botocore(self.name, error, deadline_seconds) from error
        except (HTTPError, OSError) as error:
            raise faults.unavailable(self.name, "broke the connection off") from error

    async def _client(self, service: str) -> Client:
        client = self._clients.get(service)
        if client is None:
            async with self._opening:
                client = self._clients.get(service)
                if client is None:
                    client = self._clients[service] = await self.in_thread(lambda: self._open(service), self._spec.deadline_seconds)
        return client

    def _open(self, service: str) -> Client:
        import boto3  # noqa: PLC0415 - heavy, paid only by who uses it
        from botocore.config import Config  # noqa: PLC0415 - comes with boto3

        # One attempt: the route retries, and a second hidden one would be charged twice.
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=self._spec.deadline_seconds,
            retries={"total_max_attempts": 1},
            max_pool_connections=self._spec.connections_max,
            s3={"addressing_style": "path"} if self._spec.endpoint_url else None,
        )
        session = boto3.session.Session(profile_name=self._spec.profile, region_name=self._spec.region)
        client: Client = session.client(service, config=config, endpoint_url=self._spec.endpoint_url)
        return client


class EventReader:
    """An event stream of AWS, read event by event in threads. `close` frees a thread that still waits, and cuts the connection."""

    def __init__(self, aws: Aws, stream: object, deadline_seconds: float) -> None:
        self._aws = aws
        self._stream = stream
        self._events: Iterator[Event] = iter(stream)  # type: ignore[call-overload]
        self._ends = asyncio.get_running_loop().time() + deadline_seconds

    async def next(self) -> Event | None:
        """The next event; None at the end. Raises LineshaftError for a fault: whoever reads knows whether it is one in mid-stream."""
        left = self._ends - asyncio.get_running_loop().time()
        return await self._aws.in_thread(self._next, max(left, 0.001))

    def _next(self) -> Event | None:
        from botocore.eventstream import ParserError  # noqa: PLC0415 - comes with the client

        try:
            return next(self._events, None)
        except ParserError as error:
            raise faults.not_the_protocol(self._aws.name, "with what is no event stream") from error

    def close(self) -> None:
        """Cut the connection, whatever still comes. Twice is once."""
        raw = getattr(self._stream, "_raw_stream", None)
        # A socket that is only closed would leave the thread that reads it waiting: it has to be shut down first.
        with suppress(AttributeError, OSError, RuntimeError, ValueError):
            raw.shutdown()  # type: ignore[union-attr]
        with suppress(AttributeError, OSError, ValueError):
            raw.close()  # type: ignore[union-attr]


def of_client_error(backend: str, response: Mapping[str, object]) -> LineshaftError:
    """The error of AWS's answer, by its code, else by its status."""
    error, about = _mapping(response.get("Error")), _mapping(response.get("ResponseMetadata"))
    code = str(error.get("Code", ""))
    code = code[:1].upper() + code[1:]  # inside a stream they begin with a small letter
    message = faults.told(str(error.get("Message", "")))
    retry_after = faults.seconds_of(str(_mapping(about.get("HTTPHeaders")).get("retry-after", "")))
    status = response.get("OriginalStatusCode") or about.get("HTTPStatusCode")
    if code in THROTTLED:
        return faults.unavailable(backend, f"asks for less: {message}", THROTTLED_SECONDS if retry_after is None else retry_after)
    if code == "ModelTimeoutException":
        return faults.unavailable(backend, "did not answer in time")
    if code == "ModelError":
        # A container's own answer, wrapped by SageMaker.
        own = faults.told(faults.message_in(str(response.get("OriginalMessage", "")).encode()))
        return faults.of_status(backend, status if isinstance(status, int) else 500, own, None)
    if code in BUSY:
        return faults.unavailable(backend, f"does not answer now: {message}", retry_after)
    if code in KEYS:
        return faults.key_refused(backend)
    if code in REFUSED:
        return faults.refused(backend, message)
    return faults.of_status(backend, status if isinstance(status, int) else 500, message, None)


def _of_botocore(backend: str, error: Exception, deadline_seconds: float) -> LineshaftError:
    from botocore import exceptions as known  # noqa: PLC0415 - comes with the client
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - comes with the client

    if isinstance(error, known.ReadTimeoutError):
        return faults.too_late(backend, deadline_seconds)
    if isinstance(error, known.HTTPClientError | known.ConnectionError | known.ResponseStreamingError):
        return faults.unavailable(backend, "cannot be reached")
    if isinstance(error, known.ParamValidationError):
        return faults.refused(backend, faults.told(str(error)))
    if isinstance(error, ResponseParserError):
        return faults.not_the_protocol(backend, "with what is not AWS's shape")
    return faults.key_refused(backend)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
