"""The official clients against the whole gateway, over a real socket: what they send is taken, what they read is what was said."""

import asyncio
import base64
import json
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel
from sqlalchemy import select

from factory_infra.saas.metering.tables import EntryRow
from tests.api.gateway.real import Real

pytestmark = pytest.mark.stack

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = [{"role": "user", "content": "the weather"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": PARAMETERS}}
SAID = "Hello there, dear reader."


class Person(BaseModel):
    """What a structured answer holds."""

    name: str
    age: int


def client_of(whole: Real) -> Any:
    """OpenAI's client; untyped, for what is sent here are plain dictionaries."""
    return openai.AsyncOpenAI(base_url=f"{whole.url}/v1", api_key=whole.key, max_retries=0)


def anthropic_of(whole: Real) -> Any:
    """Anthropic's client."""
    return anthropic.AsyncAnthropic(base_url=whole.url, api_key=whole.key, max_retries=0)


async def settled(whole: Real, request_id: str) -> list[EntryRow]:
    """What the ledger says of a call, once everything is posted."""
    await whole.meter.posted()
    async with whole.database.transaction() as session:
        rows = await session.scalars(select(EntryRow).where(EntryRow.reservation.startswith(request_id)).order_by(EntryRow.id))
        return list(rows)


class TestChat:
    async def test_whole(self, whole: Real) -> None:
        async with client_of(whole) as client:
            raw = await client.chat.completions.with_raw_response.create(model="fast", messages=HELLO)
        answer = raw.parse()
        assert answer.choices[0].message.content == SAID and answer.model == "fast"
        assert answer.usage is not None and answer.usage.completion_tokens == 4
        rows = await settled(whole, raw.headers["x-request-id"])
        assert {row.action for row in rows} >= {"reserve", "settle"}
        paid = next(row for row in rows if row.action == "settle")
        assert paid.quantity_out == 4 and paid.outcome == "done" and paid.amount == Decimal(raw.headers["x-lineshaft-cost"])
        assert raw.headers["x-lineshaft-backend"] == "house" and raw.headers["x-lineshaft-cache"] == "off"

    async def test_stream_with_usage(self, whole: Real) -> None:
        async with client_of(whole) as client:
            stream = await client.chat.completions.create(
                model="fast",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [each async for each in stream]
        assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == SAID
        assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 4 and not chunks[-1].choices

    async def test_tools_and_their_answers(self, whole: Real) -> None:
        async with client_of(whole) as client:
            answer = await client.chat.completions.create(model="fast", messages=WEATHER, tools=[TOOL])
            said = answer.choices[0].message
            assert answer.choices[0].finish_reason == "tool_calls" and said.tool_calls is not None
            assert [json.loads(each.function.arguments)["city"] for each in said.tool_calls] == ["Ghent", "Bruges"]
            results = [{"role": "tool", "tool_call_id": each.id, "content": "hello"} for each in said.tool_calls]
            again = await client.chat.completions.create(
                model="fast",
                messages=[*WEATHER, said.model_dump(exclude_none=True), *results],
                tools=[TOOL],
            )
        assert again.choices[0].message.content == SAID

    async def test_structured(self, whole: Real) -> None:
        async with client_of(whole) as client:
            answer = await client.chat.completions.parse(model="fast", messages=[{"role": "user", "content": "?"}], response_format=Person)
        assert isinstance(answer.choices[0].message.parsed, Person)

    async def test_streamed_tools_by_the_clients_helper(self, whole: Real) -> None:
        async with (
            client_of(whole) as client,
            client.chat.completions.stream(model="fast", messages=WEATHER, tools=[TOOL]) as stream,
        ):
            final = await stream.get_final_completion()
        calls = final.choices[0].message.tool_calls
        assert calls is not None and [each.function.name for each in calls] == ["weather", "weather"]


class TestOthers:
    async def test_embeddings_in_both_forms(self, whole: Real) -> None:
        async with client_of(whole) as client:
            packed = await client.embeddings.create(model="fast", input=["one", "two"])
            plain = await client.embeddings.create(model="fast", input=["one", "two"], encoding_format="float")
        assert len(packed.data) == 2
        assert [round(each, 5) for each in packed.data[0].embedding] == [round(each, 5) for each in plain.data[0].embedding]

    async def test_models(self, whole: Real) -> None:
        async with client_of(whole) as client:
            listed = await client.models.list()
            one = await client.models.retrieve("fast")
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("secret")
        assert [each.id for each in listed.data] == ["fast", "slow"]
        extra = one.model_extra or {}
        assert "chat" in extra["abilities"] and Decimal(extra["prices"][0]["million_tokens_in"]) >= 0


class TestErrors:
    async def test_each_is_the_clients_own(self, whole: Real) -> None:
        async with client_of(whole) as client:
            with pytest.raises(openai.NotFoundError) as missing:
                await client.chat.completions.create(model="nobody", messages=HELLO)
            assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
            with pytest.raises(openai.BadRequestError) as wrong:
                await client.chat.completions.create(model="fast", messages=HELLO, n=1000)
            assert wrong.value.param == "n"
            with pytest.raises(openai.InternalServerError) as away:
                await client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "unavailable"}])
            assert away.value.status_code == 503
        async with openai.AsyncOpenAI(base_url=f"{whole.url}/v1", api_key="sk-no", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError) as refused:
                await stranger.models.list()
            assert refused.value.code == "invalid_api_key"

    async def test_eleven_megabytes_are_refused_as_such(self, whole: Real) -> None:
        async with client_of(whole) as client:
            with pytest.raises(openai.APIStatusError) as refused:
                await client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "x" * 11_000_000}])
        assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")

    async def test_a_million_tokens_are_refused_as_too_long(self, whole: Real) -> None:
        async with client_of(whole) as client:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "word " * 1_000_000}])
        assert refused.value.code == "context_length_exceeded"


