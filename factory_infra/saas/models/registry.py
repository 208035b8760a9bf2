"""Which provider stands behind a name in the settings."""

from importlib import import_module
from typing import Literal, Protocol, cast

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.interface import ChatModel
from factory_infra.settings import Settings

Size = Literal["small", "large"]

PROVIDERS: dict[str, str] = {
    "embedded": "factory_infra.saas.models.providers.embedded:Embedded",
    "openai": "factory_infra.saas.models.providers.openai:OpenAICompatible",
    "bedrock": "factory_infra.saas.models.providers.bedrock:Bedrock",
    "gateway": "factory_infra.saas.models.providers.gateway:GatewayModel",
    "scripted": "factory_infra.saas.models.providers.scripted:Scripted",
    "obedient": "factory_infra.saas.models.providers.obedient:Obedient",
}
"""A new provider is one module and one line here."""

PLANNER_SIZES: dict[str, Size | None] = {"auto": None, "playbook": "small", "free": "large"}


class ProviderClass(Protocol):
    """How every provider is built: nothing connects at construction."""

    def __call__(self, name: str, settings: Settings, size: Size | None) -> ChatModel:
        """Build the model `name`; `size` overrides the provider's own."""
        ...


def chat_model(settings: Settings) -> ChatModel | None:
    """Return the chat model that the settings name, or None where they say `none`.

    Raises InvalidInput for an unknown provider, a missing name or an unknown planner.
    """
    provider, _, name = settings.model.partition(":")
    if provider == "none":
        return None
    if provider not in PROVIDERS or not name:
        known = ", ".join(f"{known}:NAME" for known in PROVIDERS)
        raise InvalidInput(
            f"The model '{settings.model}' names no known provider.", remedy=f"Use {known} or none.", code="model_provider_unknown"
        )
    if settings.model_planner not in PLANNER_SIZES:
        raise InvalidInput(
            f"The planner '{settings.model_planner}' is unknown.", remedy="Use auto, playbook or free.", code="model_planner_unknown"
        )
    module_name, _, class_name = PROVIDERS[provider].partition(":")
    build = cast(ProviderClass, getattr(import_module(module_name), class_name))
    return build(name, settings, PLANNER_SIZES[settings.model_planner])
