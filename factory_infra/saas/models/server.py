"""The model server: `python -m factory_infra.saas.models.server` serves the embedded chat model and the embeddings."""

import ipaddress
import os
import signal
import sys
from types import FrameType
from urllib.parse import urlsplit

import structlog
import uvicorn

from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.logs import configure
from factory_infra.saas.models.llama import Llama
from factory_infra.saas.models.minilm import MiniLM
from factory_infra.saas.models.routing.embedded import embedded_model
from factory_infra.saas.models.server_app import Chat, ChatOff, build_app
from factory_infra.saas.models.weights import find, verified_path
from factory_infra.settings import Settings

logger = structlog.get_logger()


def bind_address(url: str | None) -> tuple[str, int]:
    """Host and port to listen on: exactly those of the URL. Raises InvalidInput unless it is a loopback address with a port."""
    parts = urlsplit(url or "")
    try:
        host, port = parts.hostname or "", parts.port
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback, port = False, None
    if not loopback or port is None:
        raise InvalidInput(f"The model server cannot listen on '{url}'.", remedy="Set LINESHAFT_MODEL_SERVER_URL=http://127.0.0.1:PORT.")
    return host, port


def open_chat(settings: Settings) -> Chat | ChatOff:
    """Verify and load the embedded model, or say why there is none: the server then serves embeddings alone."""
    try:
        name = embedded_model(settings)
        if name is None:
            reason = f"This installation thinks with {settings.model}, and its gateway's file leads to no embedded model."
            remedy = "Ask that model, or set LINESHAFT_MODEL=embedded:qwen2.5-coder-0.5b."
            return ChatOff(code="model_not_embedded", reason=reason, remedy=remedy)
        spec = find(name)
        weights = verified_path(spec, settings.weights_dir)
        return Chat(name=spec.name, llama=Llama(weights, settings.model_threads), timeout_seconds=settings.model_timeout_seconds)
    except LineshaftError as error:
        logger.warning("no chat model", code=error.error_code, reason=error.reason, remedy=error.remedy)
        return ChatOff(code=error.error_code, reason=error.reason, remedy=error.remedy)


def main() -> int:
    """Load everything, then listen: whoever connects finds it ready."""
    configure()
    settings = Settings()
    try:
        host, port = bind_address(settings.model_server_url)
        if settings.model_server_key is None:
            raise InvalidInput("The model server has no key.", remedy="Set LINESHAFT_MODEL_SERVER_KEY.", code="key_missing")
    except InvalidInput as error:
        logger.error("not started", code=error.error_code, reason=error.reason, remedy=error.remedy)
        return 2
    chat = open_chat(settings)
    app = build_app(settings.model_server_key.get_secret_value(), MiniLM(), chat)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1)
    return 0


def leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once: the engine's threads may be in the middle of a long answer that nobody waits for."""
    os._exit(0)


if __name__ == "__main__":
    # uvicorn takes these over while it serves, closes what is open, and then hands the signal back to `leave`.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    sys.exit(main())
