"""The gateway: composition root of the door to every model, `python -m api.gateway.app`."""

import gc
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
import uvicorn

from api.gateway.edge import GatewayApp
from api.gateway.metrics import Metrics
from api.gateway.service import Service
from api.gateway.workers import BACKLOG, Workers, listening
from factory_infra.database import Database
from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.logs import configure
from factory_infra.notices import Notices
from factory_infra.paas.tenants.bootstrap import key_pepper
from factory_infra.paas.tenants.directory import Directory
from factory_infra.paas.tenants.keyring import KeyRing, RoleKeys
from factory_infra.paas.tenants.service import Tenants
from factory_infra.saas.metering.limits import LimitBook
from factory_infra.saas.metering.meter import Meter
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.models.routing.config import Setup
from factory_infra.saas.models.routing.gateway import Gateway, Wiring
from factory_infra.saas.models.routing.metrics import Metrics as RoutingMetrics
from factory_infra.saas.models.routing.targets import Targets
from factory_infra.saas.models.transcripts.keeper import Keeper
from factory_infra.saas.models.transcripts.recorded import Recorded
from factory_infra.saas.models.transcripts.seal import seal_of
from factory_infra.saas.models.transcripts.service import Transcripts
from factory_infra.settings import Settings

log = structlog.get_logger("gateway")

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
GRACE_SECONDS = 3
"""How long open calls may go on after the signal to stop, before they are cut off and settled."""
CLOSE_SECONDS = 2.0
"""How long answers that are read to their end without their clients may still go on."""
KEEP_ALIVE_SECONDS = 75


@asynccontextmanager
async def connected(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """Connect one process's parts; at the end everything is settled and posted before they go. Raises InvalidInput, Unavailable."""
    url = database_url(settings)
    async with AsyncExitStack() as stack:
        database, notices = Database(url), Notices(url)
        stack.push_async_callback(database.close)
        tenants = Tenants(database, key_pepper(settings))
        directory, limits = Directory(database), LimitBook(database, notices)
        directory.remember(notices)
        keys = RoleKeys(KeyRing(tenants, notices), directory)
        targets = Targets.build(Setup.load(settings), settings, PriceBook.load(settings.price_book), time.monotonic)
        meter = Meter(database, settings.journals_dir, recall=targets.recall, notices=notices)
        await meter.start()
        stack.push_async_callback(meter.close)
        keeper = Keeper(Transcripts(database, seal_of(settings)), notices)
        await keeper.start()
        stack.push_async_callback(keeper.close)
        # Once everybody has said what to listen to: so it is heard from the first moment.
        await notices.start()
        stack.push_async_callback(notices.close)
        gateway = Gateway(targets, meter, Wiring(metrics=RoutingMetrics(metrics.board)))
        stack.push_async_callback(gateway.close, CLOSE_SECONDS)

        def numbers() -> bytes:
            return (metrics.text() + gateway.metrics.text()).encode()

        yield Service(Recorded(gateway, keeper), keys, limits, meter, numbers, settings.gateway_body_bytes_max)


def database_url(settings: Settings) -> str:
    """Where PostgreSQL is. Raises InvalidInput where nobody said it."""
    if settings.database_url is None:
        raise InvalidInput("The address of PostgreSQL is not known.", remedy="Set LINESHAFT_DATABASE_URL, or use 'lineshaft up'.")
    return settings.database_url.get_secret_value()


def application(settings: Settings, metrics: Metrics) -> GatewayApp:
    """The application of one process; it connects when it starts."""
    return GatewayApp(lambda: connected(settings, metrics), metrics, loopback=settings.gateway_host in LOOPBACK)


def serve(settings: Settings, metrics: Metrics, opened: socket.socket, worker: int) -> None:
    """Serve in this process until a signal ends it."""
    metrics.own(worker)
    config = uvicorn.Config(
        application(settings, metrics),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # What was imported stays for good: not looking through it again spares the pauses, and the copies of forked pages.
    gc.freeze()
    uvicorn.Server(config).run(sockets=[opened])


def main() -> int:
    """Serve until a signal ends it. Faults of the setup are told before anything listens."""
    configure()
    settings = Settings()
    try:
        database_url(settings)
        Setup.load(settings)
        opened = listening(settings.gateway_host, settings.gateway_port)
    except (LineshaftError, OSError) as error:
        log.error("not started", reason=str(error))
        return 2
    metrics = Metrics(settings.gateway_workers)
    if settings.gateway_workers == 1:
        serve(settings, metrics, opened, 0)
    else:
        Workers(settings.gateway_workers, lambda worker: serve(settings, metrics, opened, worker)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
