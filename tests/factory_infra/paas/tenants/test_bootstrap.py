"""The first start: a key and a secret that only their owner can read, made once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from factory_infra.database import Database
from factory_infra.errors import InvalidInput, Unauthenticated
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.paas.tenants.bootstrap import ensure_admin_key, key_pepper, session_secret, write_secret
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.service import Tenants
from factory_infra.settings import Settings


class NoHardware:
    """A pool without slots."""

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return Pool(name="local", slots=[])


def test_the_session_secret_is_made_once_and_private(settings: Settings) -> None:
    secret = session_secret(settings)
    assert len(secret) == 64
    assert session_secret(settings) == secret
    assert stat.S_IMODE((settings.secrets_dir / "session.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700


class TestPepper:
    def test_is_made_once_and_private_also_by_several_at_one_time(self, settings: Settings) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: key_pepper(settings), range(32)))
        assert len(found) == 1 and len(found.pop()) == 64
        assert [path.name for path in settings.secrets_dir.iterdir()] == ["keys.pepper"]
        assert stat.S_IMODE((settings.secrets_dir / "keys.pepper").stat().st_mode) == 0o600

    def test_each_installation_has_its_own(self, settings: Settings, tmp_path: Path) -> None:
        assert key_pepper(settings) != key_pepper(settings.model_copy(update={"home": tmp_path / "other"}))

    def test_the_setting_wins(self, settings: Settings) -> None:
        assert key_pepper(settings.model_copy(update={"key_pepper": SecretStr("s" * 40)})) == b"s" * 40

    def test_one_that_protects_nothing_is_refused_and_not_replaced(self, settings: Settings) -> None:
        write_secret(settings.secrets_dir / "keys.pepper", "short")
        for each in (settings, settings.model_copy(update={"key_pepper": SecretStr("")})):
            with pytest.raises(InvalidInput) as raised:
                key_pepper(each)
            assert raised.value.error_code == "pepper_invalid" and "short" not in str(raised.value)
        assert (settings.secrets_dir / "keys.pepper").read_text() == "short\n"


@pytest.mark.stack
async def test_the_admin_key_is_shown_once_and_works(settings: Settings, database: Database) -> None:
    key = await ensure_admin_key(settings, database)
    assert key is not None
    file = settings.secrets_dir / "admin.key"
    assert file.read_text() == key + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await ensure_admin_key(settings, database) is None
    tenants = Tenants(database, key_pepper(settings))
    assert (await tenants.authenticate(key)).role is Role.ADMIN
    with pytest.raises(Unauthenticated):
        await tenants.authenticate(key[:-2])
