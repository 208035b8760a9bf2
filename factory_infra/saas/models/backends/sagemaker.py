"""SageMaker endpoints whose container speaks OpenAI's chat shape: the messages interface of TGI and of DJL with vLLM."""

from collections.abc import AsyncGenerator, Mapping

from pydantic import SecretStr

from factory_infra.errors import LineshaftError
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.abilities import CHAT, abilities_of
from factory_infra.saas.models.backends.answers import chat_answer, encoded
from factory_infra.saas.models.backends.aws import Aws, EventReader
from factory_infra.saas.models.backends.chat_stream import ChatStream
from factory_infra.saas.models.backends.openai_fields import CHAT_FIELDS
from factory_infra.saas.models.backends.spec import SageMakerSpec
from factory_infra.saas.models.calls import Abilities, Answer, Call, JsonObject, Piece
from factory_infra.settings import Settings

SERVICE = "sagemaker-runtime"
ABILITIES = abilities_of(*CHAT, "json_object", "logprobs", fields=CHAT_FIELDS - {"functions", "function_call"})


class SageMakerBackend:
    """Endpoints in one region, by the usual AWS credentials. The model's name is the endpoint's."""

    def __init__(self, spec: SageMakerSpec, settings: Settings, secret: SecretStr | None) -> None:
        del settings, secret
        self.name = spec.title
        self._spec = spec
        self._aws = Aws(self.name, spec)

    def abilities(self, model: str) -> Abilities:
        """What such containers can do in general, with the file's differences."""
        return self._spec.overridden(model, ABILITIES)

    async def close(self) -> None:
        """Give connections back."""
        await self._aws.close()

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        response = await self._aws.call(SERVICE, "invoke_endpoint", call.deadline_seconds, **self._arguments(call, call.body))
        body = response["Body"]
        raw = await self._aws.in_thread(lambda: bytes(body.read()), call.deadline_seconds)  # type: ignore[attr-defined]
        return chat_answer(self.name, call, raw)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer piece by piece: the container's own events, cut into parts by SageMaker as it likes."""
        body: JsonObject = {**call.body, "stream": True, "stream_options": {"include_usage": True}}
        response = await self._aws.call(
            SERVICE, "invoke_endpoint_with_response_stream", call.deadline_seconds, **self._arguments(call, body)
        )
        reader = EventReader(self._aws, response["Body"], call.deadline_seconds)
        reading = ChatStream(self.name)
        try:
            while not reading.done:
                part = await self._next(reading, reader)
                piece = reading.end() if part is None else reading.take(part)
                if piece is not None:
                    yield piece
                if reading.fault is not None:
                    raise reading.fault
        finally:
            reader.close()

    async def _next(self, reading: ChatStream, reader: EventReader) -> bytes | None:
        """The next part; None at the end. Once something was said, every fault is one of a broken stream."""
        try:
            event = await reader.next()
        except LineshaftError as error:
            if not reading.begun:
                raise
            raise faults.broken_stream(self.name, f"ended in an error: {error.reason}") from error
        if event is None:
            return None
        part = event.get("PayloadPart")
        data = part.get("Bytes") if isinstance(part, Mapping) else b""
        return data if isinstance(data, bytes) else b""

    def _arguments(self, call: Call, body: JsonObject) -> dict[str, object]:
        return {
            "EndpointName": call.model,
            "Body": encoded(self.name, {**body, "model": call.model}),
            "ContentType": "application/json",
            "InferenceId": call.id.replace("/", "-")[:64],
        }
