"""The seam to whatever serves models."""

from typing import Protocol

from factory_infra.paas.deployments.models import ChatServer, Endpoint, Prediction, SmokeReport


class Deployments(Protocol):
    """Serves registered versions under stable names, per tenant."""

    async def deploy(self, tenant: str, name: str, model_name: str, version: int, key: str) -> Endpoint:
        """Put a version live under a name, healthy before the switch; the old version answers until then.

        Idempotent by key. Raises NotFound for an unknown version, EffectFailed when the server does not become healthy:
        then the old version stays live.
        """
        ...

    async def get(self, tenant: str, name: str) -> Endpoint:
        """Return an endpoint. Raises NotFound."""
        ...

    async def rollback(self, tenant: str, name: str, key: str) -> Endpoint | None:
        """Put the previous version back, or retire the endpoint where there was none: the undo of deploy. Idempotent by key."""
        ...

    async def predict(self, tenant: str, name: str, rows: list[list[float]]) -> Prediction:
        """Ask the live version; its server is started again if it is down.

        Raises NotFound, Unavailable, and InvalidInput for rows that do not fit and `endpoint_chats` for a language model.
        """
        ...

    async def list(self, tenant: str | None = None) -> list[Endpoint]:
        """Return the endpoints that are live, newest first."""
        ...


class SmokeTests(Protocol):
    """An extra ability: asks the endpoint for the held-out rows that came with the version."""

    async def smoke_test(self, tenant: str, name: str) -> SmokeReport:
        """Send held-out rows and compare with their labels and with what training predicted.

        Raises NotFound, EffectFailed, and InvalidInput `endpoint_chats` for a language model, which comes without such rows.
        """
        ...


class ChatServing(Protocol):
    """An extra ability: endpoints whose version is a language model."""

    async def chat_server(self, tenant: str, name: str, silent: str = "") -> ChatServer:
        """Return where the live version's server listens.

        Args:
            tenant: whose endpoint it is.
            name: the endpoint's name.
            silent: the job of a server that did not answer; if it still is the live one and is down, it is started again first.

        Raises NotFound for an endpoint that is not live, InvalidInput `endpoint_not_chat` for one that names the classes of rows,
        EffectFailed when its server does not come up again.
        """
        ...


class Retirement(Protocol):
    """An extra ability: takes an endpoint out of service."""

    async def retire(self, tenant: str, name: str, key: str) -> None:
        """Stop serving under this name; deploying to it again is possible. Idempotent by key. Raises NotFound."""
        ...
