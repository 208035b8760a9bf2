"""The first start: a key and a secret that only their owner can read, made once."""

import stat

import pytest

from factory_infra.database import Database
from factory_infra.errors import Unauthenticated
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.bootstrap import ensure_admin_key, session_secret
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.service import Tenants
from factory_infra.settings import Settings


class NoHardware:
    """A pool without slots."""

    async def pool(self) -> Pool:
        """The pool."""
        return Pool(name="local", slots=[])


def test_the_session_secret_is_made_once_and_private(settings: Settings) -> None:
    secret = session_secret(settings)
    assert len(secret) == 64
    assert session_secret(settings) == secret
    assert stat.S_IMODE((settings.secrets_dir / "session.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700


@pytest.mark.stack
async def test_the_admin_key_is_shown_once_and_works(settings: Settings, database: Database) -> None:
    key = await ensure_admin_key(settings, database)
    assert key is not None
    file = settings.secrets_dir / "admin.key"
    assert file.read_text() == key + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await ensure_admin_key(settings, database) is None
    tenants = Tenants(database, Leases(database, NoHardware()))
    assert (await tenants.authenticate(key)).role is Role.ADMIN
    with pytest.raises(Unauthenticated):
        await tenants.authenticate(key[:-2])
