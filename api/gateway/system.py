"""`/health`, `/metrics` and `/openapi.json` of the gateway."""

from api.gateway.auth import key_of
from api.gateway.exchange import Exchange, Header
from api.gateway.openapi import document
from api.gateway.service import Service

PROMETHEUS: Header = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


async def health(exchange: Exchange, service: Service) -> None:
    """Say that this process is connected, answers and can meter; what depends on an upstream is said by each call."""
    if service.meter.ailment:
        await exchange.answer(503, b'{"status":"not metering"}', [])
        return
    await exchange.answer(200, b'{"status":"ok"}', [])


async def metrics(exchange: Exchange, service: Service) -> None:
    """Tell the numbers of all processes to anybody with a key."""
    await service.keys.authenticate(key_of(exchange))
    await exchange.answer(200, service.metrics(), [], PROMETHEUS)


async def openapi(exchange: Exchange, service: Service) -> None:
    """Tell the form of every request."""
    await exchange.answer(200, document(), [])