class TestResponses:
    async def test_whole_with_tools_and_their_outputs(self, whole: Real) -> None:
        tool = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
        async with client_of(whole) as client:
            first = await client.responses.create(model="fast", input="the weather", instructions="Be brief.", tools=[tool])
            calls = [each for each in first.output if each.type == "function_call"]
            assert [json.loads(each.arguments)["city"] for each in calls] == ["Ghent", "Bruges"]
            items = [{"role": "user", "content": "the weather"}, *(each.model_dump(exclude_none=True) for each in first.output)]
            items += [{"type": "function_call_output", "call_id": each.call_id, "output": "hello"} for each in calls]
            second = await client.responses.create(model="fast", input=items, tools=[tool])
        assert second.output_text == SAID and second.status == "completed" and second.store is False
        assert second.usage is not None and second.usage.output_tokens == 4

    async def test_the_sequence_of_events(self, whole: Real) -> None:
        async with client_of(whole) as client:
            stream = await client.responses.create(model="fast", input="hello", stream=True)
            seen = [each async for each in stream]
        kinds = [each.type for each in seen]
        assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
        assert set(kinds[4:-4]) == {"response.output_text.delta"}
        assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
        assert [each.sequence_number for each in seen] == list(range(len(seen)))
        assert seen[-1].response.output_text == SAID

    async def test_structured_and_streamed_tools_by_the_clients_helpers(self, whole: Real) -> None:
        tool = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
        async with client_of(whole) as client:
            parsed = await client.responses.parse(model="fast", input="?", text_format=Person)
            async with client.responses.stream(model="fast", input="the weather", tools=[tool]) as stream:
                kinds = [each.type async for each in stream]
                final = await stream.get_final_response()
        assert isinstance(parsed.output_parsed, Person)
        assert kinds.count("response.function_call_arguments.done") == 2
        assert [each.name for each in final.output if each.type == "function_call"] == ["weather", "weather"]

    async def test_cut_short(self, whole: Real) -> None:
        async with client_of(whole) as client:
            answer = await client.responses.create(model="fast", input="hello", max_output_tokens=2)
        assert answer.status == "incomplete" and answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"

    @pytest.mark.parametrize("more", [{"store": True}, {"previous_response_id": "resp_1"}, {"background": True}, {"conversation": "c"}])
    async def test_what_would_be_stored_is_refused_by_name(self, whole: Real, more: dict[str, object]) -> None:
        async with client_of(whole) as client:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model="fast", input="hello", **more)
        assert (refused.value.param, refused.value.code) == (next(iter(more)), "unsupported_parameter")


