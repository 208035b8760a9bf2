"""Events come out whole, however the connection cut them."""

import pytest

from factory_infra.saas.models.backends import sse
from factory_infra.saas.models.backends.sse import Events, EventTooLarge

STREAM = b': alive\n\nevent: x\nid: 4\ndata: {"a":1}\n\ndata:two\ndata: lines\n\ndata: [DONE]\n\n'
WANTED = [b'{"a":1}', b"two\nlines", b"[DONE]"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 1000])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_any_cut_gives_the_same_events(size: int, ends: bytes) -> None:
    events, raw = Events(), STREAM.replace(b"\n", ends)
    found = [payload for start in range(0, len(raw), size) for payload in events.feed(raw[start : start + size])]
    assert found == WANTED
    assert events.end() == []


def test_a_last_event_without_its_blank_line_is_told_at_the_end() -> None:
    events = Events()
    assert events.feed(b"data: 1\n\ndata: [DONE]\n") == [b"1"]
    assert events.end() == [b"[DONE]"]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 1000)
    events = Events()
    with pytest.raises(EventTooLarge):
        for _ in range(20):
            events.feed(b"data: " + b"x" * 100)
