"""The setup of an installation that has no gateway's file: the model that its settings name, and the embeddings that ship."""

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.calls import JsonObject
from factory_infra.settings import Settings

HOUSE = "house"
EMBEDDINGS = "all-minilm-l6-v2"
DEFAULT = "default"
SCRIPTED = "scripted"


def default_document(settings: Settings) -> JsonObject:
    """What the file would say. The chat model answers to its own name and to `default`; without one there are only embeddings, and so
    where the settings name a provider that only agents have. A scripted model answers to `scripted`, so that every number says what it is.

    The key of `openai:` is LINESHAFT_MODEL_KEY; who builds the backend hands it over. Raises InvalidInput `model_address_missing`.
    """
    backends: JsonObject = {HOUSE: {"kind": "embedded"}}
    models: JsonObject = {EMBEDDINGS: _only(HOUSE, EMBEDDINGS)}
    provider, _, name = settings.model.partition(":")
    if provider == "embedded":
        models[name] = models[DEFAULT] = _only(HOUSE, name)
    elif provider == SCRIPTED:
        backends[SCRIPTED] = {"kind": SCRIPTED}
        models[SCRIPTED] = models[DEFAULT] = {"route": [{"backend": SCRIPTED, "model": name, "price_as": SCRIPTED}]}
    elif (backend := _backend(provider, settings)) is not None:
        backends[provider] = backend
        models[name] = models[DEFAULT] = _only(provider, name)
    return {"backends": backends, "models": models}


def _only(backend: str, model: str) -> JsonObject:
    return {"route": [{"backend": backend, "model": model}]}


def _backend(provider: str, settings: Settings) -> JsonObject | None:
    match provider:
        case "openai":
            if settings.model_base_url is None:
                raise InvalidInput(
                    f"The model '{settings.model}' has no address.", remedy="Set LINESHAFT_MODEL_BASE_URL.", code="model_address_missing"
                )
            return {"kind": "openai", "url": settings.model_base_url, "deadline_seconds": settings.model_timeout_seconds}
        case "bedrock":
            return {"kind": "bedrock", "endpoint_url": settings.model_base_url}
        case _:
            return None
