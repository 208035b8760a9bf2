"""The step between database and parts: migrations, and at the first start the administrator's key."""

import asyncio

from factory_infra.database import Database
from factory_infra.errors import InvalidInput
from factory_infra.migrations.run import upgrade
from factory_infra.paas.tenants.bootstrap import ensure_admin_key
from factory_infra.settings import Settings


async def _first_key(settings: Settings, url: str) -> None:
    database = Database(url)
    try:
        await ensure_admin_key(settings, database)
    finally:
        await database.close()


def main() -> None:
    """Bring the schema up to date and make what a first start needs. Idempotent. The key goes to its file only, never to the log."""
    settings = Settings()
    if settings.database_url is None:
        raise InvalidInput("LINESHAFT_DATABASE_URL is not set.", remedy="Start this step with `lineshaft up`.")
    url = settings.database_url.get_secret_value()
    upgrade(url)
    asyncio.run(_first_key(settings, url))


if __name__ == "__main__":
    main()
