"""Which weights the model server of an installation loads."""

from collections.abc import Iterator

from factory_infra.saas.models.routing.config import Setup
from factory_infra.saas.models.routing.default_setup import EMBEDDINGS
from factory_infra.settings import Settings


def embedded_model(settings: Settings) -> str | None:
    """The weights that LINESHAFT_MODEL names, or that a route of the gateway's file leads to: the one of `gateway:NAME` before others.

    None where nothing leads to an embedded chat model. The server holds one: of several the first is loaded.
    Raises InvalidInput `gateway_invalid` for a file that cannot be read.
    """
    provider, _, name = settings.model.partition(":")
    if provider == "embedded":
        return name
    setup = Setup.load(settings)
    first = [name] if provider == "gateway" and name in setup.models else []
    return next(_weights(setup, [*first, *setup.models]), None)


def _weights(setup: Setup, names: list[str]) -> Iterator[str]:
    for name in names:
        for target in setup.models[name].route:
            if setup.backends[target.backend].kind == "embedded" and target.model != EMBEDDINGS:
                yield target.model