class TestLeaving:
    async def test_a_client_that_stops_reading_pays_for_what_was_said(self, whole: Real) -> None:
        async with client_of(whole) as client:
            stream = await client.chat.completions.create(model="slow", messages=[{"role": "user", "content": "slow"}], stream=True)
            request_id = stream.response.headers["x-request-id"]
            async for _ in stream:
                break
            await stream.close()
        rows: list[EntryRow] = []
        async with asyncio.timeout(5):
            while not [row for row in rows if row.action == "settle"]:
                rows = await settled(whole, request_id)
        paid = next(row for row in rows if row.action == "settle")
        assert paid.outcome == "disconnected" and 1 <= paid.quantity_out <= 3


class TestAnthropic:
    async def test_whole_stream_tools_and_count(self, whole: Real) -> None:
        tool = {"name": "weather", "description": "Tells it.", "input_schema": PARAMETERS}
        async with anthropic_of(whole) as client:
            answer = await client.messages.create(model="fast", max_tokens=64, system="Be brief.", messages=HELLO)
            assert answer.content[0].text == SAID and answer.stop_reason == "end_turn" and answer.usage.output_tokens == 4
            called = await client.messages.create(model="fast", max_tokens=64, tools=[tool], messages=WEATHER)
            uses = [each for each in called.content if each.type == "tool_use"]
            assert called.stop_reason == "tool_use" and [each.input["city"] for each in uses] == ["Ghent", "Bruges"]
            results = [{"type": "tool_result", "tool_use_id": each.id, "content": "hello"} for each in uses]
            turns = [*WEATHER, {"role": "assistant", "content": called.content}, {"role": "user", "content": results}]
            assert (await client.messages.create(model="fast", max_tokens=64, tools=[tool], messages=turns)).content[0].text == SAID
            async with client.messages.stream(model="fast", max_tokens=64, messages=HELLO) as stream:
                assert "".join([text async for text in stream.text_stream]) == SAID
                final = await stream.get_final_message()
            assert final.usage.output_tokens == 4 and final.stop_reason == "end_turn"
            async with client.messages.stream(model="fast", max_tokens=64, tools=[tool], messages=WEATHER) as stream:
                final = await stream.get_final_message()
            assert [each.input["city"] for each in final.content if each.type == "tool_use"] == ["Ghent", "Bruges"]
            assert (await client.messages.count_tokens(model="fast", messages=HELLO)).input_tokens > 0
            picture = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"picture").decode()}
            seen = [{"role": "user", "content": [{"type": "image", "source": picture}, {"type": "text", "text": "hello"}]}]
            assert (await client.messages.create(model="fast", max_tokens=2, messages=seen)).stop_reason == "max_tokens"
            assert [each.id async for each in client.models.list()] == ["fast", "slow"]

    async def test_errors_are_the_clients_own(self, whole: Real) -> None:
        async with anthropic_of(whole) as client:
            with pytest.raises(anthropic.NotFoundError):
                await client.messages.create(model="nobody", max_tokens=64, messages=HELLO)
            with pytest.raises(anthropic.BadRequestError) as refused:
                await client.messages.create(
                    model="fast", max_tokens=64, messages=HELLO, thinking={"type": "enabled", "budget_tokens": 1024}
                )
            assert "thinking" in str(refused.value)
        stranger: Any = anthropic.AsyncAnthropic(base_url=whole.url, api_key="no", max_retries=0)
        async with stranger:
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.create(model="fast", max_tokens=64, messages=HELLO)
