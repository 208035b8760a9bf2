"""How a command reaches the API: its address from the running stack, the key from its file or the environment."""

import typer

from api.client import ApiClient
from cli.context import settings_of
from cli.stack.state import read_state
from factory_infra.errors import Unauthenticated, Unavailable
from factory_infra.settings import Settings


def access(settings: Settings) -> tuple[str, str]:
    """Return the API's address and the key to use. Raises Unavailable or Unauthenticated with what to do."""
    state = read_state(settings)
    url = settings.api_url or next((part.url for part in state.parts if part.name == "api"), None) if state else settings.api_url
    if not url:
        raise Unavailable("No API is known for this home.", remedy="Start it with 'lineshaft up', or set LINESHAFT_API_URL.")
    path = settings.secrets_dir / "admin.key"
    key = settings.api_key.get_secret_value() if settings.api_key else path.read_text().strip() if path.exists() else None
    if key is None:
        raise Unauthenticated("No key is known.", remedy="Set LINESHAFT_API_KEY, or use the home of the stack.")
    return url, key


def api_client(settings: Settings) -> ApiClient:
    """Return a client. Raises Unavailable or Unauthenticated with what to do."""
    return ApiClient(*access(settings))


def client_of(context: typer.Context) -> ApiClient:
    """Return a client for a command."""
    return api_client(settings_of(context))
