"""The field's clients against a running gateway, seen by a witness, and all of it held to the published document of the API."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from benchmarks.gateway import clients
from benchmarks.gateway.by_hand import by_hand
from benchmarks.gateway.clients import Result, configured
from benchmarks.gateway.ground import Ground
from benchmarks.gateway.peers import Missing
from benchmarks.gateway.published import Published, published
from benchmarks.gateway.witness import Exchange, Witness, witnessing
from tests.gateway.conftest import fresh

pytestmark = pytest.mark.stack


@dataclass(frozen=True)
class Watched:
    """A gateway before an upstream whose answers make sense, with a witness before it."""

    witness: Witness
    key: str

    def held(self, result: Result, passed_min: int) -> None:
        """A suite that could be run passed; one whose environment cannot be had is skipped with its reason."""
        if result.broken.startswith("not measured"):
            pytest.skip(result.broken)
        assert (result.broken, result.failed) == ("", {})
        assert result.passed >= passed_min


@pytest.fixture(scope="module")
def watched(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One for all suites: what they send is judged at the end."""
    ground = Ground(tmp_path_factory.mktemp("clients"), fresh(postgres_url))
    try:
        gateway, key = configured(ground)
        with witnessing(gateway.url) as witness:
            yield Watched(witness, key)
    finally:
        ground.close()


@pytest.fixture(scope="module")
def document() -> Published:
    """OpenAI's own document."""
    try:
        return published()
    except Missing as error:
        pytest.skip(str(error))


class TestClients:
    def test_the_official_client_for_python(self, watched: Watched) -> None:
        result = clients.openai_python(watched.witness.url, watched.key)
        watched.held(result, 25)
        assert result.skipped == {}

    def test_langchains_standard_tests(self, watched: Watched) -> None:
        result = clients.langchain(watched.witness.url, watched.key)
        watched.held(result, 90)
        assert len(result.skipped) <= 10, result.skipped

    def test_the_official_client_for_node(self, watched: Watched) -> None:
        watched.held(clients.by_node(watched.witness.url, watched.key), 10)


class TestPublished:
    def test_everything_keeps_to_the_published_document(self, watched: Watched, document: Published) -> None:
        by_hand(watched.witness.url, watched.key)
        verdict = document.verdict(watched.witness.exchanges)
        assert verdict.faults == Counter(), verdict.figure()
        seen = {(each.method, each.path) for each in watched.witness.exchanges if each.status == 200}
        for door in ("chat/completions", "responses", "embeddings", "audio/transcriptions", "audio/speech"):
            assert ("POST", f"/v1/{door}") in seen
        assert ("GET", "/v1/models") in seen and verdict.events > 100 and verdict.refusals > 15

    def test_the_control_finds_what_does_not(self, document: Published) -> None:
        answer = b'{"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}'
        good = Exchange(
            "POST", "/v1/chat/completions", "application/json", b'{"model": "m", "messages": []}', 200, "application/json", answer
        )
        assert [fault.rpartition(": ")[2] for fault in document.faults(good)] == ["should be non-empty"]
        asked = replace(good, request=b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}')
        assert document.faults(asked) == []
        for broken, what in (
            (replace(asked, answer=b"{}"), "'id' is a required property"),
            (replace(asked, answer=answer.replace(b"[]", b'[{"index": 0}]')), "'finish_reason' is a required property"),
            (replace(asked, kind="text/event-stream", answer=b'data: {"id": 1}\n\ndata: [DONE]\n\n'), "is not of type 'string'"),
            (replace(asked, status=400, answer=b'{"error": "no"}'), "is not of type 'object'"),
        ):
            assert any(what in fault for fault in document.faults(broken)), (document.faults(broken), what)
