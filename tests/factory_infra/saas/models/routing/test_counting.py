"""Bounds and estimates of tokens: the bound holds for a real vocabulary, whatever is said."""

import io
import wave
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from factory_infra.saas.models.backends.audio import seconds_of_audio
from factory_infra.saas.models.calls import Abilities, JsonObject
from factory_infra.saas.models.minilm import model_folder
from factory_infra.saas.models.request_checks import ParameterRefused
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, TranscriptionRequest
from factory_infra.saas.models.routing.counting import IMAGE_TOKENS_MAX, counted_chat, counted_input, seconds_max, tokens_out_max

ABLE = Abilities(can=frozenset({"chat"}), context_tokens=1000, tokens_out_max=400)


def chat(*said: object, **fields: object) -> ChatRequest:
    messages = [{"role": "user", "content": each} for each in said]
    return ChatRequest.parse(cast(JsonObject, {"model": "m", "messages": messages, **fields}))


class TestBound:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=4))
    def test_no_text_has_more_tokens_than_bytes(self, texts: list[str]) -> None:
        found = counted_chat(chat(*texts))
        assert found.most >= sum(len(text.encode()) for text in texts)
        assert 0 < found.estimated <= found.most

    def test_it_holds_for_a_real_vocabulary(self) -> None:
        vocabulary = Tokenizer.from_file(str(next(model_folder().rglob("tokenizer.json"))))
        vocabulary.no_truncation()
        vocabulary.no_padding()
        for text in ("plain words", "naïve café", "數據中心的模型", "🦜🔥" * 20, "a\u0301" * 50, "x" * 3000, "\n\n\t  {}[]" * 30):
            assert len(vocabulary.encode(text).ids) <= counted_chat(chat(text)).most

    def test_tools_schemas_calls_and_images_count(self) -> None:
        plain = counted_chat(chat("hello"))
        tools = [{"type": "function", "function": {"name": "f", "description": "d" * 500}}]
        schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"description": "d" * 500}}}
        image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}]
        assert counted_chat(chat("hello", tools=tools)).most > plain.most + 1000
        assert counted_chat(chat("hello", response_format=schema)).most > plain.most + 1000
        assert plain.most + IMAGE_TOKENS_MAX <= counted_chat(chat("hello", image)).most < plain.most + IMAGE_TOKENS_MAX + 100

    def test_an_estimate_has_what_a_template_adds(self) -> None:
        # 13 tokens are what a template makes of "hello" and a system message of its own at least; tools are explained.
        plain = counted_chat(chat("hello")).estimated
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        assert 9 <= plain <= 40 and plain + 20 <= counted_chat(chat("hello", tools=tools)).estimated <= plain + 400

    @pytest.mark.parametrize(("given_", "most"), [("abcd", 84), (["abcd", "é"], 102), ([1, 2, 3], 67), ([[1, 2], [3]], 67)])
    def test_embeddings(self, given_: object, most: int) -> None:
        assert counted_input(EmbeddingsRequest.parse(cast(JsonObject, {"model": "m", "input": given_}))).most == most

    @pytest.mark.parametrize("hertz", [1, 100, 16_000])
    def test_no_wav_is_longer_than_what_is_reserved(self, hertz: int) -> None:
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(1)
            sound.setframerate(hertz)
            sound.writeframes(bytes(20_000))
        request = TranscriptionRequest({"model": "m"}, file.getvalue(), "audio/wav")
        assert seconds_max(request) >= seconds_of_audio(request.audio) == 20_000 / hertz

    def test_nor_is_packed_sound_by_our_own_count(self) -> None:
        request = TranscriptionRequest({"model": "m"}, b"OggS" + bytes(100_000), "audio/ogg")
        assert seconds_max(request) >= seconds_of_audio(request.audio)


class TestOut:
    def test_what_is_asked_is_kept_to(self) -> None:
        request = chat("x", max_tokens=9)
        assert tokens_out_max(request, ABLE, counted_chat(request)) == 9

    def test_without_it_the_models_own_or_what_the_context_leaves(self) -> None:
        for text, most in (("x", 400), ("word " * 600, 1000 - 958), ("word " * 1400, 16)):
            request = chat(text)
            assert tokens_out_max(request, ABLE, counted_chat(request)) == pytest.approx(most, abs=2)

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    def test_more_than_the_model_says_is_refused(self, field: str) -> None:
        request = chat("x", **{field: 401})
        with pytest.raises(ParameterRefused) as caught:
            tokens_out_max(request, ABLE, counted_chat(request))
        assert (caught.value.error_code, caught.value.param) == ("integer_above_max_value", field)

    def test_what_cannot_fit_is_refused(self) -> None:
        request = chat("x" * 8001)
        with pytest.raises(ParameterRefused) as caught:
            tokens_out_max(request, ABLE, counted_chat(request))
        assert (caught.value.error_code, caught.value.param) == ("context_length_exceeded", "messages")
