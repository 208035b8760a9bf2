"""What seals a kept call: it opens for its own team, under its own id, unaltered, with the installation's key, and in no other way."""

import pytest
from pydantic import JsonValue

from factory_infra.errors import EffectFailed
from factory_infra.saas.models.transcripts.seal import Seal, seal_of
from factory_infra.settings import Settings

VALUE: JsonValue = {"request": {"messages": [{"role": "user", "content": "a secret"}]}}


class TestSeal:
    def test_it_opens_what_it_closed(self) -> None:
        seal = Seal(b"k" * 32)
        assert seal.open("vision", "c1", seal.close("vision", "c1", VALUE)) == VALUE

    def test_no_word_can_be_read_and_no_two_records_look_alike(self) -> None:
        seal = Seal(b"k" * 32)
        first, second = seal.close("vision", "c1", VALUE), seal.close("vision", "c1", VALUE)
        assert b"secret" not in first
        assert first != second

    @pytest.mark.parametrize(
        ("secret", "tenant", "name"), [(b"x" * 32, "vision", "c1"), (b"k" * 32, "language", "c1"), (b"k" * 32, "vision", "c2")]
    )
    def test_it_opens_for_nothing_else(self, secret: bytes, tenant: str, name: str) -> None:
        closed = Seal(b"k" * 32).close("vision", "c1", VALUE)
        with pytest.raises(EffectFailed) as refused:
            Seal(secret).open(tenant, name, closed)
        assert refused.value.error_code == "transcript_unreadable"

    @pytest.mark.parametrize("at", [0, 12, -1])
    def test_an_altered_record_does_not_open(self, at: int) -> None:
        closed = bytearray(Seal(b"k" * 32).close("vision", "c1", VALUE))
        closed[at] ^= 1
        with pytest.raises(EffectFailed):
            Seal(b"k" * 32).open("vision", "c1", bytes(closed))

    @pytest.mark.parametrize("short", [b"", b"123"])
    def test_a_stump_does_not_open(self, short: bytes) -> None:
        with pytest.raises(EffectFailed):
            Seal(b"k" * 32).open("vision", "c1", short)


def test_the_key_is_made_once_and_for_its_owner_only(settings: Settings) -> None:
    closed = seal_of(settings).close("vision", "c1", VALUE)
    assert seal_of(settings).open("vision", "c1", closed) == VALUE
    assert (settings.secrets_dir / "transcripts.key").stat().st_mode & 0o777 == 0o600
